//! Binds the port, on this machine's own addresses only.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use tokio::net::TcpListener;

use super::error::AppError;

/// Listens on 127.0.0.1 and, where the machine has it, on `[::1]` with the same port, since
/// `localhost` may mean either.
pub(super) async fn on_loopback(port: u16) -> Result<Vec<TcpListener>, AppError> {
    let v4 = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            return Err(AppError::PortInUse { port });
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(AppError::PortForbidden { port });
        }
        bound => bound.with_context(|| format!("cannot listen on port {port}"))?,
    };
    let port = v4.local_addr().context("cannot name the port")?.port();
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
