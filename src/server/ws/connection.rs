//! One WebSocket connection: starts its reader and its writer, and ends both together.
//!
//! If the reader ends, the writer is told to end, with or without a close frame. If the writer
//! ends, the reader is dropped. Either way the requests of the connection are cancelled, because
//! their tickets are dropped with the writer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hyper::upgrade::OnUpgrade;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::domain::ConnectionId;
use crate::protocol::ServerFrame;
use crate::server::connections::ConnectionPermit;
use crate::server::shared::Shared;

use super::closing;
use super::events::EventSources;
use super::in_flight::InFlight;
use super::kind::ConnectionKind;
use super::reader::{ReadEnd, Reader};
use super::reply::{REPLY_QUEUE, Reply};
use super::socket::{self, Socket};
use super::writer::Writer;

/// Takes the connection over from HTTP and serves its WebSocket until both sides have closed.
/// `permit` is held until then.
pub(in crate::server) async fn serve(
    upgrade: OnUpgrade,
    permit: ConnectionPermit,
    kind: ConnectionKind,
    shared: Arc<Shared>,
) {
    let peer = permit.peer;
    let Ok(Ok(upgraded)) = timeout(UPGRADE_DEADLINE, upgrade).await else {
        return tracing::debug!(%peer, "the client disconnected during the upgrade");
    };
    let max_message_bytes = shared.options.max_message_bytes;
    let Some(socket) = socket::from_upgraded(upgraded, max_message_bytes).await else {
        return tracing::error!(%peer, "cannot upgrade: not a TCP connection");
    };
    let Some(_websocket_permit) = shared.websocket_permit(&permit) else {
        return closing::refuse(socket).await;
    };
    let id = shared.next_connection();
    let span = tracing::info_span!("connection", id = id.0, %peer);
    run(socket, id, kind, shared).instrument(span).await;
}

/// Runs the reader and the writer until both have ended, then closes the socket.
async fn run<S: Socket>(
    socket: WebSocketStream<S>,
    id: ConnectionId,
    kind: ConnectionKind,
    shared: Arc<Shared>,
) {
    tracing::debug!("open");
    let (sink, stream) = socket.split();
    let (replies, reply_queue) = mpsc::channel(REPLY_QUEUE);
    let deliveries = Arc::new(Notify::new());
    let in_flight = Arc::new(InFlight::default());
    let closed = CancellationToken::new();
    // Stops the writer however this function ends, also by a panic.
    let _stop_writer = closed.clone().drop_guard();

    let hello = ServerFrame::Hello(&shared.hello()).text();
    let hello = kind.greeting(hello);
    let events = EventSources::new(reply_queue, deliveries.clone(), &shared);
    let writer = Writer::new(sink, in_flight.clone(), &shared);
    let writing = writer.run(hello, events, closed.clone()).in_current_span();
    let mut writing = shared.tasks.spawn(writing);
    let mut reader = Reader {
        stream,
        shared,
        connection: id,
        replies,
        deliveries,
        in_flight,
        closed: closed.clone(),
        long_prompt: Arc::new(Semaphore::new(1)),
        #[cfg(feature = "echo")]
        is_echo: kind.is_echo(),
    };

    let (written, read_end) = tokio::select! {
        written = &mut writing => (written, None),
        read_end = reader.run() => {
            end_writer(&read_end, &reader.replies, &closed).await;
            (writing.await, Some(read_end))
        }
    };
    // Also stops submissions that still wait for a thread.
    closed.cancel();
    let Ok((sink, write_end)) = written else {
        return tracing::error!("the writer panicked");
    };
    closing::finish(reader.stream, sink, read_end, write_end).await;
    tracing::debug!("closed");
}

/// Makes the writer end after the reader: at once if the connection is closed or unusable, else
/// with the `error` frame and a close frame.
async fn end_writer(read_end: &ReadEnd, replies: &mpsc::Sender<Reply>, closed: &CancellationToken) {
    match read_end {
        ReadEnd::Closed => closed.cancel(),
        ReadEnd::Lost(reason) => {
            tracing::debug!("connection lost: {reason}");
            closed.cancel();
        }
        ReadEnd::Violation { error, code } => {
            // Sending fails if the writer has just ended by itself, which the caller finds out
            // next.
            if let Some(error) = error {
                let _ = replies.send(Reply::error(error)).await;
            }
            let _ = replies.send(Reply::Close(*code)).await;
        }
    }
}

/// Time for HTTP to send the 101 response and hand the connection over.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);
