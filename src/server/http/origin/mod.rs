//! Decides which web pages and host names may reach a daemon on the loopback interface (ADR-0020).
//!
//! Any web page can make its visitor's browser connect to a local port, and can point a DNS name of
//! its own at the loopback address (DNS rebinding). Browsers send the page's origin in `Origin` and
//! the name they connected to in `Host`, so [`check_origin`] refuses foreign pages and [`own_host`]
//! foreign names. Programs that are not browsers send no `Origin` and are accepted.

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, ORIGIN};

use crate::domain::{Authority, Origin};

/// The host and port that the request was sent to, which must name this machine.
///
/// # Errors
/// The reason to refuse the request, if the `Host` header is missing, repeated or foreign.
pub(super) fn own_host(headers: &HeaderMap) -> Result<Authority, &'static str> {
    single(headers, &HOST)?
        .and_then(Authority::parse)
        .filter(Authority::is_loopback)
        .ok_or("Host must name the loopback interface, for example localhost")
}

/// Accepts a request without an `Origin`, from a page of this server, or from an `allowed` origin.
/// `own` is the result of [`own_host`].
///
/// # Errors
/// The reason to refuse the request, for any other origin.
pub(super) fn check_origin(
    headers: &HeaderMap,
    own: &Authority,
    allowed: &[Origin],
) -> Result<(), &'static str> {
    let Some(text) = single(headers, &ORIGIN)? else { return Ok(()) };
    let is_allowed = |origin: &Origin| origin.is_page_of(own) || allowed.contains(origin);
    let origin = text.parse().ok().filter(is_allowed);
    origin.map(|_| ()).ok_or("this web page's Origin is not allowed to connect")
}

/// The only value of a header; `None` if the header is absent.
///
/// # Errors
/// The reason to refuse the request, if the header is repeated or not ASCII.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("Host and Origin must not be repeated");
    }
    first.to_str().map(Some).map_err(|_| "Host and Origin must be ASCII")
}

#[cfg(test)]
mod tests;
