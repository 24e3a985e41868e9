//! Decides which web pages and host names may reach a daemon on the loopback interface (ADR-0020).
//!
//! Any web page can make its visitor's browser connect to a local port, and can point a DNS name of
//! its own at the loopback address (DNS rebinding). Browsers send the page's origin in `Origin` and
//! the name they connected to in `Host`, so [`check_origin`] refuses foreign pages and [`own_host`]
//! foreign names. Both headers are parsed and compared part by part, never as text. Programs that
//! are not browsers send no `Origin` and are accepted.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use thiserror::Error;

/// The origin of a web page: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// A text that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not an origin: write http://host or https://host, with :port if not the default")]
pub struct InvalidOrigin(String);

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        Self::parse(text).ok_or_else(|| InvalidOrigin(text.to_owned()))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let Authority { host, port } = Authority::parse(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or_else(|| scheme.default_port()) })
    }
}

/// The host that the request was sent to.
///
/// # Errors
/// The reason as text, if the `Host` header does not name this machine.
pub(super) fn own_host(headers: &HeaderMap) -> Result<Authority, &'static str> {
    single(headers, &HOST)?
        .and_then(Authority::parse)
        .filter(|authority| authority.host.is_loopback())
        .ok_or("Host must name the loopback interface, for example localhost")
}

/// Accepts requests without an `Origin`, from pages of this server (`own`), and from `allowed`
/// origins.
///
/// # Errors
/// The reason as text, for any other origin.
pub(super) fn check_origin(
    headers: &HeaderMap,
    own: &Authority,
    allowed: &[Origin],
) -> Result<(), &'static str> {
    let Some(text) = single(headers, &ORIGIN)? else { return Ok(()) };
    let is_allowed = |origin: &Origin| {
        let own_port = own.port.unwrap_or_else(|| origin.scheme.default_port());
        let is_own =
            origin.port == own_port && (origin.host == own.host || origin.host.is_loopback());
        is_own || allowed.contains(origin)
    };
    let origin = Origin::parse(text).filter(is_allowed);
    origin.map(|_| ()).ok_or("this web page's Origin is not allowed to connect")
}

/// The only value of a header; `None` if the header is absent.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("Host and Origin must not be repeated");
    }
    first.to_str().map(Some).map_err(|_| "Host and Origin must be ASCII")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host and port in a `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// A host name in lower case.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(text) => {
                let (address, rest) = text.split_once(']')?;
                (Host::V6(address.parse().ok()?), rest)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                (Host::parse_name(&text[..end])?, &text[end..])
            }
        };
        let port = match rest.strip_prefix(':') {
            // RFC 3986 allows a colon without a port.
            Some("") => None,
            // Only digits: parsing as `u16` would also accept a plus sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if rest.is_empty() => None,
            _ => return None,
        };
        Some(Self { host, port })
    }
}

impl Host {
    fn parse_name(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !text.is_empty() && text.bytes().all(is_name_byte);
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::V4(address) => address.is_loopback(),
            Self::V6(address) => address.is_loopback(),
            Self::Name(name) => match name.strip_suffix("localhost") {
                // Subdomains of `localhost` are never resolved through DNS (RFC 6761).
                Some(prefix) => prefix.is_empty() || (prefix.len() > 1 && prefix.ends_with('.')),
                None => false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
