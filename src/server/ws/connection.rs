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
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field};

use crate::domain::ConnectionId;
use crate::protocol::{ErrorFrame, ServerFrame};
use crate::server::access::{Caller, Session};
use crate::server::budget::BudgetShare;
use crate::server::connections::ConnectionPermit;
use crate::server::http::Arrival;
use crate::server::options::Options;
use crate::server::shared::Shared;
use crate::server::websockets::WebSocketPermit;

use super::close_reason::CloseReason;
use super::closing;
use super::events::EventSources;
use super::in_flight::InFlight;
use super::incoming::{Incoming, LastMessage, MessageLimits};
use super::kind::ConnectionKind;
use super::reader::{ReadEnd, Reader};
use super::reply::{REPLY_QUEUE, Reply};
use super::request::settle;
use super::sink::FrameSink;
use super::socket::{self, Socket};
use super::writer::Writer;
use super::{UNAUTHENTICATED, UPGRADE_DEADLINE};

/// A WebSocket that may be served.
struct Opened<S> {
    socket: WebSocketStream<Incoming<S>>,
    last_message: LastMessage,
    limits: MessageLimits,
    share: Arc<BudgetShare>,
    connection: ConnectionPermit,
    permit: Arc<WebSocketPermit>,
    id: ConnectionId,
    client: Arrived,
}

/// Who opened a WebSocket, and for what.
#[derive(Debug)]
pub(in crate::server) struct Arrived {
    /// From where the client came.
    pub(in crate::server) arrival: Arrival,
    /// Who it is; `None` if it has to send a key.
    pub(in crate::server) caller: Option<Caller>,
    /// What the connection is for.
    pub(in crate::server) kind: ConnectionKind,
    /// Whether it gets `metrics` frames before it asks for them.
    pub(in crate::server) wants_metrics: bool,
}

/// Takes the connection over from HTTP and serves its WebSocket until both sides have closed.
/// `connection` is held until then. Without a `permit` it closes the WebSocket at once: too many
/// are open.
pub(in crate::server) async fn serve(
    upgrade: OnUpgrade,
    connection: ConnectionPermit,
    permit: Option<WebSocketPermit>,
    client: Arrived,
    shared: Arc<Shared>,
) {
    let peer = client.arrival.peer;
    let Ok(Ok(upgraded)) = timeout(UPGRADE_DEADLINE, upgrade).await else {
        return tracing::debug!(%peer, "the client disconnected during the upgrade");
    };
    let id = shared.next_connection();
    let account = client.caller.as_ref().map_or(UNAUTHENTICATED, Caller::account_id);
    let share = shared.budget.share(account);
    let Options { max_message_bytes, message_deadline, .. } = shared.options;
    let limits = MessageLimits::new(max_message_bytes, message_deadline, client.caller.is_some());
    let opening = socket::from_upgraded(upgraded, limits.clone(), share.clone());
    let Some((socket, last_message)) = opening.await else {
        return tracing::error!(%peer, "cannot serve a WebSocket on this connection");
    };
    let Some(permit) = permit else {
        return closing::refuse(socket).await;
    };
    let permit = Arc::new(permit);
    let opened = Opened { socket, last_message, limits, share, connection, permit, id, client };
    // The session fills in the name of the key.
    let span = tracing::info_span!("connection", id = id.0, %peer, key = field::Empty);
    run(opened, shared).instrument(span).await;
}

