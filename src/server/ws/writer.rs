//! The writer task of a WebSocket connection: the only task that writes to its socket.
//!
//! It waits for an event, sends everything that is ready, flushes once, and repeats. It closes the
//! connection when the reader or the server asks for it, after the terminal frames of the requests
//! that still run. A frame that the socket does not take within the write grace ends the
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_util::sync::CancellationToken;

use crate::domain::Right;
use crate::protocol::ServerFrame;
use crate::server::access::Session;
use crate::server::shared::{MetricsFrame, Shared};
use crate::server::websockets::WebSocketPermit;

use super::close_reason::CloseReason;
use super::events::{Event, EventSources, Wanted};
use super::in_flight::InFlight;
use super::reply::{REPLY_QUEUE, Reply};
use super::request::ActiveRequest;
use super::sink::{FrameSink, is_stalled};
use super::socket::{Socket, SocketSink};

/// The writer of a connection: its half of the socket, its requests and its subscription.
pub(super) struct Writer<S> {
    sink: FrameSink<S>,
    in_flight: Arc<InFlight>,
    /// Learns whether the client has asked for `metrics` frames.
    permit: Arc<WebSocketPermit>,
    /// What the client may see.
    session: Arc<Session>,
    requests: Vec<ActiveRequest>,
    is_subscribed: bool,
    /// Number of the last `metrics` frame since the client subscribed.
    last_metrics: Option<u64>,
    /// Counts the `metrics` frames that were replaced before a connection took them; shared by all
    /// connections.
    dropped_frames: Arc<AtomicU64>,
    /// Why the connection closes, and until when the writer waits for requests to end before it
    /// sends the close frame; `None` unless the connection is closing.
    closing: Option<(CloseReason, Instant)>,
}

/// How the writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// It sent a close frame.
    CloseSent,
    /// It sent no close frame: the socket failed or stalled, or the reader closed the connection.
    Aborted,
}

impl<S: Socket> Writer<S> {
    pub(super) fn new(
        sink: FrameSink<S>,
        in_flight: Arc<InFlight>,
        permit: Arc<WebSocketPermit>,
        session: Arc<Session>,
        shared: &Shared,
    ) -> Self {
        Self {
            sink,
            in_flight,
            permit,
            session,
            requests: Vec::new(),
            is_subscribed: true,
            last_metrics: None,
            dropped_frames: shared.dropped_frames_counter(),
            closing: None,
        }
    }

    /// The same writer, which sends `metrics` frames from the start or waits until it is asked to.
    pub(super) fn with_metrics(self, is_subscribed: bool) -> Self {
        Self { is_subscribed, ..self }
    }

    /// Sends `hello` and handles events until the close frame has been sent, the socket fails, or
    /// `closed` is cancelled. Returns the sink for the closing handshake, and the requests that
    /// have not ended.
    pub(super) async fn run(
        mut self,
        hello: String,
        mut events: EventSources,
        closed: CancellationToken,
    ) -> (SocketSink<S>, WriteEnd, Vec<ActiveRequest>) {
        let end = closed.run_until_cancelled(self.write(hello, &mut events)).await;
        (self.sink.into_inner(), end.unwrap_or(WriteEnd::Aborted), self.requests)
    }

    /// Sends `hello` and handles events until the close frame has been sent or the socket fails.
    async fn write(&mut self, hello: String, events: &mut EventSources) -> WriteEnd {
        let mut event = Event::Reply(Reply::Frame(hello));
        loop {
            match self.handle(event, events).await {
                Ok(true) => return WriteEnd::CloseSent,
                Ok(false) => {}
                Err(error) if is_stalled(&error) => {
                    tracing::info!("connection dropped: the client does not read");
                    return WriteEnd::Aborted;
                }
                Err(error) => {
                    tracing::debug!("cannot write: {error}");
                    return WriteEnd::Aborted;
                }
            }
            let wanted = Wanted {
                is_subscribed: self.is_subscribed && self.session.may(Right::Metrics),
                close_deadline: self.closing.map(|(_, deadline)| deadline),
            };
            event = events.next(&wanted).await;
        }
    }

