//! Binds the port, on this machine's own addresses only.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;

use super::error::AppError;

/// Listens on 127.0.0.1 and, where the machine has it, on [::1] with the same port, since
/// `localhost` may mean either.
pub(super) async fn on_loopback(port: u16) -> Result<Vec<TcpListener>, AppError> {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|reason| match reason
        .kind()
    {
        ErrorKind::AddrInUse => AppError::PortInUse { port },
        ErrorKind::PermissionDenied => AppError::PortForbidden { port },
        _ => AppError::Listen { port, reason },
    })?;
    let port = v4.local_addr().map_err(|reason| AppError::Listen { port, reason })?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) => {
            if error.kind() == ErrorKind::AddrInUse {
                tracing::warn!(port, "another program listens on [::1]; use 127.0.0.1");
            }
            Ok(vec![v4])
        }
    }
}
