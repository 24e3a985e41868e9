//! The bytes of a connection, whatever carries them.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions: TCP, TLS, a Unix socket, or a pipe of a test.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// The byte stream of an accepted connection. When HTTP hands a connection over to become a
/// WebSocket, its stream has this type.
pub(super) type AnySocket = Box<dyn Socket>;
