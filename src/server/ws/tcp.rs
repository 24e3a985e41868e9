//! Takes a TCP connection over from HTTP.

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::server::budget::BudgetShare;

use super::incoming::{Incoming, LastMessage, MessageLimits};
use super::{READ_BUFFER_BYTES, WRITE_BUFFER_BYTES};

/// Makes a WebSocket of a connection that HTTP has upgraded, and says where it puts the charge of
/// each message; `None` if it is not a TCP connection. Messages are limited by `limits` and charged
/// to `share`.
pub(super) async fn from_upgraded(
    upgraded: Upgraded,
    limits: MessageLimits,
    share: Arc<BudgetShare>,
) -> Option<(WebSocketStream<Incoming<TcpStream>>, LastMessage)> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(limits.max_bytes))
        .max_frame_size(Some(limits.max_bytes));
    // The client may have sent bytes right behind its request.
    let incoming = Incoming::new(parts.io.into_inner(), &parts.read_buf, limits, share);
    let last = incoming.last_message();
    let socket = WebSocketStream::from_raw_socket(incoming, Role::Server, Some(config)).await;
    Some((socket, last))
}
