//! The proxies whose word about a client's address the server takes.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// Proxies in a network, or those that connect to a Unix socket of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedProxy {
    /// All addresses of this network.
    Network(IpNet),
    /// Clients of the server's Unix sockets.
    Unix,
}

impl TrustedProxy {
    /// Whether a proxy at `address` is trusted; `None` is a client of a Unix socket.
    pub fn includes(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            // A socket for both versions of IP reports IPv4 addresses as IPv6.
            (Self::Network(network), Some(address)) => network.contains(&address.to_canonical()),
            (Self::Unix, None) => true,
            _ => false,
        }
    }
}

/// Why a text names no proxy, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidProxy(String);

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    /// Parses an address, a network such as `10.0.0.0/8`, or `unix`.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.to_canonical().into()));
        }
        let Ok(network) = text.parse::<IpNet>() else {
            return Err(InvalidProxy(
                "it must be an address or a network, as in 10.0.0.5 or 10.0.0.0/8, or unix"
                    .to_owned(),
            ));
        };
        if network.trunc() != network {
            let (network, length) = (network.network(), network.prefix_len());
            return Err(InvalidProxy(format!("the network is written {network}/{length}")));
        }
        Ok(Self::Network(network))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn includes(proxy: &str, address: &str) -> bool {
        proxy.parse::<TrustedProxy>().unwrap().includes(address.parse().ok())
    }

    #[test]
    fn proxy_is_an_address_a_network_or_the_unix_socket() {
        for (proxy, address) in [
            ("10.0.0.5", "10.0.0.5"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3"),
            ("::ffff:10.0.0.5", "10.0.0.5"),
            ("fd00::/8", "fd12::1"),
            ("::1", "::1"),
            ("unix", "no address"),
        ] {
            assert!(includes(proxy, address), "{proxy} {address}");
        }
        for (proxy, address) in [
            ("10.0.0.5", "10.0.0.6"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("0.0.0.0/0", "::1"),
            ("0.0.0.0/0", "no address"),
            ("unix", "127.0.0.1"),
        ] {
            assert!(!includes(proxy, address), "{proxy} {address}");
        }
    }

    #[test]
    fn text_that_is_no_proxy_is_refused_with_advice() {
        for (text, advice) in [
            ("", "an address or a network"),
            ("nginx", "an address or a network"),
            ("10.0.0.5:80", "an address or a network"),
            ("10.0.0.0/33", "an address or a network"),
            ("10.0.0.5/8", "10.0.0.0/8"),
        ] {
            let error = text.parse::<TrustedProxy>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
