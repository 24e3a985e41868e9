//! Decides which web pages and host names may reach the server (ADR-0020).
//!
//! Any web page can make its visitor's browser connect to a server that the visitor can reach, and
//! can point a DNS name of its own at that server's address (DNS rebinding). Browsers send the
//! page's origin in `Origin` and the name they connected to in `Host`, so [`check_origin`] refuses
//! foreign pages and [`own_host`] foreign names. Programs that are not browsers send no `Origin`
//! and are accepted.

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

use crate::domain::{AllowedOrigin, Authority, Origin};
use crate::server::own_hosts::OwnHosts;
use crate::server::refusals::ForeignHeader;

/// The host and port that the request was sent to, which must name this server.
///
/// # Errors
/// The reason to refuse the request, if the `Host` header is missing, repeated or foreign.
pub(super) fn own_host(headers: &HeaderMap, hosts: &OwnHosts) -> Result<Authority, ForeignHeader> {
    match single(headers, &HOST).map_err(ForeignHeader::Host)? {
        Some(text) => named_host(text, hosts),
        None => Err(ForeignHeader::Host(
            "the request has no Host: send the name that you connect to, such as localhost"
                .to_owned(),
        )),
    }
}

/// Parses `text`, which a request gives as its host. It must name this server.
///
/// # Errors
/// The reason to refuse the request, with the option that would allow the host.
pub(super) fn named_host(text: &str, hosts: &OwnHosts) -> Result<Authority, ForeignHeader> {
    let authority = Authority::parse(text);
    if let Some(authority) = authority.clone().filter(|authority| hosts.contains(authority)) {
        return Ok(authority);
    }
    let quoted = shortened(text);
    let advice = match authority {
        Some(authority) if text.len() <= MAX_QUOTED_CHARS => format!(
            "connect to localhost, or start the server with --allow-host {}",
            authority.host_text()
        ),
        _ => "connect to localhost".to_owned(),
    };
    Err(ForeignHeader::Host(format!("Host must name this server, not {quoted:?}: {advice}")))
}

/// Accepts a request without an `Origin`, from a page of this server, or from an `allowed` origin.
/// `own` is the host that the request was sent to, through TLS if it `is_secure`.
///
/// # Errors
/// The reason to refuse the request, for any other origin.
pub(super) fn check_origin(
    headers: &HeaderMap,
    own: &Authority,
    is_secure: bool,
    allowed: &[AllowedOrigin],
) -> Result<(), ForeignHeader> {
    let Some(text) = single(headers, &ORIGIN).map_err(ForeignHeader::Origin)? else {
        return Ok(());
    };
    match Origin::parse(text) {
        Some(origin) if origin.is_page_of(own, is_secure) => Ok(()),
        Some(origin) if allowed.iter().any(|allowed| allowed.allows(&origin)) => Ok(()),
        origin => Err(ForeignHeader::Origin(refusal_of_page(origin.as_ref(), text))),
    }
}

/// The reason to refuse a page whose `Origin` header is `text`, which is `origin` if that is one.
fn refusal_of_page(origin: Option<&Origin>, text: &str) -> String {
    match origin {
        Some(_) if text == "null" => "pages of Origin null are not allowed to connect: \
             --allow-origin null would allow them, but every web page can become one of them"
            .to_owned(),
        Some(origin) if text.len() <= MAX_QUOTED_CHARS => format!(
            "pages of Origin {origin} are not allowed to connect: \
             to allow them, start the server with --allow-origin {origin}"
        ),
        _ => format!("Origin {:?} is not allowed to connect", shortened(text)),
    }
}

/// The only value of a header; `None` if the header is absent.
///
/// # Errors
/// The reason to refuse the request, if the header is repeated or not ASCII.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("Host and Origin must not be repeated".to_owned());
    }
    first.to_str().map(Some).map_err(|_| "Host and Origin must be ASCII".to_owned())
}

/// The first characters of a header, which is ASCII.
fn shortened(text: &str) -> &str {
    &text[..text.len().min(MAX_QUOTED_CHARS)]
}

/// Most characters of a header in a message. Names of hosts have at most 253.
const MAX_QUOTED_CHARS: usize = 300;

#[cfg(test)]
mod tests;
