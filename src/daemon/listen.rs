//! Binds the addresses of `--host` (ADR-0037).
//!
//! A mistake that the user can correct, such as a port that is in use, gets an error of its own.
//! Everything else is an error of the system. `unix_socket` has what is particular to Unix sockets.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::runtime::Handle;

use crate::cli::{Config, ListenAddress};
use crate::server::{Listener, Tls};

use super::error::DaemonError;
use super::unix_socket::{SocketFile, bind_unix};

/// The sockets that the daemon listens on.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    tcp: Vec<TcpListener>,
    unix: Vec<(UnixListener, SocketFile)>,
    /// Whether only the first TCP socket is worth telling the user: the others are the same
    /// interface.
    is_default: bool,
}

/// Where the daemon listens, for the user.
#[derive(Debug)]
pub(super) struct Listening {
    /// The addresses of the WebSocket.
    pub(super) urls: Vec<String>,
    /// What to type on another machine, if the daemon listens on all addresses of this one.
    pub(super) urls_from_elsewhere: Vec<String>,
    /// What other machines may do, or see, that the user might not want.
    pub(super) warnings: Vec<String>,
}

impl Listening {
    /// The base address that clients of OpenAI's API take. `None` if there are only Unix sockets.
    pub(super) fn http_url(&self) -> Option<String> {
        let mut urls = self.urls_from_elsewhere.iter().chain(&self.urls);
        let (scheme, address) = urls.find_map(|url| url.split_once("://"))?;
        Some(format!("{}://{address}/v1", scheme.replace("ws", "http")))
    }
}

/// Refuses to listen for other machines if nobody checks who connects.
///
/// # Errors
/// [`DaemonError::NoKeys`], with the line to type.
pub(super) fn require_keys(
    hosts: &[ListenAddress],
    knows_clients: bool,
) -> Result<(), DaemonError> {
    match hosts.iter().find(|host| !host.is_local()) {
        Some(host) if !knows_clients => Err(DaemonError::NoKeys { host: host.to_string() }),
        _ => Ok(()),
    }
}

impl Sockets {
    /// Listens as [`Self::bind`] does. `runtime` is the one that will accept the connections.
    ///
    /// # Errors
    /// Those of [`Self::bind`].
    pub(super) fn bind_in(
        runtime: &Handle,
        hosts: &[ListenAddress],
        port: u16,
    ) -> Result<Self, DaemonError> {
        let _entered = runtime.enter();
        Self::bind(hosts, port)
    }

    /// Listens on all of `hosts`, on TCP addresses with the same port. Port 0 picks any free port.
    ///
    /// # Errors
    /// [`DaemonError::PortInUse`], [`DaemonError::PortForbidden`], [`DaemonError::ForeignAddress`],
    /// [`DaemonError::UnixSocket`], [`DaemonError::UnixSocketInUse`] or [`DaemonError::System`].
    fn bind(hosts: &[ListenAddress], mut port: u16) -> Result<Self, DaemonError> {
        let is_default = hosts == [ListenAddress::Localhost];
        let mut sockets = Self { is_default, ..Self::default() };
        let addresses = tcp_addresses(hosts);
        for &(address, is_optional) in &addresses {
            let takes_only_v6 = addresses.iter().any(|(other, _)| *other == Ipv4Addr::UNSPECIFIED);
            match bind((address, port).into(), takes_only_v6) {
                Ok(socket) => {
                    let bound = socket.local_addr().context("cannot read the port")?;
                    port = bound.port();
                    sockets.tcp.push(socket);
                }
                // The machine may have no IPv6.
                Err(error) if is_optional => {
                    if error.kind() == ErrorKind::AddrInUse {
                        tracing::warn!(port, "another program listens on [{address}]");
                    }
                }
                Err(error) => return Err(refusal(error, address, port)),
            }
        }
        for path in unix_paths(hosts) {
            sockets.unix.push(bind_unix(path, BACKLOG)?);
        }
        Ok(sockets)
    }

    /// Where the daemon listens with this configuration.
    pub(super) fn listening(&self, config: &Config) -> Listening {
        let network = &config.network;
        let is_encrypted = network.tls_cert.is_some();
        let mut warnings = Vec::new();
        if let Some(host) = network.hosts.iter().find(|host| !host.is_local()) {
            if !config.knows_clients() {
                warnings.push(format!(
                    "everybody who reaches {host} may use the model (--insecure-no-auth)"
                ));
            }
            if !is_encrypted {
                warnings.push(format!(
                    "requests to {host} are not encrypted: `inference-core tls new` makes a \
                     certificate"
                ));
            }
        }
        Listening {
            urls: self.urls(is_encrypted),
            urls_from_elsewhere: self.urls_from_elsewhere(is_encrypted),
            warnings,
        }
    }

