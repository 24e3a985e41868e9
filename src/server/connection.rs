//! One WebSocket from its upgrade to its end.
//!
//! Joins a reader and a writer. Whichever ends first takes the other along: a client that is gone
//! stops the writer at once and with it its requests; a writer that has said goodbye is followed
//! by a short wait for the client's. A client that broke the protocol is told why, and what it
//! still sends is read and thrown away for a moment: closing on unread bytes would reset the
//! connection and lose the explanation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::domain::ConnectionId;
use crate::engine::Notifier;
use crate::protocol::ServerFrame;

use super::http::Lease;
use super::in_flight::InFlight;
use super::reader::{Ending, Reader};
use super::shared::Shared;
use super::writer::{Farewell, REPLIES, Reply, Sources, Writer};

/// How long the client has to take its upgrade.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client's goodbye is waited for after ours.
const LINGER: Duration = Duration::from_secs(2);

/// Size of either buffer. Most frames are small, and an idle connection shall cost little.
const BUFFER_BYTES: usize = 4 * 1024;

/// Most that is read at once. Each connection holds so much for as long as it lives, and most of
/// thousands only ever listen; a long message takes more reads, a microsecond each.
const READ_BYTES: usize = 1024;

/// What a WebSocket can be spoken over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Socket for S {}

/// Takes the connection over from HTTP and serves it to its end.
pub(super) async fn open(upgrade: OnUpgrade, lease: Lease, shared: Arc<Shared>) {
    let peer = lease.peer;
    let Ok(Ok(upgraded)) = timeout(UPGRADE_DEADLINE, upgrade).await else {
        return tracing::debug!(%peer, "the client left during the upgrade");
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!(%peer, "the upgraded connection is of an unknown kind");
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(shared.options.max_message_bytes))
        .max_frame_size(Some(shared.options.max_message_bytes));
    let (stream, early) = (parts.io.into_inner(), parts.read_buf.to_vec());
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await;
    let Some(_permit) = shared.websocket() else {
        return turn_away(socket).await;
    };
    let connection = shared.next_connection();
    let span = tracing::info_span!("connection", id = connection.0, %peer);
    serve(socket, connection, shared).instrument(span).await;
}

/// Serves one WebSocket to its end.
pub(super) async fn serve<S: Socket>(
    socket: WebSocketStream<S>,
    connection: ConnectionId,
    shared: Arc<Shared>,
) {
    tracing::debug!("open");
    let (sink, stream) = socket.split();
    let (replies, inbox) = mpsc::channel(REPLIES);
    let gone = CancellationToken::new();
    let notifier = Arc::new(Notifier::default());
    let in_flight = Arc::new(InFlight::default());
    let writer = Writer::new(sink, in_flight.clone(), shared.options.write_grace);
    let sources = Sources {
        replies: inbox,
        notifier: notifier.clone(),
        metrics: shared.metrics.clone(),
        dropped: shared.dropped_counter(),
        closing: shared.closing.clone(),
    };
    let hello = ServerFrame::Hello(&shared.hello()).text().into();
    let writing = writer.run(hello, sources, gone.clone()).in_current_span();
    let mut writing = shared.tasks.spawn(writing);
    // However this ends, also by a panic, the writer does not outlive it.
    let _gone = gone.clone().drop_guard();
    let mut reader = Reader {
        stream,
        shared,
        connection,
        replies: replies.clone(),
        notifier,
        in_flight,
        gone: gone.clone(),
        long_prompt: Arc::new(Semaphore::new(1)),
    };
    let (written, ending) = tokio::select! {
        written = &mut writing => (written, None),
        ending = reader.run() => {
            match &ending {
                Ending::Closed => gone.cancel(),
                Ending::Lost(reason) => {
                    tracing::debug!("the client is lost: {reason}");
                    gone.cancel();
                }
                Ending::Broken { error, code } => {
                    // A writer that has just ended by itself takes no more; it is waited for all
                    // the same.
                    if let Some(error) = error {
                        let _ = replies.send(Reply::error(error)).await;
                    }
                    let _ = replies.send(Reply::Close(*code)).await;
                }
            }
            (writing.await, Some(ending))
        }
    };
    gone.cancel();
    let Ok((sink, farewell)) = written else {
        return tracing::error!("the writer panicked");
    };
    let has_said = farewell == Farewell::Said;
    let waits = async {
        match ending {
            Some(Ending::Broken { .. }) if has_said => {
                if let Ok(socket) = reader.stream.reunite(sink) {
                    drain(socket).await;
                }
            }
            // The client's goodbye is answered with the next read.
            Some(Ending::Closed) => reader.discard().await,
            // A reader that has just found the writer through is `Lost`.
            Some(Ending::Lost(_)) | None if has_said => reader.discard().await,
            _ => {}
        }
    };
    // Who takes longer is dropped.
    let _ = timeout(LINGER, waits).await;
    tracing::debug!("closed");
}

/// Tells a client that there are too many already.
async fn turn_away<S: Socket>(mut socket: WebSocketStream<S>) {
    let goodbye = CloseFrame {
        code: CloseCode::Again,
        reason: Utf8Bytes::from_static("too many connections, try again later"),
    };
    let farewell = async {
        if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // Who takes longer is dropped.
    let _ = timeout(LINGER, farewell).await;
}

/// Ends the own side and throws away what the client still sends.
async fn drain<S: Socket>(mut socket: WebSocketStream<S>) {
    let stream = socket.get_mut();
    if stream.shutdown().await.is_ok() {
        let mut waste = vec![0; BUFFER_BYTES];
        while stream.read(&mut waste).await.is_ok_and(|n| n > 0) {}
    }
}
