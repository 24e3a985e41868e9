//! The writing half of a connection: the only task that writes frames to its socket.
//!
//! It sleeps until there is something to say, says all of it, and flushes once. Replies come from
//! the reader in order; text comes from the engine, which rings one bell for all requests of the
//! connection; metrics are the latest there are. Nothing is taken from anywhere while the socket
//! is full, and a socket that stays full past the grace ends the connection ([`Outlet`]).

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, interval_at, sleep_until};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use crate::domain::Outcome;
use crate::engine::{Delivery, Notifier, Ticket};
use crate::protocol::{EndStats, ErrorFrame, RequestId, ServerFrame};

use super::connection::Socket;
use super::in_flight::InFlight;
use super::outlet::{Outlet, Sink, is_stuck};
use super::shared::Published;

/// Time between two pings. Often enough that no router in between forgets the connection.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Replies that may wait for the writer. A reader with more to say waits.
pub(super) const REPLIES: usize = 16;

/// How long the last frames of running requests are waited for when the connection is closed from here.
/// The engine has ended them by then, or does within a step; this is for what was on its way.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

/// What the reader has for the writer.
#[derive(Debug)]
pub(super) enum Reply {
    /// A frame to send as it is.
    Frame(String),
    /// A request to serve from now on. On the heap: room for dozens of replies is set aside for every
    /// connection, also for those that only watch.
    Accepted(Box<Running>),
    /// A request that will not be served, by its name.
    Refused(Box<(Option<RequestId>, ErrorFrame)>),
    /// Send metrics.
    SubscribeMetrics,
    /// Send no metrics.
    UnsubscribeMetrics,
    /// Nothing to say but what tungstenite has of its own: the answer to a ping.
    Flush,
    /// End what runs and say goodbye.
    Close(CloseCode),
}

// The channel sets places aside by the dozen, for every connection.
const _: () = assert!(size_of::<Reply>() <= 24);

impl Reply {
    /// An error frame.
    pub(super) fn error(error: &ErrorFrame) -> Self {
        Self::Frame(ServerFrame::Error(error).text())
    }
}

/// Where news for the writer come from.
pub(super) struct Sources {
    pub(super) replies: mpsc::Receiver<Reply>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) metrics: watch::Receiver<Published>,
    /// Counts the metrics frames that were overtaken.
    pub(super) dropped: Arc<AtomicU64>,
    /// Cancelled when the server closes.
    pub(super) closing: CancellationToken,
}

/// Least time between two looks at the requests' text. A model that makes a token every
/// millisecond shares its processors with this task and with the client, and both cost it more for
/// each frame than for each token; a screen shows 60 pictures a second. Nothing is held back of a
/// model that takes longer for a token, nor the first text of a request or its end, which somebody
/// waits for.
const TEXT_INTERVAL: Duration = Duration::from_millis(10);

/// How the writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// With a close frame.
    Said,
    /// Without: the socket is broken or stuck, or the client is gone.
    Unsaid,
}

/// The writing half of a connection.
pub(super) struct Writer<S> {
    outlet: Outlet<S>,
    in_flight: Arc<InFlight>,
    running: Vec<Running>,
    is_subscribed: bool,
    /// The number of the last metrics frame, since the client subscribed.
    last_metrics: Option<u64>,
    /// Until when the writer only waits for requests to end, and the goodbye that it then says.
    leaving: Option<(Instant, CloseCode)>,
    /// When to look at the requests' text again.
    next_look: Instant,
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Running {
    id: Option<RequestId>,
    ticket: Ticket,
    /// How it ended, as soon as that is known.
    outcome: Option<Outcome>,
    /// Whether the log has that.
    is_logged: bool,
}

impl Running {
    pub(super) fn new(id: Option<RequestId>, ticket: Ticket) -> Self {
        Self { id, ticket, outcome: None, is_logged: false }
    }

