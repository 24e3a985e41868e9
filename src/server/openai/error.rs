//! The errors of the HTTP APIs, in the form that OpenAI gives them.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{Code, Failure, Refusal};
use crate::protocol::ErrorFrame;
use crate::server::access::RateLimited;
use crate::server::json::{InvalidField, JsonError};

/// An error in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::server) struct ErrorBody<'a> {
    error: ErrorFields<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ErrorFields<'a> {
    /// What is wrong, with which value, and what to do.
    message: &'a str,
    r#type: &'a str,
    /// The field of the request that is wrong.
    param: Option<&'a str>,
    /// The stable name of the error.
    code: &'a str,
}

/// Why a request of an HTTP API is refused or fails. It converts into the response to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct ApiError {
    /// The status of the response, if that has not begun.
    pub(in crate::server) status: StatusCode,
    /// How the request ended, for metrics.
    pub(in crate::server) code: Code,
    /// For people: what is wrong, with which value, and what to do.
    pub(in crate::server) message: String,
    /// The field of the request that is wrong.
    pub(in crate::server) param: Option<String>,
    /// The stable name of the error, where clients look for another one than that of `code`.
    pub(in crate::server) special_name: Option<&'static str>,
    /// Milliseconds after which to try again; `None` if that is no use.
    pub(in crate::server) retry_after_ms: Option<u64>,
}

impl ApiError {
    /// An error with the status that fits `code`.
    pub(in crate::server) fn new(code: Code, message: impl Into<String>) -> Self {
        ErrorFrame::new(code, message).into()
    }

    /// The field `param` of the request cannot be used, for this `reason`.
    pub(in crate::server) fn invalid(
        param: impl Into<String>,
        reason: impl std::fmt::Display,
    ) -> Self {
        let param = param.into();
        let error = Self::new(Code::InvalidParams, format!("{param} {reason}"));
        Self { param: Some(param), ..error }
    }

    /// An error that no frame of the protocol has, because it is about HTTP.
    pub(in crate::server) fn of_status(status: StatusCode, message: impl Into<String>) -> Self {
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthorized,
            StatusCode::FORBIDDEN => Code::Forbidden,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::INTERNAL_SERVER_ERROR => Code::EngineFailed,
            _ => Code::BadFrame,
        };
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            special_name: None,
            retry_after_ms: None,
        }
    }

    /// An error with a stable name for which clients look.
    pub(in crate::server) fn named(
        status: StatusCode,
        name: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { special_name: Some(name), ..Self::of_status(status, message) }
    }

    /// The error is about the field `param`.
    #[must_use]
    pub(in crate::server) fn about(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }

    /// The kind of error, as OpenAI and llama.cpp's server name it.
    pub(in crate::server) fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The stable name of the error: OpenAI's where programs look for it, else that of the
    /// protocol.
    pub(in crate::server) fn name(&self) -> &'static str {
        if let Some(name) = self.special_name {
            return name;
        }
        match (self.status, self.code) {
            (StatusCode::METHOD_NOT_ALLOWED, _) => "method_not_allowed",
            (StatusCode::PAYLOAD_TOO_LARGE, _) => "request_too_large",
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => "unsupported_media_type",
            (StatusCode::REQUEST_TIMEOUT, _) => "request_timeout",
            (_, Code::ContextOverflow) => "context_length_exceeded",
            (_, Code::Unauthorized) => "invalid_api_key",
            (_, Code::RateLimited) => "rate_limit_exceeded",
            (_, code) => code.as_str(),
        }
    }

    /// The body of the response: a JSON object.
    pub(in crate::server) fn body(&self) -> String {
        let error = ErrorFields {
            message: &self.message,
            r#type: self.kind(),
            param: self.param.as_deref(),
            code: self.name(),
        };
        serde_json::to_string(&ErrorBody { error }).expect("errors have string keys")
    }

    /// Adds the headers that belong to the error to a response, whatever its body.
    pub(in crate::server) fn add_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"inference-core\"");
            headers.insert(WWW_AUTHENTICATE, scheme);
        }
        if let Some(milliseconds) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, milliseconds.div_ceil(1000).into());
            headers.insert(RETRY_AFTER_MS, milliseconds.into());
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let json = [(CONTENT_TYPE, "application/json")];
        let mut response = (self.status, json, self.body() + "\n").into_response();
        self.add_headers(&mut response);
        response
    }
}

impl From<ErrorFrame> for ApiError {
    fn from(frame: ErrorFrame) -> Self {
        let retry_after_ms = frame.retry_after_ms();
        let status = status(frame.code(), retry_after_ms.is_some());
        let message = frame.message().to_owned();
        let code = frame.code();
        Self { status, code, message, param: None, special_name: None, retry_after_ms }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let param = match &refusal {
            Refusal::InvalidParams { field, .. } => Some(field.clone()),
            _ => None,
        };
        Self { param, ..ErrorFrame::from(refusal).into() }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        ErrorFrame::from(failure).into()
    }
}

impl From<InvalidField> for ApiError {
    fn from(field: InvalidField) -> Self {
        let error = Self::new(Code::InvalidParams, field.to_string());
        Self { param: field.param().map(str::to_owned), ..error }
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Field(field) => field.into(),
            JsonError::NotJson(reason) => {
                Self::new(Code::BadJson, format!("the body is not valid JSON: {reason}"))
            }
        }
    }
}

impl From<RateLimited> for ApiError {
    fn from(limit: RateLimited) -> Self {
        ErrorFrame::rate_limited(limit.to_string(), limit.retry_after_ms()).into()
    }
}

/// The status of an error, which is temporary or not.
fn status(code: Code, is_temporary: bool) -> StatusCode {
    match code {
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Loading | Code::Busy | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::EngineFailed | Code::EngineStalled if is_temporary => StatusCode::SERVICE_UNAVAILABLE,
        Code::EngineFailed | Code::EngineStalled | Code::SlowClient => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_REQUEST,
    }
}

/// What clients of OpenAI read before `Retry-After`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_has_the_form_and_the_status_that_clients_expect() {
        let overflow =
            Refusal::ContextOverflow { prompt_tokens: 9, ctx_size: 8, is_lower_bound: false };
        let field = Refusal::InvalidParams { field: "logit_bias".into(), reason: "a".into() };
        for (error, status, kind, code) in [
            (overflow.into(), 400, "invalid_request_error", "context_length_exceeded"),
            (field.into(), 400, "invalid_request_error", "invalid_params"),
            (Refusal::Loading.into(), 503, "unavailable_error", "loading"),
            (Refusal::Busy { queued: 1 }.into(), 503, "unavailable_error", "busy"),
            (Failure::ShuttingDown.into(), 503, "unavailable_error", "shutting_down"),
            (
                ApiError::from(ErrorFrame::rate_limited("a".into(), 1500)),
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
            ),
            (
                ApiError::new(Code::Unauthorized, "a"),
                401,
                "authentication_error",
                "invalid_api_key",
            ),
        ] {
            let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
            assert_eq!(error.status.as_u16(), status, "{body}");
            assert_eq!((body["error"]["type"].as_str(), error.kind()), (Some(kind), kind));
            assert_eq!(body["error"]["code"], code);
        }
    }

    #[test]
    fn temporary_error_says_when_to_try_again() {
        let error = ApiError::from(ErrorFrame::rate_limited("a".into(), 1500));
        let response = error.into_response();
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!([header("retry-after"), header("retry-after-ms")], ["2", "1500"]);
    }
}
