//! The bytes of a connection, whatever carries them.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A byte stream in both directions: TCP, TLS, a Unix socket, or a pipe of a test.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// The byte stream of an accepted connection. When HTTP hands a connection over to become a
/// WebSocket, its stream has this type.
pub(super) type AnySocket = Box<dyn AcceptedSocket>;

/// A byte stream that can change its runtime.
pub(super) trait AcceptedSocket: Socket {
    /// The same stream, for which the current runtime waits from now on. An encrypted stream stays
    /// with the runtime of its handshake, which wakes the tasks of the other one.
    ///
    /// # Errors
    /// Those of the operating system.
    fn into_current_runtime(self: Box<Self>) -> io::Result<AnySocket>;
}

impl AcceptedSocket for TcpStream {
    fn into_current_runtime(self: Box<Self>) -> io::Result<AnySocket> {
        Ok(Box::new(Self::from_std(self.into_std()?)?))
    }
}

impl AcceptedSocket for UnixStream {
    fn into_current_runtime(self: Box<Self>) -> io::Result<AnySocket> {
        Ok(Box::new(Self::from_std(self.into_std()?)?))
    }
}

impl AcceptedSocket for TlsStream<TcpStream> {
    fn into_current_runtime(self: Box<Self>) -> io::Result<AnySocket> {
        Ok(self)
    }
}

/// Says that nothing follows, and discards what the client still sends. Closing a socket with
/// unread bytes would reset the connection, and the client could lose what it was sent last. The
/// caller sets a deadline.
///
/// # Errors
/// Those of the operating system.
pub(super) async fn drain(stream: &mut impl Socket) -> io::Result<()> {
    stream.shutdown().await?;
    let mut discarded = vec![0; DRAIN_BUFFER_BYTES];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}

/// Size of the buffer that [`drain`] reads into.
const DRAIN_BUFFER_BYTES: usize = 4 * 1024;
