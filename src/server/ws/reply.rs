//! What the reader and its submissions hand to the writer.

use crate::protocol::{ErrorFrame, RequestId, ServerFrame};

use super::close_reason::CloseReason;
use super::request::ActiveRequest;

/// An instruction for the writer.
#[derive(Debug)]
pub(super) enum Reply {
    /// Send this frame.
    Frame(String),
    /// Serve this request from now on.
    Submitted(Box<ActiveRequest>),
    /// Remove the request with this id from the requests in flight and send the error.
    Refused(Box<(Option<RequestId>, ErrorFrame)>),
    /// Start sending `metrics` frames.
    SubscribeMetrics,
    /// Stop sending `metrics` frames.
    UnsubscribeMetrics,
    /// Flush the socket. Sends the pong that tungstenite has queued for a ping.
    Flush,
    /// Abort all requests, wait for their terminal frames and close for this reason.
    Close(CloseReason),
    /// Send this message back.
    #[cfg(feature = "echo")]
    Echo(Box<tokio_tungstenite::tungstenite::Message>),
}

// The channel allocates its slots in blocks for every connection, so large variants are boxed.
const _: () = assert!(size_of::<Reply>() <= 24);

impl Reply {
    /// A reply that sends an `error` frame.
    pub(super) fn error(error: &ErrorFrame) -> Self {
        Self::Frame(ServerFrame::Error(error).text())
    }
}

/// Replies that may wait for the writer. The reader waits when there are more.
pub(super) const REPLY_QUEUE: usize = 16;