    /// The last frame, once there is one. It is logged, too: it says what the request took, and nothing of
    /// what was asked and answered.
    fn terminal(&mut self) -> Option<String> {
        let text = match self.outcome.take()? {
            Outcome::Finished { reason, usage } => {
                let stats = EndStats::new(&usage, self.ticket.ttft());
                let id = self.id.as_ref();
                ServerFrame::End { id, finish_reason: reason, stats }.text()
            }
            Outcome::Failed(failure) => {
                ServerFrame::Error(&ErrorFrame::from(failure).about(self.id.clone())).text()
            }
        };
        tracing::info!("ended: {text}");
        self.is_logged = true;
        Some(text)
    }
}

/// However a connection ends, and wherever an accepted request is then, the log has a line for it.
impl Drop for Running {
    fn drop(&mut self) {
        if self.is_logged {
            return;
        }
        self.outcome = self.outcome.take().or_else(|| self.ticket.take().outcome);
        if self.terminal().is_none() {
            // It ends with its ticket, and nobody waits to learn what it took.
            log_left(self.id.as_ref());
        }
    }
}

/// Says in the log that a client has left its request.
pub(super) fn log_left(id: Option<&RequestId>) {
    let id = id.map_or("", RequestId::as_str);
    tracing::info!("left by its client: id {id:?}");
}

/// Says in the log that a request was refused.
pub(super) fn log_refused(error: &ErrorFrame) {
    tracing::info!("refused: {}", ServerFrame::Error(&error.wordless()).text());
}

enum Wake {
    Reply(Reply),
    News,
    Urgent,
    Metrics,
    Ping,
    Leave,
    Overdue,
}

enum Next {
    GoOn,
    Left,
}

impl<S: Socket> Writer<S> {
    pub(super) fn new(sink: Sink<S>, in_flight: Arc<InFlight>, grace: Duration) -> Self {
        let running = Vec::new();
        let next_look = Instant::now();
        Self {
            outlet: Outlet::new(sink, grace),
            in_flight,
            running,
            is_subscribed: true,
            last_metrics: None,
            leaving: None,
            next_look,
        }
    }

    /// Greets with `hello` and writes until there is no more to say or `gone` is cancelled. The
    /// requests that still run are cancelled with that. Gives the sink back.
    pub(super) async fn run(
        mut self,
        hello: Utf8Bytes,
        mut sources: Sources,
        gone: CancellationToken,
    ) -> (Sink<S>, Farewell) {
        let farewell = gone.run_until_cancelled(self.write(hello, &mut sources)).await;
        (self.outlet.into_inner(), farewell.unwrap_or(Farewell::Unsaid))
    }

    async fn write(&mut self, hello: Utf8Bytes, sources: &mut Sources) -> Farewell {
        let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        let mut wake = Wake::Reply(Reply::Frame(hello.as_str().to_owned()));
        loop {
            match self.round(wake, sources).await {
                Ok(Next::GoOn) => {}
                Ok(Next::Left) => return Farewell::Said,
                Err(error) if is_stuck(&error) => {
                    tracing::info!("the client does not read; it is dropped");
                    return Farewell::Unsaid;
                }
                Err(error) => {
                    tracing::debug!("cannot write: {error}");
                    return Farewell::Unsaid;
                }
            }
            wake = self.wait(sources, &mut pings).await;
        }
    }

