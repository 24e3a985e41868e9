//! Origins of web pages (RFC 6454) and hosts of HTTP requests (RFC 3986), parsed.
//!
//! Both are compared part by part, never as text. An [`Origin`] is what a browser or an app with a
//! built-in browser sends, an [`AllowedOrigin`] what the operator of the server writes. The server
//! decides which of them it accepts (ADR-0020).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The origin of a page, as an `Origin` header names it. Its `Display` form is that of the header,
/// and an [`AllowedOrigin`] as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(
    /// `None` is `null`: the browser keeps the origin to itself, as for sandboxed frames and files.
    Option<PageOrigin>,
);

/// Scheme, host and port of a page: `https://host:port`, or `app://host` for a page of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PageOrigin {
    scheme: Scheme,
    /// `None` as in `file://`.
    host: Option<Host>,
    /// `None` if the scheme has no default port and none is given.
    port: Option<u16>,
}

impl Origin {
    /// Parses the value of an `Origin` header; `None` if `text` is not an origin.
    pub fn parse(text: &str) -> Option<Self> {
        if text == NULL {
            return Some(Self(None));
        }
        let (scheme, authority) = text.split_once("://")?;
        let scheme = Scheme::parse(scheme)?;
        if authority.is_empty() && !scheme.is_web() {
            return Some(Self(Some(PageOrigin { scheme, host: None, port: None })));
        }
        let Authority { host, port } = Authority::parse(authority)?;
        let port = port.or_else(|| scheme.default_port());
        Some(Self(Some(PageOrigin { scheme, host: Some(host), port })))
    }

    /// Whether pages of this origin come from this machine and from the port of `server`. The host
    /// must be that of `server` or name the loopback interface.
    pub fn is_page_of(&self, server: &Authority) -> bool {
        let Some(PageOrigin { scheme, host: Some(host), port }) = &self.0 else { return false };
        let server_port = server.port.or_else(|| scheme.default_port());
        scheme.is_web() && *port == server_port && (*host == server.host || host.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(PageOrigin { scheme, host, port }) = &self.0 else { return f.write_str(NULL) };
        write!(f, "{}://", scheme.name())?;
        if let Some(host) = host {
            write!(f, "{host}")?;
        }
        match port {
            Some(port) if Some(*port) != scheme.default_port() => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// An origin, or all origins of one app's scheme, whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// Exactly this origin.
    Origin(Origin),
    /// All hosts of a scheme that is not of the web, such as `vscode-webview://*`.
    Scheme(Scheme),
}

impl AllowedOrigin {
    /// Whether pages of `origin` may connect.
    pub fn allows(&self, origin: &Origin) -> bool {
        match &self.0 {
            Pattern::Origin(allowed) => allowed == origin,
            Pattern::Scheme(allowed) => {
                origin.0.as_ref().is_some_and(|page| page.scheme == *allowed)
            }
        }
    }
}

/// Why a text is not an origin to allow, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidOrigin(&'static str);

impl FromStr for AllowedOrigin {
    type Err = InvalidOrigin;

    /// Parses an origin as a person writes it, with at most one slash at its end.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        // The slashes of `file://` belong to the origin.
        let origin = text.strip_suffix('/').filter(|text| !text.ends_with(":/")).unwrap_or(text);
        if let Some(scheme) = origin.strip_suffix("://*").and_then(Scheme::parse)
            && !scheme.is_web()
        {
            return Ok(Self(Pattern::Scheme(scheme)));
        }
        if let Some(origin) = Origin::parse(origin) {
            return Ok(Self(Pattern::Origin(origin)));
        }
        Err(InvalidOrigin(match origin.split_once("://") {
            _ if text.contains('*') => {
                "foreign web pages would match: write one origin, such as https://example.org; \
                 only the host of an app's scheme can be a *, as in vscode-webview://*"
            }
            Some((scheme, _)) if NOT_OF_PAGES.contains(&scheme.to_ascii_lowercase().as_str()) => {
                "this is the address of a server, not of a page: write http://host or https://host"
            }
            Some(_) => "write only scheme and host, and :port if not the default: https://host",
            None => "the scheme is missing: write https://host, http://host, app://host or null",
        }))
    }
}

/// The scheme of an origin, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    /// A scheme of pages that are not from the web: `file`, or that of an app.
    Other(String),
}

impl Scheme {
    /// Parses the name of a scheme; `None` if pages have no origin with it.
    fn parse(text: &str) -> Option<Self> {
        let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_scheme = text.starts_with(|char: char| char.is_ascii_alphabetic())
            && text.bytes().all(is_scheme_byte);
        match text.to_ascii_lowercase() {
            _ if !is_scheme => None,
            name if name == "http" => Some(Self::Http),
            name if name == "https" => Some(Self::Https),
            name if NOT_OF_PAGES.contains(&name.as_str()) => None,
            name => Some(Self::Other(name)),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Other(name) => name,
        }
    }

