//! Where an HTTP request may carry an API key: `Authorization`, the header of another API, or a
//! WebSocket subprotocol.
//!
//! A key in the address is refused: addresses end up in logs, histories and `Referer` headers.

use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::domain::ApiKey;

use super::key_hash::{KEY_START, MIN_KEY_BYTES};

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
    if has_key(uri) {
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
    // Other APIs name the header so. Clients that send both send the same key in both.
    for value in KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name)) {
        let key = value.to_str().map_err(|_| CredentialError::NotText)?.trim();
        if !keys.contains(&key) {
            keys.push(key);
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

/// Whether an address has a key of `key new`, or a parameter that is meant as a key.
fn has_key(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    let mut names = query.split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
    let is_forbidden = |name: &str| {
        let name = decoded(name);
        FORBIDDEN_PARAMETERS.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name.trim()))
    };
    names.any(is_forbidden)
        || [uri.path(), query].map(decoded).iter().any(|text| contains_key(text))
}

/// `text` without percent-encoding, also if it was encoded several times.
fn decoded(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..MAX_ENCODINGS {
        let decoded = percent_decode_str(&text).decode_utf8_lossy();
        if decoded == text {
            break;
        }
        text = decoded.into_owned();
    }
    text
}

/// Whether `text` contains what looks like a key of `key new`, or its beginning.
fn contains_key(text: &str) -> bool {
    let is_of_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    text.match_indices(KEY_START).any(|(at, start)| {
        let rest = text[at + start.len()..].bytes();
        rest.take_while(is_of_key).count() >= MIN_KEY_BYTES
    })
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

/// Headers of other APIs that have nothing but the key: of Anthropic and of Azure.
const KEY_HEADERS: [&str; 2] = ["x-api-key", "api-key"];

/// Parameters of an address that are meant as a key.
const FORBIDDEN_PARAMETERS: [&str; 11] = [
    "token",
    "key",
    "auth",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "authorization",
    "bearer",
    "secret",
    "password",
];

/// How often an address may have been encoded.
const MAX_ENCODINGS: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::server::access::key_hash::random_key;

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
            ("x-api-key", "ic_1", key("ic_1")),
            ("api-key", " ic_1 ", key("ic_1")),
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
        let other = ("x-api-key", "ic_2");
        for fields in
            [[header, header], [header, subprotocol], [subprotocol, subprotocol], [header, other]]
        {
            assert_eq!(sent("/", &fields), Err(CredentialError::Several));
        }
        let same = ("x-api-key", "ic_1");
        assert_eq!(sent("/", &[header, same]), Ok(Some(ApiKey::new("ic_1"))));
    }

    #[test]
    fn key_in_the_address_is_refused() {
        for uri in [
            "/?token=ic_1",
            "/ws?a=b&API_KEY=x",
            "/?access_token",
            "/?a;key=1",
            "/?%74oken=x",
            "/?a=b%20&t%6Fken%20=x",
            "/?%2574oken=x",
            "/?bearer=x",
            "/?Secret=x",
            "/?password=x",
            "/?k=ic_0123456789abcdef",
            "/?k=%69c%5F0123456789%61bcdef",
            "/?ic_0123456789abcdef",
            "/?k=ic_ic_0123456789abcdef",
            "/?k=ic_0123456789ic_abc",
            "/ic_0123456789abcdef",
            "/a/%69c_0123456789abcdef/b?c=d",
        ] {
            assert_eq!(sent(uri, &[]), Err(CredentialError::InAddress), "{uri}");
        }
        for uri in [
            "/",
            "/token",
            "/ws?tokens=1",
            "/?a=token",
            "/?a=ic_",
            "/?a=ic_0123456789abcde",
            "/magic_numbers",
            "/?%zz=%",
        ] {
            assert_eq!(sent(uri, &[]), Ok(None), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn new_key_is_found_anywhere_in_an_address_however_it_is_encoded(
            before in "[a-z/]{0,8}(\\?[a-z&=]{0,8})?",
            encoded in prop::collection::vec(any::<bool>(), 46),
        ) {
            let key = random_key().unwrap();
            let characters = key.reveal().bytes().zip(encoded);
            let key: String = characters
                .map(|(byte, is_encoded)| match is_encoded {
                    true => format!("%{byte:02x}"),
                    false => char::from(byte).to_string(),
                })
                .collect();
            prop_assert_eq!(
                sent(&format!("/{before}{key}"), &[]),
                Err(CredentialError::InAddress)
            );
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
