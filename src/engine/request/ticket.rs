//! The client's side of an accepted request: its deliveries and the means to cancel it.
//!
//! Dropping the ticket cancels the request, so a connection that ends for any reason frees its
//! slots. Cancelling only sets a flag; the scheduler reads it and ends the request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::model::CancelFlag;
use crate::engine::stats::Stats;

use super::outbox::{Delivery, Outbox};
use super::waker::EngineWaker;

/// Takes the deliveries of an accepted request, and cancels the request when dropped.
#[derive(Debug)]
pub struct Ticket {
    outbox: Arc<Outbox>,
    canceller: Canceller,
    /// Where the time to first token is recorded.
    stats: Arc<Stats>,
    /// When the server received the request.
    received: Instant,
    /// Time to first token; `None` before the first text.
    ttft: Option<Duration>,
}

impl Ticket {
    pub(in crate::engine) fn new(
        outbox: Arc<Outbox>,
        canceller: Canceller,
        stats: Arc<Stats>,
        received: Instant,
    ) -> Self {
        Self { outbox, canceller, stats, received, ttft: None }
    }

    /// Takes the delivery since the last call; never waits. The [`Notifier`](super::Notifier) of
    /// the submission tells when there is one.
    pub fn take(&mut self) -> Delivery {
        self.outbox.take()
    }

    /// Records that text was handed to the socket at `now`. The first call fixes the time to
    /// first token; later calls do nothing.
    pub fn text_sent(&mut self, now: Instant) {
        if self.ttft.is_none() {
            let ttft = now.saturating_duration_since(self.received);
            self.ttft = Some(ttft);
            self.stats.first_text(ttft);
        }
    }

    /// Time to first token: from the receipt of the request until its first text was handed to
    /// the socket. `None` before.
    pub fn ttft(&self) -> Option<Duration> {
        self.ttft
    }

    /// A handle that can cancel the request, for the task that reads the socket.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

/// Cancels one request.
#[derive(Debug, Clone)]
pub struct Canceller {
    /// [`Job::cancel`](super::Job::cancel) of the request.
    flag: CancelFlag,
    waker: Arc<EngineWaker>,
}

impl Canceller {
    pub(in crate::engine) fn new(flag: CancelFlag, waker: Arc<EngineWaker>) -> Self {
        Self { flag, waker }
    }

    /// Asks the engine to end the request, which it does within one step. Does nothing if the
    /// request has ended.
    pub fn cancel(&self) {
        if !self.flag.is_set() {
            self.flag.set();
            self.waker.wake();
        }
    }
}
