//! The `id` of a request, which lets several requests share a connection.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::json::JsonSlice;

/// A request's `id`, chosen by the client: any string of at most [`RequestId::MAX_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Longest id in bytes. Every frame about the request repeats it; a UUID has 36 bytes.
    pub const MAX_BYTES: usize = 64;

    /// Makes an id of `text`; `None` if it is too long.
    pub(super) fn new(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_BYTES).then(|| Self(text.into()))
    }

    /// Makes an id of the value that a client sent; `None` if it is not a string or too long.
    pub(super) fn from_json(sent: JsonSlice<'_>) -> Option<Self> {
        sent.text().and_then(|text| Self::new(&text))
    }

    /// The id as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
