//! Notifies the task that writes to a client when one of its requests has a delivery.
//!
//! The writer takes the delivery at once after an urgent notification. After a coalesced one it may
//! wait for more text, which then goes into the same frame (ADR-0013).

use tokio::sync::Notify;

/// Wakes the one task that writes to a client. All requests of a client share a notifier.
#[derive(Debug, Default)]
pub struct Notifier {
    /// Stores [`Notification::Coalesced`].
    coalesced: Notify,
    /// Stores [`Notification::Urgent`].
    urgent: Notify,
}

impl Notifier {
    /// Waits for a coalesced notification: a queue position, progress, or text after the first. A
    /// task that waits a little before it takes the delivery finds more text in it.
    pub async fn coalesced(&self) {
        self.coalesced.notified().await;
    }

    /// Waits for an urgent notification: the first text or the outcome of a request.
    pub async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// Sends a notification. If no task is waiting, the notification is stored and ends the next
    /// wait at once. At most one of each kind is stored.
    pub(super) fn notify(&self, notification: Notification) {
        match notification {
            Notification::Coalesced => self.coalesced.notify_one(),
            Notification::Urgent => self.urgent.notify_one(),
        }
    }
}

/// The kinds of notification, in ascending urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notification {
    /// The writer may wait for more text.
    Coalesced,
    /// The writer is to take the delivery at once.
    Urgent,
}
