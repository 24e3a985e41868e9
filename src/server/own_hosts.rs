//! Under which hosts the clients of this server may reach it (ADR-0020).
//!
//! A web page can reach a server that its visitor can reach, under a host name that the page's
//! author controls (DNS rebinding). An IP address in `Host` is never such a name.

use std::net::IpAddr;

use crate::domain::{AllowedHost, Authority};

/// The hosts that a request may name.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnHosts {
    allowed: Vec<AllowedHost>,
    /// The addresses that the server listens on.
    bound: Vec<IpAddr>,
}

impl OwnHosts {
    /// The loopback interface, the addresses in `bound` and the hosts in `allowed`.
    pub(super) fn new(allowed: Vec<AllowedHost>, bound: Vec<IpAddr>) -> Self {
        Self { allowed, bound }
    }

    /// Whether `host` names this server. A server that listens on all addresses of its machine
    /// accepts every IP address, since a router or a container may translate them.
    pub(super) fn contains(&self, host: &Authority) -> bool {
        let is_bound = |address: IpAddr| {
            let same = |bound: &IpAddr| bound.is_unspecified() || *bound == address.to_canonical();
            self.bound.iter().any(same)
        };
        host.is_loopback()
            || host.ip().is_some_and(is_bound)
            || self.allowed.iter().any(|allowed| allowed.allows(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(bound: &str, allowed: &str, host: &str) -> bool {
        let allowed = allowed.split_whitespace().map(|host| host.parse().unwrap()).collect();
        let bound = bound.split_whitespace().map(|address| address.parse().unwrap()).collect();
        OwnHosts::new(allowed, bound).contains(&Authority::parse(host).unwrap())
    }

    #[test]
    fn loopback_bound_addresses_and_allowed_hosts_are_own() {
        for (bound, allowed, host) in [
            ("127.0.0.1 ::1", "", "localhost:3000"),
            ("192.168.1.5", "", "localhost"),
            ("192.168.1.5", "", "192.168.1.5:3000"),
            ("192.168.1.5", "", "[::ffff:192.168.1.5]"),
            ("fd00::5", "", "[fd00::5]:3000"),
            ("0.0.0.0", "", "203.0.113.9"),
            ("::", "", "203.0.113.9:80"),
            ("::", "", "[fd00::5%25eth0]"),
            ("127.0.0.1", "chat.example.org", "chat.example.org"),
            ("127.0.0.1", "a *.example.org", "b.example.org:443"),
            ("", "", "localhost"),
        ] {
            assert!(contains(bound, allowed, host), "{bound}, {allowed}: {host}");
        }
    }

    #[test]
    fn names_and_other_addresses_are_foreign() {
        for (bound, allowed, host) in [
            ("127.0.0.1 ::1", "", "192.168.1.5"),
            ("127.0.0.1 ::1", "", "0.0.0.0:3000"),
            ("192.168.1.5", "", "192.168.1.6"),
            ("192.168.1.5", "", "evil.com"),
            ("0.0.0.0 ::", "", "evil.com"),
            ("0.0.0.0", "chat.example.org", "192.168.1.5.evil.com"),
        ] {
            assert!(!contains(bound, allowed, host), "{bound}, {allowed}: {host}");
        }
    }
}
