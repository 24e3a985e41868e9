//! What a client holds for an accepted request: its deliveries, and the right to stop it.
//!
//! Dropping the ticket cancels the request, so a connection that ends, however it ends, frees its
//! slots. There is one flag a request and one place that reads it, the scheduler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inbox;
use super::outbox::{FirstText, Outbox};
use crate::engine::model::CancelFlag;
use crate::engine::stats::Stats;

pub use super::outbox::Delivery;

/// The client's end of an accepted request.
#[derive(Debug)]
pub struct Ticket {
    outbox: Arc<Outbox>,
    canceller: Canceller,
    stats: Arc<Stats>,
    first_text: FirstText,
}

impl Ticket {
    pub(in crate::engine) fn new(
        outbox: Arc<Outbox>,
        canceller: Canceller,
        stats: Arc<Stats>,
        received: Instant,
    ) -> Self {
        Self { outbox, canceller, stats, first_text: FirstText { received, sent: None } }
    }

    /// Takes what is new; never waits. The [`Notifier`](super::Notifier) given at submission tells when to look.
    pub fn take(&mut self) -> Delivery {
        self.outbox.take()
    }

    /// To be called when text has been handed to the socket; the first call fixes the TTFT.
    pub fn text_sent(&mut self, now: Instant) {
        if self.first_text.sent.is_none() {
            self.first_text.sent = Some(now);
            self.stats.first_text(now.saturating_duration_since(self.first_text.received));
        }
    }

    /// From the receipt of the request to the first text handed to the socket; `None` before.
    pub fn ttft(&self) -> Option<Duration> {
        let sent = self.first_text.sent?;
        Some(sent.saturating_duration_since(self.first_text.received))
    }

    /// The right to stop this request, for whoever reads the socket.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

/// Stops one request. Harmless after its end.
#[derive(Debug, Clone)]
pub struct Canceller {
    flag: CancelFlag,
    inbox: Arc<Inbox>,
}

impl Canceller {
    pub(in crate::engine) fn new(flag: CancelFlag, inbox: Arc<Inbox>) -> Self {
        Self { flag, inbox }
    }

    /// Asks the engine to end the request; it does within one step.
    pub fn cancel(&self) {
        if !self.flag.is_set() {
            self.flag.set();
            self.inbox.ring();
        }
    }
}