    /// Whether pages with this scheme can be of any author.
    fn is_web(&self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    fn default_port(&self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Other(_) => None,
        }
    }
}

/// The origin of pages that have none to compare.
const NULL: &str = "null";

/// Schemes of the URL standard that no page has.
const NOT_OF_PAGES: [&str; 3] = ["ws", "wss", "ftp"];

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

    fn allows(allowed: &str, origin: &str) -> bool {
        let allowed: AllowedOrigin = allowed.parse().unwrap();
        Origin::parse(origin).is_some_and(|origin| allowed.allows(&origin))
    }

    #[test]
    fn origins_of_apps_and_files_can_be_allowed() {
        for origin in [
            "app://obsidian.md",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "file://",
            "ionic://localhost",
            "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
            "null",
            "tauri://localhost",
            "vscode-webview://1q2w3e4r5t6y",
            "x-app+1.0://host:3000",
            "https://[::1]:8443",
        ] {
            assert!(allows(origin, origin), "{origin}");
            assert_eq!(Origin::parse(origin).unwrap().to_string(), origin);
            for other in ["https://evil.com", "app://evil.com", "http://obsidian.md", "other://"] {
                assert!(!allows(origin, other), "{origin} allows {other}");
            }
            assert!(!allows("https://example.org", origin), "{origin}");
        }
    }

    #[test]
    fn one_slash_at_the_end_is_ignored_in_the_option_only() {
        for (allowed, origin) in [
            ("https://example.org/", "https://example.org"),
            ("https://example.org:443/", "https://EXAMPLE.org"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("app://obsidian.md/", "app://obsidian.md"),
            ("file:///", "file://"),
        ] {
            assert!(allows(allowed, origin), "{allowed}");
            assert!(!allows(origin, &format!("{origin}/")), "{origin}");
        }
    }

    #[test]
    fn all_hosts_of_an_app_scheme_can_be_allowed() {
        for origin in ["vscode-webview://1q2w3e", "VSCODE-WEBVIEW://x:1", "vscode-webview://"] {
            assert!(allows("vscode-webview://*", origin), "{origin}");
            assert!(allows("vscode-webview://*/", origin), "{origin}");
        }
        for origin in ["null", "https://x", "vscode-file://x", "vscode-webview://a/b"] {
            assert!(!allows("vscode-webview://*", origin), "{origin}");
        }
    }

    #[test]
    fn text_that_is_not_an_origin_is_refused_with_advice() {
        for (text, advice) in [
            ("*", "write one origin"),
            ("https://*", "write one origin"),
            ("http://*/", "write one origin"),
            ("https://*.example.org", "write one origin"),
            ("app://*.md", "write one origin"),
            ("*://x", "write one origin"),
            ("", "the scheme is missing"),
            ("chat.example", "the scheme is missing"),
            ("localhost:3000", "the scheme is missing"),
            ("NULL", "the scheme is missing"),
            ("https://a b", "only scheme and host"),
            ("https://", "only scheme and host"),
            ("https:///", "only scheme and host"),
            ("https://chat.example//", "only scheme and host"),
            ("https://chat.example/app", "only scheme and host"),
            ("https://user@chat.example", "only scheme and host"),
            ("https://chat.example#x", "only scheme and host"),
            ("file:///home/me/page.html", "only scheme and host"),
            ("https://a,https://b", "only scheme and host"),
            ("blob:https://a", "only scheme and host"),
            ("1app://a", "only scheme and host"),
            ("ws://localhost:3000", "the address of a server"),
            ("WSS://a", "the address of a server"),
            ("ftp://a", "the address of a server"),
        ] {
            let error = text.parse::<AllowedOrigin>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
