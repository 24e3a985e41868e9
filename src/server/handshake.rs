//! The HTTP half of opening a WebSocket (RFC 6455, section 4.2).
//!
//! Checks what the client sent and composes the answer. No extension and no subprotocol is ever
//! agreed on. Whether the client may connect at all has been decided before.

use axum::extract::Request;
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::pages::plain;

/// The one version of the protocol there is.
const VERSION: &str = "13";

/// Why a WebSocket was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request is not what the RFC asks for.
    Malformed(&'static str),
    /// The client speaks another version.
    WrongVersion,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Malformed(reason) => plain(StatusCode::BAD_REQUEST, reason),
            Self::WrongVersion => {
                let fields = [(UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, VERSION)];
                let line = "this server speaks WebSocket version 13";
                (fields, plain(StatusCode::UPGRADE_REQUIRED, line)).into_response()
            }
        }
    }
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_wanted(request: &Request) -> bool {
    request.method() == Method::GET && lists(request, &UPGRADE, "websocket")
}

/// The answer that turns the connection into a WebSocket.
pub(super) fn answer(request: &Request) -> Result<Response, Refusal> {
    if request.version() != Version::HTTP_11 || !lists(request, &CONNECTION, "upgrade") {
        return Err(Refusal::Malformed("a WebSocket needs HTTP/1.1 and Connection: Upgrade"));
    }
    if field(request, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(Refusal::WrongVersion);
    }
    let key = field(request, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key))
        .ok_or(Refusal::Malformed("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    let accept = derive_accept_key(key.as_bytes());
    let fields =
        [(UPGRADE, "websocket"), (CONNECTION, "Upgrade"), (SEC_WEBSOCKET_ACCEPT, accept.as_str())];
    Ok((StatusCode::SWITCHING_PROTOCOLS, fields).into_response())
}

/// Whether `key` can be 16 bytes in base64: 22 digits and two paddings.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

/// The one value of a header.
fn field<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    let mut values = request.headers().get_all(name).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    only.to_str().ok()
}

/// Whether a comma-separated header holds `word`, in any case.
fn lists(request: &Request, name: &HeaderName, word: &str) -> bool {
    let values = request.headers().get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}
