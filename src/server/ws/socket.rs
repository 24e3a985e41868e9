//! The WebSocket stream that a connection is served on.

use futures_util::stream::{SplitSink, SplitStream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// A byte stream that can carry a WebSocket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// The half of a WebSocket that messages are read from.
pub(super) type SocketStream<S> = SplitStream<WebSocketStream<S>>;

/// The half of a WebSocket that messages are written to.
pub(super) type SocketSink<S> = SplitSink<WebSocketStream<S>, Message>;

/// Makes a WebSocket of a connection that HTTP has upgraded; `None` if it is not a TCP connection.
pub(super) async fn from_upgraded(
    upgraded: Upgraded,
    max_message_bytes: usize,
) -> Option<WebSocketStream<TcpStream>> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes));
    // Bytes that the client sent right behind its request.
    let early = parts.read_buf.to_vec();
    let stream = parts.io.into_inner();
    Some(WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await)
}

/// Size of the read buffer, allocated for the life of a connection. Small, because most connections
/// only receive; a long message takes more system calls (ADR-0013).
const READ_BUFFER_BYTES: usize = 1024;

/// Bytes that tungstenite collects before it writes to the socket. Most frames are smaller.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
