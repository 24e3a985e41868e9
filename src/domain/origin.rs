//! Origins of web pages (RFC 6454) and hosts of HTTP requests (RFC 3986), parsed.
//!
//! Both are compared part by part, never as text. The server decides which of them it accepts
//! (ADR-0020).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

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
    /// Parses an origin; `None` if `text` is none, or if its scheme is not HTTP or HTTPS.
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

    /// Whether pages of this origin come from this machine and from the port of `server`. The host
    /// must be that of `server` or name the loopback interface.
    pub fn is_page_of(&self, server: &Authority) -> bool {
        let server_port = server.port.unwrap_or_else(|| self.scheme.default_port());
        self.port == server_port && (self.host == server.host || self.host.is_loopback())
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

/// A host and an optional port, as in a `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    host: Host,
    port: Option<u16>,
}

impl Authority {
    /// Parses `host`, `host:port` or the same with an IPv6 address in brackets; `None` if `text` is
    /// anything else.
    pub fn parse(text: &str) -> Option<Self> {
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

    /// Whether the host names the loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.host.is_loopback()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// A host name in lower case.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    /// Parses an IPv4 address or a host name; `None` if `text` is empty or has a character that
    /// occurs in neither.
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
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_an_origin_is_not_parsed() {
        for text in ["*", "null", "chat.example", "https://chat.example/", "https://a b", "ftp://a"]
        {
            let error = text.parse::<Origin>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
