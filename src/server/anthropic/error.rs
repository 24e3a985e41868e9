//! Errors in the form that Anthropic gives them.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::server::openai::ApiError;
use crate::server::openai::parts::to_json;

/// The response for `error`.
pub(in crate::server) fn error_response(error: &ApiError) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    let mut response = (status(error), headers, error_body(error) + "\n").into_response();
    error.add_headers(&mut response);
    response
}

/// An error in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MessageErrorBody<'a> {
    r#type: &'static str,
    error: MessageErrorFields<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct MessageErrorFields<'a> {
    r#type: &'a str,
    /// What is wrong, with which value, and what to do.
    message: &'a str,
}

/// The error in JSON: the body of a response, or an event.
pub(super) fn error_body(error: &ApiError) -> String {
    let fields = MessageErrorFields { r#type: kind(error), message: &error.message };
    to_json(&MessageErrorBody { r#type: "error", error: fields })
}

fn status(error: &ApiError) -> StatusCode {
    match error.status {
        StatusCode::SERVICE_UNAVAILABLE => OVERLOADED.try_into().unwrap_or(error.status),
        status => status,
    }
}

/// The kind of error, as Anthropic names it.
fn kind(error: &ApiError) -> &'static str {
    match error.status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    }
}

/// The status of Anthropic's API for a server that is busy, which its clients know.
const OVERLOADED: u16 = 529;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Code;

    #[test]
    fn error_has_the_form_and_the_status_of_the_api() {
        for (code, expected_status, expected_kind) in [
            (Code::InvalidParams, 400, "invalid_request_error"),
            (Code::Unauthorized, 401, "authentication_error"),
            (Code::NotFound, 404, "not_found_error"),
            (Code::RateLimited, 429, "rate_limit_error"),
            (Code::Busy, 529, "overloaded_error"),
        ] {
            let error = ApiError::new(code, "a");
            let body: serde_json::Value = serde_json::from_str(&error_body(&error)).unwrap();
            let expected = json!({"type": expected_kind, "message": "a"});
            assert_eq!(body, json!({"type": "error", "error": expected}));
            assert_eq!(error_response(&error).status().as_u16(), expected_status);
        }
    }
}
