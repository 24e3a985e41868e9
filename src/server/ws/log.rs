//! What the log records about requests.
//!
//! Log lines contain a request's id, but never its prompt or the generated text.

use crate::protocol::{ErrorFrame, RequestId, ServerFrame};

/// Logs the terminal frame of a request. It tells times and token counts, but no text.
pub(super) fn log_ended(terminal_frame: &str) {
    tracing::info!("ended: {terminal_frame}");
}

/// Logs that a request was cancelled because its client disconnected.
pub(super) fn log_cancelled(id: Option<&RequestId>) {
    let id = id.map_or("", RequestId::as_str);
    tracing::info!("cancelled: client disconnected, id {id:?}");
}

/// Logs that a request was refused, without the error message, which may quote the client.
pub(super) fn log_refused(error: &ErrorFrame) {
    tracing::info!("refused: {}", ServerFrame::Error(&error.without_message()).text());
}
