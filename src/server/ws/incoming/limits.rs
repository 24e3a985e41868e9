//! The limits of a client's messages, which rise when the client has sent its API key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// The limits of one client's messages. Clones share whether the client is authenticated.
#[derive(Debug, Clone)]
pub(in crate::server::ws) struct MessageLimits {
    /// Longest message of an authenticated client, in bytes.
    pub(in crate::server::ws) max_bytes: usize,
    /// How long the server waits for the parts of a message, plus a second for each
    /// `MIN_BYTES_PER_SECOND` (64 KiB).
    pub(super) deadline: Duration,
    is_authenticated: Arc<AtomicBool>,
}

impl MessageLimits {
    /// The limits of a client that is authenticated already, or needs no key, or is neither.
    pub(in crate::server::ws) fn new(
        max_bytes: usize,
        deadline: Duration,
        is_authenticated: bool,
    ) -> Self {
        Self { max_bytes, deadline, is_authenticated: Arc::new(is_authenticated.into()) }
    }

    /// The client has sent its key. Counts for the messages that begin from now on.
    pub(in crate::server::ws) fn set_authenticated(&self) {
        self.is_authenticated.store(true, Relaxed);
    }

    /// Longest message that is accepted now, in bytes.
    pub(in crate::server::ws) fn accepted_bytes(&self) -> usize {
        match self.is_authenticated.load(Relaxed) {
            true => self.max_bytes,
            false => self.max_bytes.min(MAX_AUTH_BYTES),
        }
    }
}

/// Longest message of a client that has not sent its key (ADR-0038).
const MAX_AUTH_BYTES: usize = 4 * 1024;
