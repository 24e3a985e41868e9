//! The WebSocket stream that a connection is served on.

use futures_util::stream::{SplitSink, SplitStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A byte stream that can carry a WebSocket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// The half of a WebSocket that messages are read from.
pub(super) type SocketStream<S> = SplitStream<WebSocketStream<S>>;

/// The half of a WebSocket that messages are written to.
pub(super) type SocketSink<S> = SplitSink<WebSocketStream<S>, Message>;