    /// Handles `event`, sends everything that is ready, and flushes. Returns true once the close
    /// frame has been sent.
    async fn handle(&mut self, event: Event, events: &mut EventSources) -> Result<bool, Error> {
        let mut is_overdue = false;
        let mut reply = None;
        match event {
            Event::Reply(first) => reply = Some(first),
            Event::Deliveries => {}
            // The client may have lost the right while the frame came.
            Event::Metrics(_) if !self.session.may(Right::Metrics) => {}
            Event::Metrics(frame) => self.send_metrics(frame).await?,
            Event::PingDue => self.sink.feed(Message::Ping(Bytes::new())).await?,
            Event::ServerClosing => self.close_with(CloseReason::ShuttingDown),
            Event::CloseDeadline => is_overdue = true,
        }
        // A bounded number: a client that sends without pause must not starve its own requests.
        for _ in 0..REPLY_QUEUE {
            let Some(next) = reply.take().or_else(|| events.try_reply()) else { break };
            self.handle_reply(next).await?;
        }
        self.send_deliveries().await?;
        if let Some((reason, _)) = self.closing
            && (is_overdue || self.in_flight.is_empty())
        {
            self.sink.feed(Message::Close(Some(reason.frame()))).await?;
            self.sink.flush().await?;
            return Ok(true);
        }
        self.sink.flush().await?;
        Ok(false)
    }

    /// Carries out an instruction of the reader or of a submission.
    async fn handle_reply(&mut self, reply: Reply) -> Result<(), Error> {
        match reply {
            #[cfg(feature = "echo")]
            Reply::Frame(hello) if hello.is_empty() => self.is_subscribed = false,
            Reply::Frame(text) => self.sink.text(text).await?,
            Reply::Submitted(request) => self.requests.push(*request),
            Reply::Refused(refused) => {
                let (id, error) = *refused;
                self.in_flight.remove(&id);
                self.sink.text(ServerFrame::Error(&error).text()).await?;
            }
            Reply::SubscribeMetrics => {
                self.is_subscribed = true;
                self.permit.set_watching(true);
                self.last_metrics = None;
                self.sink.text(ServerFrame::MetricsSubscribed.text()).await?;
            }
            Reply::UnsubscribeMetrics => {
                self.is_subscribed = false;
                self.permit.set_watching(false);
                self.sink.text(ServerFrame::MetricsUnsubscribed.text()).await?;
            }
            // `handle` flushes after every event.
            Reply::Flush => {}
            Reply::Close(reason) => {
                self.in_flight.abort(&None);
                self.close_with(reason);
            }
            #[cfg(feature = "echo")]
            Reply::Echo(message) => self.sink.feed(*message).await?,
        }
        Ok(())
    }

    /// Queues a `metrics` frame, and counts the frames that it replaced since the last one that was
    /// sent.
    async fn send_metrics(&mut self, frame: MetricsFrame) -> Result<(), Error> {
        let MetricsFrame { number, text } = frame;
        let expected = self.last_metrics.replace(number).map_or(number, |last| last + 1);
        self.dropped_frames.fetch_add(number.saturating_sub(expected), Relaxed);
        self.sink.feed(Message::Text(text)).await
    }

    /// Sends what the runner has delivered for each request, and removes the requests that have
    /// ended.
    async fn send_deliveries(&mut self) -> Result<(), Error> {
        let mut index = 0;
        while let Some(request) = self.requests.get_mut(index) {
            if request.send_delivery(&mut self.sink, &self.in_flight).await? {
                self.requests.remove(index);
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Makes the writer close for `reason` once no request is left, at the latest after
    /// [`TERMINAL_FRAMES_DEADLINE`].
    fn close_with(&mut self, reason: CloseReason) {
        self.closing = Some((reason, Instant::now() + TERMINAL_FRAMES_DEADLINE));
    }
}

/// How long the writer waits for terminal frames before it sends the close frame. The engine has
/// been told to end the requests and does so within one step.
const TERMINAL_FRAMES_DEADLINE: Duration = Duration::from_secs(2);
