//! Who is at the other end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The client of a connection or of a request. It is printed as an address, or as `unix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Connected by TCP from this address.
    Tcp(SocketAddr),
    /// Connected to a trusted proxy from this address.
    Forwarded(IpAddr),
    /// Connected to a Unix socket of this machine.
    Unix,
}

impl Peer {
    /// The address of the client's machine; `None` for a client of a Unix socket.
    pub(super) fn ip(self) -> Option<IpAddr> {
        match self {
            // A socket for both versions of IP reports IPv4 addresses as IPv6.
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Forwarded(address) => Some(address.to_canonical()),
            Self::Unix => None,
        }
    }

    /// The address that limits and wrong keys are counted by. A client of a Unix socket is on this
    /// machine, as one at the loopback address is.
    pub(super) fn address(self) -> IpAddr {
        self.ip().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Forwarded(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}
