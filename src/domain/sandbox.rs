//! How strictly the process that holds the model is confined.

use serde::{Deserialize, Serialize};

/// Whether a runner confines itself before it reads a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxMode {
    /// It does not.
    Off,
    /// As far as the system supports it.
    Auto,
    /// Completely, or it does not run.
    Strict,
}
