//! The arguments of the process as they were given.

use std::ffi::OsString;
use std::fmt;

/// The arguments of the process. Their `Debug` form does not show them: one can be an API key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GivenArguments(pub(super) Vec<OsString>);

impl fmt::Debug for GivenArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GivenArguments({} hidden)", self.0.len())
    }
}
