//! Short responses. Each body ends with a newline, so that a terminal shows its prompt below it.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::server::ids::new_id;

/// One line of plain text.
pub(in crate::server) fn plain(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}

/// One line of JSON.
pub(in crate::server) fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// Gives `response` an id, under the names where clients of OpenAI's and Anthropic's API look.
pub(super) fn add_request_id(response: &mut Response) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    if let Ok(id) = HeaderValue::from_str(&new_id("req_")) {
        response.headers_mut().insert(HeaderName::from_static("request-id"), id.clone());
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
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
