//! The events that the writer waits for.
//!
//! [`EventSources`] waits for all of them at once: replies of the reader and of submissions,
//! deliveries of the runner, new `metrics` frames, the ping timer and the shutdown of the
//! server.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, Interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::server::shared::{MetricsFrame, Shared};

use super::PING_INTERVAL;
use super::reply::Reply;

/// Why the writer wakes.
pub(super) enum Event {
    /// The reader or a submission has a reply.
    Reply(Reply),
    /// The runner has delivered something for a request.
    Deliveries,
    /// A new `metrics` frame has been published.
    Metrics(MetricsFrame),
    /// It is time for a ping.
    PingDue,
    /// The server is shutting down.
    ServerClosing,
    /// The requests have had enough time to end: the close frame is due.
    CloseDeadline,
}

/// The state of the writer that decides which events are reported, and when. Events that no field
/// mentions are always reported at once.
pub(super) struct Wanted {
    /// Whether [`Event::Metrics`] is reported.
    pub(super) is_subscribed: bool,
    /// The time for [`Event::CloseDeadline`], if the connection is closing. `None` otherwise; only
    /// then is [`Event::ServerClosing`] reported.
    pub(super) close_deadline: Option<Instant>,
}

/// The sources of the writer's events.
pub(super) struct EventSources {
    replies: mpsc::Receiver<Reply>,
    deliveries: Arc<Notify>,
    metrics: watch::Receiver<MetricsFrame>,
    server_closing: CancellationToken,
    pings: Interval,
}

impl EventSources {
    pub(super) fn new(
        replies: mpsc::Receiver<Reply>,
        deliveries: Arc<Notify>,
        shared: &Shared,
    ) -> Self {
        Self {
            replies,
            deliveries,
            metrics: shared.metrics.clone(),
            server_closing: shared.closing.clone(),
            pings: interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL),
        }
    }

    /// Waits for the next event that is `wanted`.
    pub(super) async fn next(&mut self, wanted: &Wanted) -> Event {
        let Self { replies, deliveries, metrics, server_closing, pings } = self;
        let close_deadline = async {
            match wanted.close_deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(reply) = replies.recv() => Event::Reply(reply),
            () = deliveries.notified() => Event::Deliveries,
            Ok(()) = metrics.changed(), if wanted.is_subscribed => {
                Event::Metrics(metrics.borrow_and_update().clone())
            }
            _ = pings.tick() => Event::PingDue,
            () = server_closing.cancelled(), if wanted.close_deadline.is_none() => {
                Event::ServerClosing
            }
            () = close_deadline => Event::CloseDeadline,
        }
    }

    /// The next reply, if one is in the channel; does not wait.
    pub(super) fn try_reply(&mut self) -> Option<Reply> {
        self.replies.try_recv().ok()
    }
}
