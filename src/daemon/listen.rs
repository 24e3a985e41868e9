//! Binds the port, on this machine's own addresses only.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};

use super::error::DaemonError;

/// What the system may hold for a client that does not read; Linux takes twice as much, for its own
/// notes. By itself it would hold megabytes, and nobody would notice for long that a client is
/// stuck. A client that reads takes this much in well under a millisecond.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens on 127.0.0.1 and, where the machine has it, on `[::1]` with the same port, since
/// `localhost` may mean either.
pub(super) fn on_loopback(port: u16) -> Result<Vec<TcpListener>, DaemonError> {
    let v4 = match bind((Ipv4Addr::LOCALHOST, port).into()) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            return Err(DaemonError::PortInUse { port });
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(DaemonError::PortForbidden { port });
        }
        bound => bound.with_context(|| format!("cannot listen on port {port}"))?,
    };
    let port = v4.local_addr().context("cannot name the port")?.port();
    match bind((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) => {
            if error.kind() == ErrorKind::AddrInUse {
                tracing::warn!(port, "another program listens on [::1]; use 127.0.0.1");
            }
            Ok(vec![v4])
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A daemon that starts again shall not wait for connections of the one before.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // What is accepted has the buffer of the socket that listens.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn little_is_held_for_a_client_that_does_not_read() {
        let listeners = on_loopback(0).unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let _client = client.connect(listeners[0].local_addr().unwrap()).await.unwrap();
        let (server, _) = listeners[0].accept().await.unwrap();
        server.writable().await.unwrap();
        let mut held = 0;
        while let Ok(n) = server.try_write(&[b'x'; 1024]) {
            held += n;
        }
        assert!((1024..512 * 1024).contains(&held), "{held}");
    }
}