    async fn wait(&self, sources: &mut Sources, pings: &mut Interval) -> Wake {
        let overdue = async {
            match self.leaving {
                Some((deadline, _)) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let news = async {
            if self.next_look > Instant::now() {
                sleep_until(self.next_look).await;
            }
            sources.notifier.routine().await;
        };
        tokio::select! {
            Some(reply) = sources.replies.recv() => Wake::Reply(reply),
            () = news => Wake::News,
            () = sources.notifier.urgent() => Wake::Urgent,
            Ok(()) = sources.metrics.changed(), if self.is_subscribed => Wake::Metrics,
            _ = pings.tick() => Wake::Ping,
            () = sources.closing.cancelled(), if self.leaving.is_none() => Wake::Leave,
            () = overdue => Wake::Overdue,
        }
    }

    /// Says all there is to say.
    async fn round(&mut self, wake: Wake, sources: &mut Sources) -> Result<Next, Error> {
        let mut is_overdue = false;
        let mut reply = None;
        match wake {
            Wake::Reply(first) => reply = Some(first),
            Wake::News => self.next_look = Instant::now() + TEXT_INTERVAL,
            // Rare enough to be no reason for others' text to wait.
            Wake::Urgent => {}
            Wake::Metrics => {
                let Published { number, text } = sources.metrics.borrow_and_update().clone();
                let expected = self.last_metrics.replace(number).map_or(number, |last| last + 1);
                sources.dropped.fetch_add(number.saturating_sub(expected), Relaxed);
                self.outlet.feed(Message::Text(text)).await?;
            }
            Wake::Ping => self.outlet.feed(Message::Ping(Bytes::new())).await?,
            Wake::Leave => self.leave(CloseCode::Away),
            Wake::Overdue => is_overdue = true,
        }
        // Not all there are: a client that asks without pause would keep its text from itself.
        for _ in 0..REPLIES {
            let Some(next) = reply.take().or_else(|| sources.replies.try_recv().ok()) else {
                break;
            };
            self.answer(next).await?;
        }
        let mut index = 0;
        while let Some(running) = self.running.get_mut(index) {
            if deliver(running, &mut self.outlet, &self.in_flight).await? {
                self.running.remove(index);
            } else {
                index += 1;
            }
        }
        if let Some((_, code)) = self.leaving
            && (is_overdue || self.in_flight.is_empty())
        {
            self.close(code).await?;
            return Ok(Next::Left);
        }
        self.outlet.flush().await?;
        Ok(Next::GoOn)
    }

    /// Closes with `code` as soon as no request is left, or the time for that is over.
    fn leave(&mut self, code: CloseCode) {
        self.leaving = Some((Instant::now() + LEAVE_GRACE, code));
    }

    async fn answer(&mut self, reply: Reply) -> Result<(), Error> {
        match reply {
            Reply::Frame(text) => self.outlet.text(text).await?,
            Reply::Accepted(running) => self.running.push(*running),
            Reply::Refused(refused) => {
                let (id, error) = *refused;
                self.in_flight.strike(&id);
                self.outlet.text(ServerFrame::Error(&error).text()).await?;
            }
            Reply::SubscribeMetrics => {
                self.is_subscribed = true;
                self.last_metrics = None;
                self.outlet.text(ServerFrame::MetricsSubscribed.text()).await?;
            }
            Reply::UnsubscribeMetrics => {
                self.is_subscribed = false;
                self.outlet.text(ServerFrame::MetricsUnsubscribed.text()).await?;
            }
            Reply::Flush => {}
            Reply::Close(code) => {
                self.in_flight.abort(&None);
                self.leave(code);
            }
        }
        Ok(())
    }

    async fn close(&mut self, code: CloseCode) -> Result<(), Error> {
        let goodbye = CloseFrame { code, reason: Utf8Bytes::default() };
        self.outlet.feed(Message::Close(Some(goodbye))).await?;
        self.outlet.flush().await
    }
}

/// Sends what is new of one request; true if that was its end.
async fn deliver<S: Socket>(
    running: &mut Running,
    outlet: &mut Outlet<S>,
    in_flight: &InFlight,
) -> Result<bool, Error> {
    let Delivery { queued, progress, text, logprobs, outcome } = running.ticket.take();
    // Kept at once, since the socket may fail in between.
    running.outcome = outcome;
    let Running { id, ticket, .. } = running;
    let name = id.as_ref();
    if let Some(position) = queued {
        outlet.text(ServerFrame::Queued { id: name, position }.text()).await?;
    }
    if let Some((processed, total)) = progress {
        outlet.text(ServerFrame::Progress { id: name, processed, total }.text()).await?;
    }
    if !text.is_empty() || !logprobs.is_empty() {
        let frame = ServerFrame::Token { id: name, content: &text, logprobs: &logprobs };
        outlet.text(frame.text()).await?;
    }
    if !text.is_empty() && ticket.ttft().is_none() {
        // The first text does not wait for the rest of the round, and its time is taken when it
        // is with the operating system.
        outlet.flush().await?;
        ticket.text_sent(std::time::Instant::now());
    }
    let Some(text) = running.terminal() else { return Ok(false) };
    in_flight.strike(&running.id);
    outlet.text(text).await?;
    Ok(true)
}
