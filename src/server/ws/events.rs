//! What the writer waits for.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::engine::Notifier;
use crate::server::shared::{MetricsFrame, Shared};

use super::PING_INTERVAL;
use super::reply::Reply;

/// Why the writer wakes.
pub(super) enum Event {
    /// The reader or a submission has a reply.
    Reply(Reply),
    /// A request has news that may be coalesced: text, progress, a queue position.
    News,
    /// A request has its first text or has ended.
    UrgentNews,
    /// A new `metrics` frame has been published.
    Metrics(MetricsFrame),
    /// It is time for a ping.
    PingDue,
    /// The server is shutting down.
    ServerClosing,
    /// The grace for requests to end before the close frame is over.
    CloseDeadline,
}

/// Which events the writer waits for. It always waits for the others.
pub(super) struct Wanted {
    /// Whether to report `metrics` frames.
    pub(super) metrics: bool,
    /// When to report coalesced news, at the earliest.
    pub(super) next_news: Instant,
    /// When to report [`Event::CloseDeadline`]; `None` unless the connection is closing.
    pub(super) close_deadline: Option<Instant>,
}

/// Where the writer's events come from.
pub(super) struct EventSources {
    replies: mpsc::Receiver<Reply>,
    notifier: Arc<Notifier>,
    metrics: watch::Receiver<MetricsFrame>,
    server_closing: CancellationToken,
    pings: Interval,
}

impl EventSources {
    pub(super) fn new(
        replies: mpsc::Receiver<Reply>,
        notifier: Arc<Notifier>,
        shared: &Shared,
    ) -> Self {
        Self {
            replies,
            notifier,
            metrics: shared.metrics.clone(),
            server_closing: shared.closing.clone(),
            pings: interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL),
        }
    }

    /// Waits for the next event.
    pub(super) async fn next(&mut self, wanted: &Wanted) -> Event {
        let Self { replies, notifier, metrics, server_closing, pings } = self;
        let news = async {
            if wanted.next_news > Instant::now() {
                sleep_until(wanted.next_news).await;
            }
            notifier.coalesced().await;
        };
        let close_deadline = async {
            match wanted.close_deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(reply) = replies.recv() => Event::Reply(reply),
            () = news => Event::News,
            () = notifier.urgent() => Event::UrgentNews,
            Ok(()) = metrics.changed(), if wanted.metrics => {
                Event::Metrics(metrics.borrow_and_update().clone())
            }
            _ = pings.tick() => Event::PingDue,
            () = server_closing.cancelled(), if wanted.close_deadline.is_none() => {
                Event::ServerClosing
            }
            () = close_deadline => Event::CloseDeadline,
        }
    }

    /// The next reply, if one is there already.
    pub(super) fn try_reply(&mut self) -> Option<Reply> {
        self.replies.try_recv().ok()
    }
}
