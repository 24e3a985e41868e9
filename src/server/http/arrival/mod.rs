//! From where and how a request came: the client's address, the host that it asked for, and whether
//! it came through TLS.
//!
//! A trusted proxy says so in `X-Forwarded-For`, `-Host` and `-Proto`, or in `Forwarded` (RFC
//! 7239). Anybody else who sends these headers is not believed. What a proxy adds is to the right
//! of what its client sent, so the client is the first address from the right that is not a trusted
//! proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, Uri};

use crate::domain::{Authority, TrustedProxy};
use crate::server::own_hosts::OwnHosts;
use crate::server::peer::Peer;
use crate::server::refusals::ForeignHeader;

use super::origin::{named_host, own_host};

/// From where and how a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Arrival {
    /// The client: the peer of the connection, or who connected to a trusted proxy.
    pub(in crate::server) peer: Peer,
    /// The host and port that the client asked for. They name this server.
    pub(in crate::server) host: Authority,
    /// Whether the client's connection is encrypted.
    pub(in crate::server) is_secure: bool,
}

impl Arrival {
    /// Examines a request that came through a connection with `peer`, which `is_tls` or not.
    ///
    /// # Errors
    /// The reason to refuse the request, if it names a host that is not in `hosts`.
    pub(super) fn of(
        (uri, headers): (&Uri, &HeaderMap),
        (peer, is_tls): (Peer, bool),
        hosts: &OwnHosts,
        proxies: &[TrustedProxy],
    ) -> Result<Self, ForeignHeader> {
        // A foreign name in `Host` is refused whatever the other headers say: if the proxy passes
        // them on, a web page under that name can write them.
        let mut host = own_host(headers, hosts)?;
        // RFC 9112: the host of an absolute URI counts instead of `Host`.
        if let Some(authority) = uri.authority() {
            host = named_host(authority.as_str(), hosts)?;
        }
        let is_trusted = |ip: Option<IpAddr>| proxies.iter().any(|proxy| proxy.includes(ip));
        if !is_trusted(peer.ip()) {
            return Ok(Self { peer, host, is_secure: is_tls });
        }
        let forwarded = Forwarded::of(headers, |ip| is_trusted(Some(ip)));
        if let Some(text) = &forwarded.host {
            let named = named_host(text, hosts)?;
            if forwarded.is_believed() {
                host = named;
            }
        }
        let is_secure = forwarded.scheme.map_or(is_tls, |scheme| {
            ["https", "wss"].iter().any(|name| scheme.eq_ignore_ascii_case(name))
        });
        Ok(Self { peer: forwarded.client.map_or(peer, Peer::Forwarded), host, is_secure })
    }
}

/// What trusted proxies say about a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forwarded {
    client: Option<IpAddr>,
    host: Option<String>,
    scheme: Option<String>,
}

impl Forwarded {
    /// Whether the headers agree about the client.
    fn is_believed(&self) -> bool {
        self.client != Some(UNKNOWN_CLIENT)
    }

    fn of(headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> Self {
        let [client_name, host_name, scheme_name] = CLASSIC;
        let classic = Self {
            client: client(&list(headers, client_name), &is_trusted),
            host: list(headers, host_name).pop(),
            scheme: list(headers, scheme_name).pop(),
        };
        let is_classic = CLASSIC.iter().any(|name| headers.contains_key(*name));
        let elements = list(headers, FORWARDED.as_str());
        if elements.is_empty() {
            return classic;
        }
        let elements: Vec<Element> = elements.iter().map(|text| Element::parse(text)).collect();
        let addresses: Vec<String> =
            elements.iter().map(|element| element.client.clone().unwrap_or_default()).collect();
        let last = elements.into_iter().next_back().unwrap_or_default();
        let client = client(&addresses, &is_trusted);
        if !is_classic {
            return Self { client, host: last.host, scheme: last.scheme };
        }
        // A proxy writes one kind of these headers and may pass the other kind on as its client has
        // written it. If they differ, neither is believed.
        if classic.client == client {
            return classic;
        }
        Self { client: Some(UNKNOWN_CLIENT), scheme: None, ..classic }
    }
}

/// The client if headers disagree about it: some other machine. It must not be the proxy, whose
/// address may have no limits.
const UNKNOWN_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The first address from the right that is not a trusted proxy; the leftmost if all are. `None` if
/// the first address from the right is none, or there are no addresses.
fn client(addresses: &[String], is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = None;
    for text in addresses.iter().rev() {
        let Some(address) = parse_address(text) else { break };
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// Parses an address with or without port and brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address| address.to_canonical())
}

/// The elements of a header that is a list, in all its lines. Commas in quotes separate nothing.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let elements = lines.flat_map(|line| split(&line, ','));
    elements.filter(|element| !element.is_empty()).collect()
}

/// `text` divided at each `separator` outside of quotes, without white space around the parts.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let parts = text.split(|character| {
        let is_literal = std::mem::replace(&mut is_escaped, is_quoted && character == '\\');
        if is_literal {
            is_escaped = false;
        } else if character == '"' {
            is_quoted = !is_quoted;
        }
        character == separator && !is_quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

/// One element of `Forwarded`.
#[derive(Debug, Default)]
struct Element {
    client: Option<String>,
    host: Option<String>,
    scheme: Option<String>,
}

impl Element {
    fn parse(text: &str) -> Self {
        let mut element = Self::default();
        for pair in split(text, ';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = unquoted.unwrap_or(value).to_owned();
            match name.to_ascii_lowercase().as_str() {
                "for" => element.client = Some(value),
                "host" => element.host = Some(value),
                "proto" => element.scheme = Some(value),
                _ => {}
            }
        }
        element
    }
}

/// The headers of proxies that do not write `Forwarded`.
const CLASSIC: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

#[cfg(test)]
mod tests;
