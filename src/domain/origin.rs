//! Origins of web pages (RFC 6454), parsed.
//!
//! They are compared part by part, never as text. An [`Origin`] is what a browser or an app with a
//! built-in browser sends, an [`AllowedOrigin`] what the operator of the server writes. The server
//! decides which of them it accepts (ADR-0020).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::authority::{Authority, Host};

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
        let (host, port) = Authority::parse(authority)?.into_parts();
        let port = port.or_else(|| scheme.default_port());
        Some(Self(Some(PageOrigin { scheme, host: Some(host), port })))
    }

    /// Whether this is the origin of pages of `server`: its host and its port. All names of the
    /// loopback interface are one host. Only `https` is the origin of a server that is reached
    /// through TLS (`is_secure`), because anybody on the way can write pages of `http`.
    pub fn is_page_of(&self, server: &Authority, is_secure: bool) -> bool {
        let Some(PageOrigin { scheme, host: Some(host), port }) = &self.0 else { return false };
        let is_scheme = match scheme {
            Scheme::Http => !is_secure,
            Scheme::Https => true,
            Scheme::Other(_) => false,
        };
        let is_host = host == server.host() || host.is_loopback() && server.host().is_loopback();
        is_scheme && is_host && *port == server.port().or_else(|| scheme.default_port())
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

/// An origin, all ports of one host, or all origins of one app's scheme, whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// Exactly this origin.
    Origin(Origin),
    /// All ports of a host of the web, such as `http://localhost:*`.
    Ports(Scheme, Host),
    /// All hosts of a scheme that is not of the web, such as `vscode-webview://*`.
    Scheme(Scheme),
}

impl AllowedOrigin {
    /// Whether pages of `origin` may connect.
    pub fn allows(&self, origin: &Origin) -> bool {
        match &self.0 {
            Pattern::Origin(allowed) => allowed == origin,
            Pattern::Ports(scheme, host) => origin
                .0
                .as_ref()
                .is_some_and(|page| page.scheme == *scheme && page.host.as_ref() == Some(host)),
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
        if let Some((scheme, host)) = origin.strip_suffix(":*").and_then(|t| t.split_once("://"))
            && let Some(scheme) = Scheme::parse(scheme).filter(Scheme::is_web)
            && let Some((host, None)) = Authority::parse(host).map(Authority::into_parts)
        {
            return Ok(Self(Pattern::Ports(scheme, host)));
        }
        if let Some(origin) = Origin::parse(origin) {
            return Ok(Self(Pattern::Origin(origin)));
        }
        Err(InvalidOrigin(match origin.split_once("://") {
            _ if text.contains('*') => {
                "foreign web pages would match: write one origin, such as https://example.org; \
                 only a port, as in http://localhost:*, or the host of an app's scheme, as in \
                 vscode-webview://*, can be a *"
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
    fn all_ports_of_a_web_host_can_be_allowed() {
        for (allowed, origin) in [
            ("http://localhost:*", "http://localhost:5173"),
            ("http://localhost:*", "http://LOCALHOST"),
            ("http://localhost:*/", "http://localhost:80"),
            ("HTTPS://Chat.Example:*", "https://chat.example"),
            ("http://127.0.0.1:*", "http://127.0.0.1:8080"),
            ("http://[::1]:*", "http://[::1]:8080"),
        ] {
            assert!(allows(allowed, origin), "{allowed} {origin}");
        }
        for (allowed, origin) in [
            ("http://localhost:*", "https://localhost:5173"),
            ("http://localhost:*", "http://127.0.0.1:5173"),
            ("http://localhost:*", "http://app.localhost:5173"),
            ("http://localhost:*", "http://localhost.evil.com:5173"),
            ("http://localhost:*", "app://localhost:5173"),
            ("http://localhost:*", "null"),
        ] {
            assert!(!allows(allowed, origin), "{allowed} {origin}");
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
            ("http://*:*", "write one origin"),
            ("http://localhost:80:*", "write one origin"),
            ("app://x:*", "write one origin"),
            ("http://:*", "write one origin"),
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
