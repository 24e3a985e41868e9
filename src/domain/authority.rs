//! Hosts of HTTP requests (RFC 3986), parsed.
//!
//! They are compared part by part, never as text: case and one dot at the end of a name do not
//! count, nor does the zone of an IPv6 address. An [`Authority`] is what a client sends, an
//! [`AllowedHost`] what the operator of the server writes (ADR-0020).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

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
                (Host::parse_v6(address)?, rest)
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

    /// The host, if it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::V4(address) => Some(address.into()),
            Host::V6(address) => Some(address.into()),
            Host::Name(_) => None,
        }
    }

    /// The host without the port, as an [`AllowedHost`] is written.
    pub fn host_text(&self) -> String {
        match &self.host {
            Host::V6(address) => address.to_string(),
            host => host.to_string(),
        }
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    pub(super) fn into_parts(self) -> (Host, Option<u16>) {
        (self.host, self.port)
    }
}

/// A host by which clients may reach the server: a name, all names below one, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost(HostPattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    /// Exactly this host.
    Host(Host),
    /// All names that end with this text, which begins with a dot: `*.example.org`.
    Below(String),
}

impl AllowedHost {
    /// Whether the host of `authority` is allowed, on any port.
    pub fn allows(&self, authority: &Authority) -> bool {
        match (&self.0, &authority.host) {
            (HostPattern::Host(allowed), host) => allowed == host,
            (HostPattern::Below(end), Host::Name(name)) => {
                name.len() > end.len() && name.ends_with(end)
            }
            (HostPattern::Below(_), _) => false,
        }
    }
}

/// Why a text is not a host to allow, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidHost(&'static str);

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    /// Parses a host as a person writes it; an IPv6 address may be in brackets.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Ok(address) = text.parse() {
            return Ok(Self(HostPattern::Host(Host::V6(address))));
        }
        if let Some(name) = text.strip_prefix("*.") {
            return match Host::parse_name(name) {
                Some(Host::Name(name)) if name.contains('.') && !name.starts_with('.') => {
                    Ok(Self(HostPattern::Below(format!(".{name}"))))
                }
                _ => Err(InvalidHost("after *. write a name with a dot, as in *.example.org")),
            };
        }
        match Authority::parse(text) {
            Some(Authority { host, port: None }) if !text.ends_with(':') => {
                Ok(Self(HostPattern::Host(host)))
            }
            Some(_) => Err(InvalidHost("write the host without a port: every port is allowed")),
            None if text.contains("://") => {
                Err(InvalidHost("write the host only, as in chat.example.org"))
            }
            None if text.contains('*') => Err(InvalidHost(
                "any web page could reach the server under a name of its own: write the host, or \
                 *.example.org for all names below one",
            )),
            None => Err(InvalidHost(
                "it must be a host name or an IP address, as in chat.example.org or 192.168.1.5",
            )),
        }
    }
}

/// The host of an [`Authority`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A host name in lower case, without a dot at its end.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl Host {
    /// Parses an IPv4 address or a host name; `None` if `text` is empty or has a character that
    /// occurs in neither. With a dot at its end a name is the same name.
    fn parse_name(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = text.parse() {
            return Some(Self::V4(address));
        }
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !text.is_empty() && text.bytes().all(is_name_byte);
        is_name.then(|| Self::Name(text.to_ascii_lowercase()))
    }

    /// Parses what is in the brackets of an IPv6 address. The zone after a `%` names an interface
    /// of the client's machine and is dropped (RFC 6874).
    fn parse_v6(text: &str) -> Option<Self> {
        let is_zone_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
        let address = match text.split_once('%') {
            Some((address, zone)) if !zone.is_empty() && zone.bytes().all(is_zone_byte) => address,
            Some(_) => return None,
            None => text,
        };
        address.parse().ok().map(Self::V6)
    }

    pub(super) fn is_loopback(&self) -> bool {
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

    fn allows(allowed: &str, host: &str) -> bool {
        let allowed: AllowedHost = allowed.parse().unwrap();
        Authority::parse(host).is_some_and(|host| allowed.allows(&host))
    }

    #[test]
    fn allowed_host_is_compared_without_case_port_and_last_dot() {
        for (allowed, host) in [
            ("gpu-box", "gpu-box"),
            ("gpu-box", "GPU-Box:3000"),
            ("gpu-box.", "gpu-box"),
            ("Chat.Example.org", "chat.example.org.:443"),
            ("192.168.1.5", "192.168.1.5:3000"),
            ("fd00::5", "[fd00::5]:3000"),
            ("[fd00:0::5]", "[fd00::5]"),
            ("fe80::1", "[fe80::1%25eth0]:3000"),
            ("*.example.org", "a.example.org"),
            ("*.Example.org", "a.b.EXAMPLE.org.:80"),
        ] {
            assert!(allows(allowed, host), "{allowed} {host}");
        }
    }

    #[test]
    fn host_that_only_resembles_an_allowed_one_is_not_allowed() {
        for (allowed, host) in [
            ("gpu-box", "gpu-box.evil.com"),
            ("gpu-box", "evil-gpu-box"),
            ("gpu-box", "gpu-box.."),
            ("192.168.1.5", "192.168.1.50"),
            ("192.168.1.5", "192.168.1.5.evil.com"),
            ("*.example.org", "example.org"),
            ("*.example.org", ".example.org"),
            ("*.example.org", "evilexample.org"),
            ("*.example.org", "a.example.org.evil.com"),
            ("*.example.org", "192.168.1.5"),
        ] {
            assert!(!allows(allowed, host), "{allowed} {host}");
        }
    }

    #[test]
    fn text_that_is_not_a_host_is_refused_with_advice() {
        for (text, advice) in [
            ("", "a host name or an IP address"),
            ("a b", "a host name or an IP address"),
            ("user@host", "a host name or an IP address"),
            ("fe80::1%eth0", "a host name or an IP address"),
            ("*", "any web page"),
            ("a.*", "any web page"),
            ("*.", "a name with a dot"),
            ("*.org", "a name with a dot"),
            ("*.1.2.3.4", "a name with a dot"),
            ("host:3000", "without a port"),
            ("[::1]:3000", "without a port"),
            ("https://host", "the host only"),
        ] {
            let error = text.parse::<AllowedHost>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn zone_of_an_address_is_dropped_and_must_be_a_name() {
        for text in ["[::1%lo]", "[::1%25lo]:80"] {
            assert!(Authority::parse(text).is_some_and(|host| host.is_loopback()), "{text}");
        }
        for text in ["[::1%]", "[::1%a/b]", "[::1%a@b]", "[%lo]"] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }
}
