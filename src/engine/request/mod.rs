//! One request between a client and the scheduler.
//!
//! A client submits a request and gets a [`Ticket`]. The engine gets a [`Job`] through its
//! [`Inbox`]. Both sides share an [`Outbox`]: the engine adds text to it and never waits, and the
//! ticket takes what is there. Dropping the ticket cancels the job.

mod inbox;
mod job;
mod outbox;
mod ticket;

pub use outbox::Notifier;
pub use ticket::{Canceller, Delivery, Ticket};

pub(super) use inbox::Inbox;
#[cfg(test)]
pub(super) use job::tests::job;
pub(super) use job::{End, Job};
pub(super) use outbox::Outbox;
