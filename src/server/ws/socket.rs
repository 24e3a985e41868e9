//! The WebSocket stream that a connection is served on.

use std::sync::Arc;

use futures_util::stream::{SplitSink, SplitStream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::server::budget::BudgetShare;
use crate::server::socket::AnySocket;

use super::incoming::{Incoming, LastMessage, MessageLimits};
use super::{READ_BUFFER_BYTES, WRITE_BUFFER_BYTES};

pub(super) use crate::server::socket::Socket;

/// The half of a WebSocket that messages are read from.
pub(super) type SocketStream<S> = SplitStream<WebSocketStream<S>>;

/// The half of a WebSocket that messages are written to.
pub(super) type SocketSink<S> = SplitSink<WebSocketStream<S>, Message>;

/// Makes a WebSocket of a connection that HTTP has upgraded, and says where it puts the charge of
/// each message; `None` if the server did not accept the connection. Messages are limited by
/// `limits` and charged to `share`.
pub(super) async fn from_upgraded(
    upgraded: Upgraded,
    limits: MessageLimits,
    share: Arc<BudgetShare>,
) -> Option<(WebSocketStream<Incoming<AnySocket>>, LastMessage)> {
    let parts = upgraded.downcast::<TokioIo<AnySocket>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(limits.max_bytes))
        .max_frame_size(Some(limits.max_bytes));
    // From now on the runtime of this task waits for the socket, not that of HTTP.
    let stream = parts.io.into_inner().into_current_runtime().ok()?;
    // The client may have sent bytes right behind its request.
    let incoming = Incoming::new(stream, &parts.read_buf, limits, share);
    let last = incoming.last_message();
    let socket = WebSocketStream::from_raw_socket(incoming, Role::Server, Some(config)).await;
    Some((socket, last))
}