/// Runs the reader and the writer until both have ended, then closes the socket.
async fn run<S: Socket>(opened: Opened<S>, shared: Arc<Shared>) {
    tracing::debug!("open");
    let Opened { socket, last_message, limits, share, connection, permit, id, client } = opened;
    let Arrived { arrival, caller, kind, wants_metrics } = client;
    let (sink, stream) = socket.split();
    let (replies, reply_queue) = mpsc::channel(REPLY_QUEUE);
    let deliveries = Arc::new(Notify::new());
    let in_flight = Arc::new(InFlight::new(permit.clone()));
    let closed = CancellationToken::new();
    // Stops the writer however this function ends, also by a panic.
    let _stop_writer = closed.clone().drop_guard();

    let session = Arc::new(Session::new(shared.access.clone(), arrival.peer.address()));
    let begun = caller.map(|caller| session.begin(caller));
    let hello = kind.greeting(ServerFrame::Hello(&shared.hello(begun.is_some())).text());
    let events = EventSources::new(reply_queue, deliveries.clone(), &shared);
    let sink = FrameSink::new(sink, shared.options.write_grace, share.empty());
    let writer = Writer::new(sink, in_flight.clone(), permit.clone(), session.clone(), &shared)
        .with_metrics(wants_metrics);
    let writing = writer.run(hello, events, closed.clone()).in_current_span();
    let mut writing = shared.tasks.spawn(writing);
    let mut reader = Reader {
        stream,
        last_message,
        limits,
        share: share.clone(),
        shared: shared.clone(),
        connection: id,
        peer: arrival.peer,
        session,
        permit: permit.clone(),
        tcp: connection.clone(),
        replies,
        deliveries: deliveries.clone(),
        in_flight,
        long_prompt: Arc::new(Semaphore::new(1)),
        #[cfg(feature = "echo")]
        is_echo: kind.is_echo(),
    };

    let (written, read_end) = tokio::select! {
        written = &mut writing => (written, None),
        read_end = read(&mut reader, begun) => {
            end_writer(&read_end, &reader.replies, &closed).await;
            (writing.await, Some(read_end))
        }
        () = share.evicted() => {
            let read_end = reader.evicted();
            (give_way(&read_end, &reader.replies, &closed, &mut writing).await, Some(read_end))
        }
        () = permit.replaced() => {
            connection.give_back();
            let read_end = reader.replaced();
            (give_way(&read_end, &reader.replies, &closed, &mut writing).await, Some(read_end))
        }
    };
    closed.cancel();
    let Ok((sink, write_end, unfinished)) = written else {
        return tracing::error!("the writer panicked");
    };
    shared.tasks.spawn(settle(unfinished, deliveries).in_current_span());
    closing::finish(reader.stream, sink, read_end, write_end).await;
    tracing::debug!("closed");
}

/// Ends the writer of a connection that has to close for others, within a deadline, because they
/// wait for its memory.
async fn give_way<T>(
    read_end: &ReadEnd,
    replies: &mpsc::Sender<Reply>,
    closed: &CancellationToken,
    writing: &mut JoinHandle<T>,
) -> Result<T, JoinError> {
    let ending = async {
        end_writer(read_end, replies, closed).await;
        (&mut *writing).await
    };
    if let Ok(written) = timeout(GIVE_WAY_DEADLINE, ending).await {
        return written;
    }
    closed.cancel();
    writing.await
}

/// Runs the reader until it ends or the session does. `begun` is the result of beginning the
/// session before the first frame, if the client has sent a key already.
async fn read<S: Socket>(reader: &mut Reader<S>, begun: Option<Result<(), ErrorFrame>>) -> ReadEnd {
    if let Some(Err(error)) = begun {
        return reader.too_many_connections(error);
    }
    let (session, in_flight) = (reader.session.clone(), reader.in_flight.clone());
    let replies = reader.replies.clone();
    // The writer asks again what the caller may see. If the channel is full, it wakes anyway.
    let wake_writer = move || drop(replies.try_send(Reply::Flush));
    tokio::select! {
        read_end = reader.run() => read_end,
        end = session.ended(wake_writer) => {
            // At once, even if the writer is busy with a client that does not read.
            in_flight.abort(&None);
            ReadEnd::Refused { error: Some(end.error()), reason: CloseReason::of_session(end) }
        }
    }
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
        ReadEnd::Refused { error, reason } => {
            // Sending fails if the writer has just ended by itself, which the caller finds out
            // next.
            if let Some(error) = error {
                let _ = replies.send(Reply::error(error)).await;
            }
            let _ = replies.send(Reply::Close(*reason)).await;
        }
    }
}

/// Time for a connection that has to close for others to send its last frames. As long as the
/// writer waits for terminal frames.
const GIVE_WAY_DEADLINE: Duration = Duration::from_secs(2);