    /// The addresses of the WebSocket. `is_encrypted` says that TCP connections use TLS.
    fn urls(&self, is_encrypted: bool) -> Vec<String> {
        let scheme = scheme(is_encrypted);
        let n_shown = if self.is_default { 1 } else { self.tcp.len() };
        let tcp = self.tcp.iter().take(n_shown).filter_map(|socket| socket.local_addr().ok());
        let tcp = tcp.map(|address| format!("{scheme}://{address}"));
        let unix = self.unix.iter().map(|(_, file)| format!("ws+unix:{}", file.path().display()));
        tcp.chain(unix).collect()
    }

    /// What to type on another machine, if the daemon listens on all addresses of this one.
    fn urls_from_elsewhere(&self, is_encrypted: bool) -> Vec<String> {
        let bound = self.tcp.iter().filter_map(|socket| socket.local_addr().ok());
        let wildcards: Vec<SocketAddr> =
            bound.filter(|bound| bound.ip().is_unspecified()).collect();
        let Some(port) = wildcards.first().map(SocketAddr::port) else { return Vec::new() };
        let has_v6 = wildcards.iter().any(SocketAddr::is_ipv6);
        let own = own_addresses().into_iter().filter(|address| address.is_ipv4() || has_v6);
        own.map(|own| format!("{}://{}", scheme(is_encrypted), SocketAddr::new(own, port)))
            .collect()
    }

    /// The listeners for the server, and the files of Unix sockets, which are removed when they are
    /// dropped.
    pub(super) fn into_listeners(self, tls: Option<&Arc<Tls>>) -> (Vec<Listener>, Vec<SocketFile>) {
        let tcp = self.tcp.into_iter().map(|socket| Listener::tcp(socket, tls.cloned()));
        let mut listeners: Vec<Listener> = tcp.collect();
        let mut files = Vec::new();
        for (socket, file) in self.unix {
            listeners.push(Listener::unix(socket));
            files.push(file);
        }
        (listeners, files)
    }
}

fn scheme(is_encrypted: bool) -> &'static str {
    if is_encrypted { "wss" } else { "ws" }
}

/// The TCP addresses to bind, each once, and whether it may be missing. An address of which another
/// one takes the connections is left out: the system refuses to bind both.
fn tcp_addresses(hosts: &[ListenAddress]) -> Vec<(IpAddr, bool)> {
    let v4 = |address: Ipv4Addr| (IpAddr::from(address), false);
    let all = hosts.iter().flat_map(|host| match host {
        ListenAddress::Localhost => {
            vec![v4(Ipv4Addr::LOCALHOST), (Ipv6Addr::LOCALHOST.into(), true)]
        }
        ListenAddress::Ip(address) => vec![(address.to_canonical(), false)],
        ListenAddress::Unix(_) => Vec::new(),
    });
    let all: Vec<_> = all.collect();
    let is_bound = |address: IpAddr| all.iter().any(|(other, _)| *other == address);
    let (any_v4, any_v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    let is_covered = |address: IpAddr| match address {
        _ if address.is_unspecified() => false,
        // `::` takes connections of both versions, unless 0.0.0.0 is bound as well.
        IpAddr::V4(_) => is_bound(any_v4) || is_bound(any_v6),
        IpAddr::V6(_) => is_bound(any_v6),
    };
    let mut addresses: Vec<(IpAddr, bool)> = Vec::new();
    for &(address, is_optional) in &all {
        match addresses.iter_mut().find(|(other, _)| *other == address) {
            Some((_, was_optional)) => *was_optional &= is_optional,
            None if is_covered(address) => {}
            None => addresses.push((address, is_optional)),
        }
    }
    addresses
}

/// The paths of the Unix sockets, each once.
fn unix_paths(hosts: &[ListenAddress]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for host in hosts {
        if let ListenAddress::Unix(path) = host
            && !paths.contains(path)
        {
            paths.push(path.clone());
        }
    }
    paths
}

/// A listening socket at `address`.
fn bind(address: SocketAddr, takes_only_v6: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, takes_only_v6)?;
    }
    // Lets a restarted daemon bind while connections of the previous one are in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit the buffer size of the listener.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Why an address could not be bound.
fn refusal(error: io::Error, address: IpAddr, port: u16) -> DaemonError {
    match error.kind() {
        ErrorKind::AddrInUse => DaemonError::PortInUse { port },
        ErrorKind::PermissionDenied => DaemonError::PortForbidden { port },
        ErrorKind::AddrNotAvailable => DaemonError::ForeignAddress { address },
        _ => anyhow::Error::new(error)
            .context(format!("cannot listen on {}", SocketAddr::new(address, port)))
            .into(),
    }
}

