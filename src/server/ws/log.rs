//! What the log and the counters record about requests.
//!
//! Log lines contain a request's id, but never its prompt or the generated text.

use crate::engine::{Ending, EngineHandle};
use crate::protocol::{Code, ErrorFrame, RequestId, ServerFrame};

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
    tracing::info!("refused: {}", ServerFrame::Error(&error.wordless()).text());
}

/// Counts a request that the engine never received. The engine counts the requests it refuses.
pub(super) fn count_refused(engine: &EngineHandle, error: &ErrorFrame) {
    engine.count_refused(match error.code() {
        Code::BadJson => Ending::BadJson,
        Code::BadFrame => Ending::BadFrame,
        Code::UnknownOp => Ending::UnknownOp,
        Code::InvalidParams => Ending::InvalidParams,
        Code::RequestInFlight => Ending::RequestInFlight,
        Code::DuplicateId => Ending::DuplicateId,
        Code::Busy => Ending::Busy,
        Code::EngineFailed => Ending::EngineFailed,
        // `not_found` answers an `abort`, not a request. The others come from the engine.
        Code::NotFound
        | Code::ContextOverflow
        | Code::Loading
        | Code::SlowClient
        | Code::ShuttingDown => return,
    });
}
