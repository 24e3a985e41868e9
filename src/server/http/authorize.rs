//! Checks the API key of an HTTP request, also of one that asks for a WebSocket.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::respond::plain;
use crate::domain::{ApiKey, Right};
use crate::server::access::{Access, Caller, CredentialError, WrongKey, sent_key};

/// Why a request is refused; it converts into the response to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unauthorized {
    /// There is no key.
    NoKey,
    /// There is no such key.
    WrongKey,
    /// The key does not have the right.
    Forbidden(Right),
    /// The key cannot be read.
    Malformed(CredentialError),
}

/// The address of a client, and the key in its request.
#[derive(Debug)]
pub(super) struct Credentials {
    address: IpAddr,
    key: Result<Option<ApiKey>, CredentialError>,
}

impl Credentials {
    /// Those of `request`, which came over a connection from `address`.
    pub(super) fn of(request: &Request, address: IpAddr) -> Self {
        Self { address, key: sent_key(request.uri(), request.headers()) }
    }

    /// Who sent the request; `None` if it has no key and needs one.
    ///
    /// # Errors
    /// [`Unauthorized`], if the key is wrong or cannot be read.
    pub(super) async fn caller(self, access: &Access) -> Result<Option<Caller>, Unauthorized> {
        let without_key = access.without_key(self.address);
        if without_key.is_some() {
            return Ok(without_key);
        }
        let Some(key) = self.key.map_err(Unauthorized::Malformed)? else { return Ok(None) };
        let caller = access.with_key(&key, self.address).await;
        caller.map(Some).map_err(|WrongKey| Unauthorized::WrongKey)
    }

    /// Checks that no key is in the address of the request, where keys are needed: logs and
    /// histories have addresses.
    ///
    /// # Errors
    /// [`Unauthorized::Malformed`].
    pub(super) fn check_address(&self, access: &Access) -> Result<(), Unauthorized> {
        match self.key {
            Err(error @ CredentialError::InAddress) if access.needs_key() => {
                Err(Unauthorized::Malformed(error))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the sender of the request has a right. Returns who it is.
    ///
    /// # Errors
    /// [`Unauthorized`].
    pub(super) async fn require(
        self,
        access: &Access,
        right: Right,
    ) -> Result<Caller, Unauthorized> {
        self.require_any(access, right, &[]).await
    }

    /// Checks that the sender of the request has `right` or one of the `others`. Returns who it is.
    ///
    /// # Errors
    /// [`Unauthorized`].
    pub(super) async fn require_any(
        self,
        access: &Access,
        right: Right,
        others: &[Right],
    ) -> Result<Caller, Unauthorized> {
        let caller = self.caller(access).await?.ok_or(Unauthorized::NoKey)?;
        let may = |&right: &Right| access.may(&caller, right);
        if may(&right) || others.iter().any(may) {
            return Ok(caller);
        }
        Err(Unauthorized::Forbidden(right))
    }
}

impl Unauthorized {
    /// The status, and the reason as one line.
    pub(super) fn status_and_line(self) -> (StatusCode, String) {
        match self {
            Self::NoKey => (
                StatusCode::UNAUTHORIZED,
                "an API key is needed: send the header Authorization: Bearer KEY".to_owned(),
            ),
            Self::WrongKey => (
                StatusCode::UNAUTHORIZED,
                "there is no such API key: check it, or ask for a new one".to_owned(),
            ),
            Self::Forbidden(right) => {
                let name = right.name();
                (
                    StatusCode::FORBIDDEN,
                    format!("this API key does not have the right {name}: use one that has"),
                )
            }
            Self::Malformed(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
}

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        let (status, line) = self.status_and_line();
        let mut response = ([(CACHE_CONTROL, "no-store")], plain(status, &line)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"inference-core\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
