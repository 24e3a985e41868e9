//! [`Listener`]: one socket that the server listens on.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::peer::Peer;
use super::socket::AnySocket;
use super::tls::Tls;

/// A listening socket, and how its connections are encrypted.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    /// `None` for connections that are not encrypted.
    tls: Option<Arc<Tls>>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that has been accepted.
pub(super) enum AcceptedConnection {
    /// It can be served.
    Plain(AnySocket),
    /// It can be served after a TLS handshake.
    Tls(TcpStream, Arc<Tls>),
}

impl Listener {
    /// Listens on a TCP socket; with `tls`, only for encrypted connections.
    pub fn tcp(socket: TcpListener, tls: Option<Arc<Tls>>) -> Self {
        Self { socket: ListeningSocket::Tcp(socket), tls }
    }

    /// Listens on a Unix socket. Its connections stay within the machine and are not encrypted.
    pub fn unix(socket: UnixListener) -> Self {
        Self { socket: ListeningSocket::Unix(socket), tls: None }
    }

    /// The address of a TCP socket.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => socket.local_addr().ok().map(|address| address.ip()),
            ListeningSocket::Unix(_) => None,
        }
    }

    /// The next connection and who made it.
    ///
    /// # Errors
    /// Those of the operating system. They concern one connection, or pass.
    pub(super) async fn accept(&self) -> io::Result<(AcceptedConnection, Peer)> {
        match &self.socket {
            ListeningSocket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((AcceptedConnection::Plain(Box::new(stream)), Peer::Unix))
            }
            ListeningSocket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                let peer = Peer::Tcp(address);
                // A `token` frame is small and must not wait for the next one (Nagle's algorithm).
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, "cannot set TCP_NODELAY: {error}");
                }
                let accepted = match &self.tls {
                    Some(tls) => AcceptedConnection::Tls(stream, tls.clone()),
                    None => AcceptedConnection::Plain(Box::new(stream)),
                };
                Ok((accepted, peer))
            }
        }
    }
}
