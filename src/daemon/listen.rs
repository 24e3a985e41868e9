//! Binds the port, on the loopback addresses only.
//!
//! A port that is in use or needs privileges gets an error of its own, since the user can choose
//! another one. Everything else is an error of the system.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};

use super::error::DaemonError;

/// Listens on 127.0.0.1 and, if the machine has IPv6, on `[::1]` with the same port, since
/// `localhost` may resolve to either. Port 0 picks any free port.
///
/// # Errors
/// [`DaemonError::PortInUse`], [`DaemonError::PortForbidden`] or [`DaemonError::System`].
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
    let port = v4.local_addr().context("cannot read the port that was bound")?.port();
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

/// A listening socket at `address`.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Lets a restarted daemon bind while connections of the previous one are in TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit the buffer size of the listener.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Send buffer of a connection in the kernel, which Linux doubles. Small, so that a client that
/// stops reading is noticed soon (ADR-0013).
const SEND_BUFFER_BYTES: u32 = 64 * 1024;

/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn kernel_buffers_little_for_a_client_that_does_not_read() {
        let listeners = on_loopback(0).unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let _client = client.connect(listeners[0].local_addr().unwrap()).await.unwrap();
        let (server, _) = listeners[0].accept().await.unwrap();
        server.writable().await.unwrap();
        let mut buffered = 0;
        while let Ok(n) = server.try_write(&[b'x'; 1024]) {
            buffered += n;
        }
        assert!((1024..512 * 1024).contains(&buffered), "{buffered}");
    }
}
