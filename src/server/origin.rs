//! Who may talk to a daemon that listens on the loopback interface.
//!
//! Any web page can make its visitor's browser connect to a local port, and can give that port a
//! name of its own by DNS. Browsers say which page asks (`Origin`) and which name was used
//! (`Host`), so a foreign page is refused by the first and a foreign name by the second. Both are
//! taken apart and compared by their parts. A program that is no browser sends no `Origin`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use thiserror::Error;

/// A web page's origin: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no origin: write http://host or https://host, with :port where it is unusual")]
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

/// The host and port of a `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// In lower case.
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
            // As in RFC 3986, which allows to write the colon alone.
            Some("") => None,
            // `u16` would also take a sign.
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
                // Names below `localhost` never leave the machine (RFC 6761).
                Some(prefix) => prefix.is_empty() || (prefix.len() > 1 && prefix.ends_with('.')),
                None => false,
            },
        }
    }
}

/// The host a request was meant for, if that is this machine.
///
/// # Errors
/// The reason in words.
pub(super) fn own_host(headers: &HeaderMap) -> Result<Authority, &'static str> {
    only(headers, &HOST)?
        .and_then(Authority::parse)
        .filter(|authority| authority.host.is_loopback())
        .ok_or("Host must name the loopback interface, for example localhost")
}

/// Lets programs pass, and the web pages that may connect.
///
/// # Errors
/// The reason in words.
pub(super) fn check_origin(
    headers: &HeaderMap,
    own: &Authority,
    allowed: &[Origin],
) -> Result<(), &'static str> {
    let Some(text) = only(headers, &ORIGIN)? else { return Ok(()) };
    let is_welcome = |origin: &Origin| {
        let own_port = own.port.unwrap_or_else(|| origin.scheme.default_port());
        let is_own =
            origin.port == own_port && (origin.host == own.host || origin.host.is_loopback());
        is_own || allowed.contains(origin)
    };
    let origin = Origin::parse(text).filter(is_welcome);
    origin.map(|_| ()).ok_or("this web page's Origin may not connect here")
}

/// The one value of a header; none if it is absent.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("Host and Origin may be given once");
    }
    first.to_str().map(Some).map_err(|_| "Host and Origin must be ASCII")
}

#[cfg(test)]
mod tests;
