//! The name a client gives to a request, so that several can share a connection.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::sent::Sent;

/// A request's name, chosen by the client: any string of at most [`RequestId::MAX_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Longest id. It is repeated in every frame of its request, a UUID has 36.
    pub const MAX_BYTES: usize = 64;

    /// `text` as an id, if it can be one.
    pub(super) fn new(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_BYTES).then(|| Self(text.into()))
    }

    /// The id that was sent, if it can be one.
    pub(super) fn read(sent: Sent<'_>) -> Option<Self> {
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
