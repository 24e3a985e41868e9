//! Closes a WebSocket once its reader or its writer has ended, or if too many are open.
//!
//! The closing handshake has a deadline, after which the connection is dropped. Until then the
//! client's remaining messages are read and ignored.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::server::socket::drain;

use super::close_reason::CloseReason;
use super::incoming::Incoming;
use super::reader::ReadEnd;
use super::socket::{Socket, SocketSink, SocketStream};
use super::writer::WriteEnd;

/// Completes the closing handshake, unless the client is disconnected. `read_end` is `None` if the
/// writer ended first.
pub(super) async fn finish<S: Socket>(
    mut stream: SocketStream<Incoming<S>>,
    sink: SocketSink<Incoming<S>>,
    read_end: Option<ReadEnd>,
    write_end: WriteEnd,
) {
    let is_close_sent = write_end == WriteEnd::CloseSent;
    let handshake = async {
        match read_end {
            Some(ReadEnd::Refused { .. }) if is_close_sent => {
                if let Ok(socket) = stream.reunite(sink) {
                    // Frees the buffers. An error of the socket ends the connection as well.
                    let _ = drain(&mut socket.into_inner().into_inner()).await;
                }
                return;
            }
            // tungstenite answers the client's close frame during the next read.
            Some(ReadEnd::Closed) => discard(&mut stream).await,
            // `Lost` is also how the reader ends if the writer ended just before it.
            Some(ReadEnd::Lost(_)) | None if is_close_sent => discard(&mut stream).await,
            _ => return,
        }
        if let Ok(socket) = stream.reunite(sink) {
            end(socket).await;
        }
    };
    // The connection of a client that takes longer is dropped.
    let _ = timeout(HANDSHAKE_DEADLINE, handshake).await;
}

/// Closes a WebSocket that is over the limit on connections.
pub(super) async fn refuse<S: Socket>(mut socket: WebSocketStream<S>) {
    let frame = CloseReason::TooManyConnections.frame();
    let handshake = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            discard(&mut socket).await;
            end(socket).await;
        }
    };
    // The connection of a client that takes longer is dropped.
    let _ = timeout(HANDSHAKE_DEADLINE, handshake).await;
}

/// Reads messages until the client's close frame or the end of the stream, and ignores them.
async fn discard<M, E>(mut messages: impl StreamExt<Item = Result<M, E>> + Unpin) {
    while let Some(Ok(_)) = messages.next().await {}
}

/// Says that nothing follows. Without that, TLS clients report that the connection was cut.
async fn end<S: Socket>(mut socket: WebSocketStream<S>) {
    // The client may have closed the connection already.
    let _ = socket.get_mut().shutdown().await;
}

/// Time for the client to answer the close frame or, after a violation, to stop sending.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(2);
