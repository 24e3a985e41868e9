//! Where an HTTP request may carry an API key: `Authorization`, or a WebSocket subprotocol.
//!
//! A key in the address is refused: addresses end up in logs, histories and `Referer` headers.

use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, Uri};
use thiserror::Error;

use crate::domain::ApiKey;

/// Why the key of a request cannot be read. The messages do not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(in crate::server) enum CredentialError {
    /// The address has a key.
    #[error(
        "an API key must not be in the address, where logs keep it: send the header \
         Authorization: Bearer KEY, or the frame {{\"op\":\"auth\",\"token\":\"KEY\"}} first"
    )]
    InAddress,
    /// There is more than one key.
    #[error("send one API key, not several")]
    Several,
    /// The header is not text.
    #[error("Authorization must be: Bearer KEY")]
    NotText,
}

/// The key of a request; `None` if it has none. Other authentication than `Bearer` is ignored,
/// since it may be for a proxy.
///
/// # Errors
/// [`CredentialError`].
pub(in crate::server) fn sent_key(
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<ApiKey>, CredentialError> {
    let names = uri.query().unwrap_or_default().split(['&', ';']);
    let mut names = names.map(|pair| pair.split('=').next().unwrap_or_default());
    if names.any(|name| FORBIDDEN_PARAMETERS.iter().any(|key| key.eq_ignore_ascii_case(name))) {
        return Err(CredentialError::InAddress);
    }
    let mut keys = Vec::new();
    for value in headers.get_all(AUTHORIZATION) {
        let value = value.to_str().map_err(|_| CredentialError::NotText)?.trim();
        match value.split_once(char::is_whitespace) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => keys.push(key.trim()),
            None if value.eq_ignore_ascii_case("bearer") => keys.push(""),
            _ => {}
        }
    }
    keys.extend(subprotocols(headers).filter_map(|item| item.strip_prefix(KEY_PREFIX)));
    match keys[..] {
        [] => Ok(None),
        [key] => Ok(Some(ApiKey::new(key))),
        _ => Err(CredentialError::Several),
    }
}

/// The subprotocol to agree to: the plain one, if the client offers it. A subprotocol with a key is
/// never repeated.
pub(in crate::server) fn agreed_subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    subprotocols(headers).any(|item| item == SUBPROTOCOL).then_some(SUBPROTOCOL)
}

/// The subprotocols that the client offers.
fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// The subprotocol of docs/PROTOCOL.md.
const SUBPROTOCOL: &str = "inference-core.v1";

/// What a subprotocol with a key begins with.
const KEY_PREFIX: &str = "inference-core.key.";

/// Parameters of an address that are meant as a key.
const FORBIDDEN_PARAMETERS: [&str; 8] =
    ["token", "key", "auth", "api_key", "api-key", "apikey", "access_token", "authorization"];

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(uri: &str, fields: &[(&'static str, &str)]) -> Result<Option<ApiKey>, CredentialError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        sent_key(&uri.parse().unwrap(), &headers)
    }

    #[test]
    fn key_is_in_the_header_or_in_a_subprotocol() {
        let key = |text: &str| Ok(Some(ApiKey::new(text)));
        for (name, value, expected) in [
            ("authorization", "Bearer ic_1", key("ic_1")),
            ("authorization", "bearer   ic_1 ", key("ic_1")),
            ("authorization", "BEARER\tic_1", key("ic_1")),
            ("authorization", "Bearer", key("")),
            ("authorization", "Basic dTpw", Ok(None)),
            ("sec-websocket-protocol", "inference-core.v1, inference-core.key.ic_1", key("ic_1")),
            ("sec-websocket-protocol", "inference-core.key.ic_1", key("ic_1")),
            ("sec-websocket-protocol", "chat", Ok(None)),
        ] {
            assert_eq!(sent("/", &[(name, value)]), expected, "{value}");
        }
        assert_eq!(sent("/", &[]), Ok(None));
    }

    #[test]
    fn several_keys_are_refused() {
        let header = ("authorization", "Bearer ic_1");
        let subprotocol = ("sec-websocket-protocol", "inference-core.key.ic_1");
        for fields in [[header, header], [header, subprotocol], [subprotocol, subprotocol]] {
            assert_eq!(sent("/", &fields), Err(CredentialError::Several));
        }
    }

    #[test]
    fn key_in_the_address_is_refused() {
        for uri in ["/?token=ic_1", "/ws?a=b&API_KEY=x", "/?access_token", "/?a;key=1"] {
            assert_eq!(sent(uri, &[]), Err(CredentialError::InAddress), "{uri}");
        }
        for uri in ["/", "/token", "/ws?tokens=1", "/?a=token"] {
            assert_eq!(sent(uri, &[]), Ok(None), "{uri}");
        }
    }

    #[test]
    fn subprotocol_with_a_key_is_never_agreed_to() {
        let agreed = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            agreed_subprotocol(&headers)
        };
        assert_eq!(agreed("inference-core.key.ic_1, inference-core.v1"), Some(SUBPROTOCOL));
        assert_eq!(agreed("inference-core.key.ic_1"), None);
        assert_eq!(agreed("chat"), None);
    }
}
