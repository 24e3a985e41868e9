//! The submitter's side of an accepted request: its deliveries and the means to cancel it.
//!
//! Dropping the ticket cancels the request, so a link that ends for any reason frees its slots.
//! Cancelling only sets a flag; the scheduler reads it and ends the request.

use std::sync::Arc;

use crate::domain::Delivery;
use crate::engine::model::CancelFlag;

use super::outbox::Outbox;
use super::waker::EngineWaker;

/// Takes the deliveries of an accepted request, and cancels the request when dropped.
#[derive(Debug)]
pub struct JobTicket {
    outbox: Arc<Outbox>,
    /// [`Job::cancel`](super::Job::cancel) of the request.
    cancel: CancelFlag,
    waker: Arc<EngineWaker>,
}

impl JobTicket {
    pub(in crate::engine) fn new(
        outbox: Arc<Outbox>,
        cancel: CancelFlag,
        waker: Arc<EngineWaker>,
    ) -> Self {
        Self { outbox, cancel, waker }
    }

    /// Takes the delivery since the last call; never waits. The [`Notifier`](super::Notifier) of
    /// the submission tells when there is one.
    pub fn take(&mut self) -> Delivery {
        self.outbox.take()
    }

    /// Whether the next delivery is not to wait for more text: it has the first text or the
    /// outcome.
    pub fn is_urgent(&self) -> bool {
        self.outbox.is_urgent()
    }

    /// Asks the engine to end the request, which it does within one step. Does nothing if the
    /// request has ended.
    pub fn cancel(&self) {
        if !self.cancel.is_set() {
            self.cancel.set();
            self.waker.wake();
        }
    }
}

impl Drop for JobTicket {
    fn drop(&mut self) {
        self.cancel();
    }
}