/// The address by which this machine reaches others, in the version of IP of `any`; `None` without
/// a network. A UDP socket is not connected: nothing is sent.
fn own_address(any: IpAddr) -> Option<IpAddr> {
    // Addresses for documentation, which are routed like most others (RFC 5737, RFC 3849).
    let elsewhere = if any.is_ipv4() { "192.0.2.1:9" } else { "[2001:db8::1]:9" };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(elsewhere).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The addresses by which other machines may reach this one: one of each version of IP at most.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.into_iter().filter_map(own_address).collect()
}

/// Send buffer of a connection in the kernel, which Linux doubles. Small, so that a client that
/// stops reading is noticed soon (ADR-0013).
const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<ListenAddress> {
        text.split_whitespace().map(|host| host.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn kernel_buffers_little_for_a_client_that_does_not_read() {
        let sockets = Sockets::bind(&hosts("localhost"), 0).unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let _client = client.connect(sockets.tcp[0].local_addr().unwrap()).await.unwrap();
        let (server, _) = sockets.tcp[0].accept().await.unwrap();
        server.writable().await.unwrap();
        let mut buffered = 0;
        while let Ok(n) = server.try_write(&[b'x'; 1024]) {
            buffered += n;
        }
        assert!((1024..512 * 1024).contains(&buffered), "{buffered}");
    }

    #[test]
    fn every_address_is_bound_once() {
        let bound = |text: &str| {
            let addresses = tcp_addresses(&hosts(text)).into_iter();
            let addresses = addresses.map(|(address, is_optional)| {
                format!("{address}{}", if is_optional { "?" } else { "" })
            });
            addresses.collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("localhost", "127.0.0.1 ::1?"),
            ("localhost 127.0.0.1 ::1", "127.0.0.1 ::1"),
            ("127.0.0.1 127.0.0.1", "127.0.0.1"),
            ("0.0.0.0 127.0.0.1 192.168.1.5", "0.0.0.0"),
            ("localhost 0.0.0.0", "::1? 0.0.0.0"),
            (":: localhost 192.168.1.5", "::"),
            ("0.0.0.0 ::", "0.0.0.0 ::"),
            (":: 0.0.0.0 ::1", ":: 0.0.0.0"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("unix:/a", ""),
        ] {
            assert_eq!(bound(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn all_addresses_of_both_versions_are_bound_to_one_port() {
        let sockets = Sockets::bind(&hosts("0.0.0.0 127.0.0.1"), 0).unwrap();
        let port = sockets.tcp[0].local_addr().unwrap().port();
        assert_eq!(sockets.urls(true), [format!("wss://0.0.0.0:{port}")]);
        for url in sockets.urls_from_elsewhere(false) {
            assert!(url.starts_with("ws://") && url.ends_with(&format!(":{port}")), "{url}");
        }
        let taken = Sockets::bind(&hosts("127.0.0.1"), port).unwrap_err();
        assert!(matches!(taken, DaemonError::PortInUse { .. }), "{taken}");
        // An address for documentation belongs to no machine.
        let foreign = Sockets::bind(&hosts("192.0.2.1"), 0).unwrap_err();
        assert!(foreign.to_string().contains("192.0.2.1"), "{foreign}");
    }

    #[test]
    fn http_url_is_the_one_that_most_machines_reach() {
        let listening = |urls: &[&str], elsewhere: &[&str]| Listening {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            urls_from_elsewhere: elsewhere.iter().map(|url| (*url).to_owned()).collect(),
            warnings: Vec::new(),
        };
        let local = listening(&["ws://127.0.0.1:3000"], &[]);
        assert_eq!(local.http_url().unwrap(), "http://127.0.0.1:3000/v1");
        let network = listening(&["wss://0.0.0.0:3000"], &["wss://192.168.1.5:3000"]);
        assert_eq!(network.http_url().unwrap(), "https://192.168.1.5:3000/v1");
        let unix = ["ws+unix:/run/a.sock", "ws://[::1]:3000"];
        assert_eq!(listening(&unix, &[]).http_url().unwrap(), "http://[::1]:3000/v1");
        assert_eq!(listening(&unix[..1], &[]).http_url(), None);
    }

    #[test]
    fn address_that_others_reach_needs_keys() {
        for text in ["localhost", "127.0.0.1 ::1", "127.8.8.8", "unix:/a"] {
            assert!(require_keys(&hosts(text), false).is_ok(), "{text}");
        }
        for text in ["0.0.0.0", "::", "192.168.1.5", "127.0.0.1 fd00::5"] {
            let error = require_keys(&hosts(text), false).unwrap_err().to_string();
            assert!(error.contains("--insecure-no-auth") && error.lines().count() == 1, "{error}");
            assert!(require_keys(&hosts(text), true).is_ok(), "{text}");
        }
    }
}
