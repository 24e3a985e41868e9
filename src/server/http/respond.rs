//! Short responses. Each body ends with a newline, so that a terminal shows its prompt below it.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// One line of plain text.
pub(in crate::server) fn plain(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}

/// One line of JSON.
pub(super) fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}
