//! Short responses. Each body ends with a newline, so that a terminal shows its prompt below it.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// One line of plain text.
pub(in crate::server) fn plain(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}

/// One line of JSON.
pub(in crate::server) fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// An error as JSON: `{"error":{"message":"…"}}`.
pub(in crate::server) fn error_json(status: StatusCode, message: &str) -> Response {
    let body = PageError { error: PageErrorText { message: message.to_owned() } };
    json(status, serde_json::to_string(&body).expect("the body has string keys"))
}

/// The body of [`error_json`].
#[derive(Serialize, JsonSchema)]
pub(super) struct PageError {
    error: PageErrorText,
}

#[derive(Serialize, JsonSchema)]
struct PageErrorText {
    message: String,
}

/// Adds the headers of [`PAGE_HEADERS`] that `response` does not have. The response that opens a
/// WebSocket is no page and stays as it is.
pub(super) async fn with_page_headers(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        for (name, value) in PAGE_HEADERS {
            let value = HeaderValue::from_static(value);
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}

/// What browsers may do with a page of this server: show it as what it says it is, to the user,
/// never inside another page or as a part of one, and keep no copy. Every page tells the state of
/// the moment.
const PAGE_HEADERS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];
