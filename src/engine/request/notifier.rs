//! Tells the task that writes to a client that one of its requests has a delivery.
//!
//! Notifications are of two kinds, so that the writer can coalesce text: it answers an urgent one
//! at once and may let a routine one wait until more text has gathered (ADR-0013).

use tokio::sync::Notify;

/// Wakes the one task that writes to a client. All requests of a client share a notifier.
#[derive(Debug, Default)]
pub struct Notifier {
    routine: Notify,
    urgent: Notify,
}

impl Notifier {
    /// Waits for a routine notification: a queue position, progress, or text after the first.
    /// A task that waits a little before it takes the delivery finds more text in it.
    pub async fn routine(&self) {
        self.routine.notified().await;
    }

    /// Waits for an urgent notification: the first text or the outcome of a request.
    pub async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// Sends a notification. If no task is waiting, it is stored for the next wait; a second one of
    /// the same kind adds nothing to it.
    pub(super) fn notify(&self, notification: Notification) {
        match notification {
            Notification::Routine => self.routine.notify_one(),
            Notification::Urgent => self.urgent.notify_one(),
        }
    }
}

/// The kinds of notification, by urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notification {
    Routine,
    Urgent,
}
