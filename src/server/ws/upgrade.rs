//! The HTTP half of opening a WebSocket (RFC 6455, section 4.2).
//!
//! Checks the headers of the client's request and builds the response. Agrees to no extension, and
//! to no subprotocol but that of the plain protocol. `http` checks host, origin and key.

use axum::extract::Request;
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::server::access::agreed_subprotocol;
use crate::server::http::plain;

/// Whether a request asks for a WebSocket.
pub(in crate::server) fn is_upgrade(request: &Request) -> bool {
    request.method() == Method::GET && has_token(request, &UPGRADE, "websocket")
}

/// Builds the 101 response that turns the connection into a WebSocket.
///
/// # Errors
/// The reason to refuse the request; it converts into the response to send.
pub(in crate::server) fn accept_upgrade(request: &Request) -> Result<Response, UpgradeError> {
    if request.version() != Version::HTTP_11 || !has_token(request, &CONNECTION, "upgrade") {
        return Err(UpgradeError::Malformed(
            "a WebSocket needs HTTP/1.1 and the header Connection: Upgrade",
        ));
    }
    if single(request, &SEC_WEBSOCKET_VERSION) != Some(WEBSOCKET_VERSION) {
        return Err(UpgradeError::UnsupportedVersion);
    }
    let key = single(request, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key))
        .ok_or(UpgradeError::Malformed("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let accept = derive_accept_key(key.as_bytes());
    let headers =
        [(UPGRADE, "websocket"), (CONNECTION, "Upgrade"), (SEC_WEBSOCKET_ACCEPT, accept.as_str())];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    if let Some(name) = agreed_subprotocol(request.headers()) {
        let name = HeaderValue::from_static(name);
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(response)
}

/// Why a request for a WebSocket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum UpgradeError {
    /// The request violates the RFC, for the given reason.
    Malformed(&'static str),
    /// The client asks for another version of the WebSocket protocol.
    UnsupportedVersion,
}

impl IntoResponse for UpgradeError {
    fn into_response(self) -> Response {
        match self {
            Self::Malformed(reason) => plain(StatusCode::BAD_REQUEST, reason),
            Self::UnsupportedVersion => {
                let headers = [(UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, WEBSOCKET_VERSION)];
                let line = "Sec-WebSocket-Version must be 13, and once";
                (headers, plain(StatusCode::UPGRADE_REQUIRED, line)).into_response()
            }
        }
    }
}

/// Whether `key` has the form of 16 bytes in base64: 22 digits and two padding characters.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

/// The value of a header; `None` if it is absent, repeated or not ASCII.
fn single<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    let mut values = request.headers().get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// Whether a comma-separated header contains `token`, compared without case.
fn has_token(request: &Request, name: &HeaderName, token: &str) -> bool {
    let values = request.headers().get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The only version of the WebSocket protocol (RFC 6455).
const WEBSOCKET_VERSION: &str = "13";
