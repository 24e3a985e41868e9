//! One request between its client and the scheduler.
//!
//! Whoever submitted a request holds a [`JobTicket`]. The scheduler holds a [`Job`], which it
//! received through the [`Inbox`]. Both share an [`Outbox`]. The engine thread adds to the
//! [`Delivery`](crate::domain::Delivery) in the outbox and never waits; a [`Notifier`] tells the
//! holder of the ticket to take it. In the other direction, [`EngineWaker`](waker::EngineWaker)
//! wakes the engine thread when a request arrives or is cancelled, or when an outbox has space
//! again.

mod inbox;
mod job;
mod notifier;
mod outbox;
mod ticket;
mod waker;

pub use notifier::Notifier;
pub use ticket::JobTicket;

pub(super) use inbox::Inbox;
pub(super) use job::{End, Job};
pub(super) use outbox::Outbox;
