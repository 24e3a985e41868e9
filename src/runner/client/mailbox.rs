//! What a runner has delivered for a request and its client has not taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::Delivery;

/// The delivery of one request that waits for its client. The credit of the request bounds it.
#[derive(Debug)]
pub(super) struct Mailbox {
    pending: Mutex<Delivery>,
    /// Wakes the task that writes to the client.
    notify: Arc<Notify>,
}

impl Mailbox {
    pub(super) fn new(notify: Arc<Notify>) -> Self {
        Self { pending: Mutex::default(), notify }
    }

    /// Adds a delivery and wakes the task of the client.
    pub(super) fn push(&self, delivery: Delivery) {
        self.lock().merge(delivery);
        self.notify.notify_one();
    }

    /// Takes what was added since the last call.
    pub(super) fn take(&self) -> Delivery {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Delivery> {
        // A delivery is valid after every statement, so a panic cannot have broken it.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
