//! The errors of a WebSocket: `error` events.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::domain::Code;
use crate::protocol::Quoted;
use crate::server::openai::error::ApiError;

use super::lanes::{LaneError, MAX_LANES, MAX_WAITING};
use super::message::MessageError;

/// The `error` event for `error`.
pub(super) fn error_event(error: &ApiError, stream_id: Option<&str>) -> String {
    let mut event = json!({
        "type": "error",
        "status": error.status.as_u16(),
        "error": {
            "type": error.kind(),
            "code": error.name(),
            "message": error.message,
            "param": error.param,
        },
    });
    if let Some(stream_id) = stream_id {
        event["stream_id"] = Value::from(stream_id);
    }
    if let Some(milliseconds) = error.retry_after_ms {
        event["retry_after_ms"] = Value::from(milliseconds);
    }
    event.to_string()
}

/// The error for a message, and its lane.
pub(super) fn message_error(error: MessageError) -> (ApiError, Option<String>) {
    match error {
        MessageError::NotJson(reason) => {
            let message = format!("the message is not valid JSON: {reason}");
            (ApiError::new(Code::BadJson, message), None)
        }
        MessageError::InvalidStreamId(sent) => {
            let message = format!(
                "stream_id must be 1 to 256 characters, each a letter, a digit, or one of _.-, not \
                 {sent}"
            );
            let error = ApiError::named(StatusCode::BAD_REQUEST, INVALID_STREAM_ID, message);
            (error.about("stream_id"), None)
        }
        MessageError::Field { stream_id, error } => (error.into(), stream_id),
    }
}

/// The error for a request that its lane does not accept.
pub(super) fn lane_error(error: LaneError) -> ApiError {
    match error {
        LaneError::TooManyLanes => {
            let message = format!(
                "the connection has {MAX_LANES} lanes with other names: use one of them, or open \
                 another connection"
            );
            ApiError::named(StatusCode::BAD_REQUEST, STREAM_LIMIT, message).about("stream_id")
        }
        LaneError::TooManyWaiting => {
            let message = format!("{MAX_WAITING} requests of this connection wait: send fewer");
            ApiError::new(Code::Busy, message)
        }
    }
}

/// The error for a request to cancel a response that the client does not have.
pub(super) fn unknown_response(id: &str) -> ApiError {
    let message = format!("there is no response {} of this client", Quoted(id));
    ApiError::named(StatusCode::NOT_FOUND, RESPONSE_NOT_FOUND, message).about("response_id")
}

/// The error for a connection that is as old as one may become.
pub(super) fn too_old() -> ApiError {
    let message = "the connection is 60 minutes old: open a new one";
    ApiError::named(StatusCode::BAD_REQUEST, CONNECTION_LIMIT, message)
}

/// The code for a response that is not there, like that for a previous one.
const RESPONSE_NOT_FOUND: &str = "response_not_found";

/// The code for the name of a lane that cannot be one.
const INVALID_STREAM_ID: &str = "invalid_stream_id";

/// The code for too many lanes.
const STREAM_LIMIT: &str = "websocket_stream_limit_reached";

/// The code for a connection that is too old.
const CONNECTION_LIMIT: &str = "websocket_connection_limit_reached";
