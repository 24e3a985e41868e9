//! One request's way out: text on its way from the engine to the task that writes the socket.
//!
//! The engine adds, the writer takes all there is; text that is not taken in time is coalesced,
//! so a reader that lags gets the same text in fewer frames. The engine never waits: an outbox
//! over its limit says so, and the scheduler parks the slot. Room for one step's text beyond the
//! limit is always there, so nothing is ever lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::domain::{Outcome, TokenLogprobs};

use super::Inbox;

/// Untaken text over which a slot is parked: about a thousand tokens, a screenful for a person
/// and 1 MiB for 64 slots with 16 KiB each.
const HIGH_WATER_BYTES: usize = 16 * 1024;

/// Untaken token probabilities over which a slot is parked; one holds about 1 KiB.
const HIGH_WATER_LOGPROBS: usize = 256;

/// What the writer takes at once. Empty fields have nothing new.
#[derive(Debug, Default, PartialEq)]
pub struct Delivery {
    /// The latest place in the queue, counted from 1, if the request has to wait.
    pub queued: Option<usize>,
    /// The latest progress through the prompt: tokens read, tokens in all.
    pub progress: Option<(usize, usize)>,
    /// New text.
    pub text: String,
    /// The probabilities of new tokens, where asked for.
    pub logprobs: Vec<TokenLogprobs>,
    /// The end, if this is the last delivery.
    pub outcome: Option<Outcome>,
}

impl Delivery {
    fn is_over_the_limit(&self) -> bool {
        self.text.len() >= HIGH_WATER_BYTES || self.logprobs.len() >= HIGH_WATER_LOGPROBS
    }
}

/// Wakes the one task that writes to a client, whichever of its requests there is news of.
#[derive(Debug, Default)]
pub struct Notifier {
    routine: Notify,
    urgent: Notify,
}

impl Notifier {
    /// Waits for what is not urgent. Who waits a little before asking finds more text at once.
    pub async fn routine(&self) {
        self.routine.notified().await;
    }

    /// Waits for the first text of a request, or for its end: what a client waits for.
    pub async fn urgent(&self) {
        self.urgent.notified().await;
    }
}

/// What the bell is to be rung for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unheard {
    News,
    FirstText,
}

/// What has not been taken, and what the writer has not been told.
#[derive(Debug, Default)]
struct Contents {
    pending: Delivery,
    /// Whether text was pushed before.
    has_begun: bool,
    /// What was added since the bell was rung.
    unheard: Option<Unheard>,
}

/// The shared box. The engine's end; the writer's is the [`super::Ticket`].
#[derive(Debug)]
pub(in crate::engine) struct Outbox {
    contents: Mutex<Contents>,
    notifier: Arc<Notifier>,
    /// Rung when a full outbox is emptied, for an engine that has nothing else to do.
    inbox: Arc<Inbox>,
}

impl Outbox {
    pub(in crate::engine) fn new(notifier: Arc<Notifier>, inbox: Arc<Inbox>) -> Self {
        Self { contents: Mutex::default(), notifier, inbox }
    }

    /// Says that the request waits at `position`.
    pub(in crate::engine) fn queued(&self, position: usize) {
        self.lock().pending.queued = Some(position);
        self.notifier.routine.notify_one();
    }

    /// Says how much of the prompt has been read; see [`Self::notify`].
    pub(in crate::engine) fn progress(&self, processed: usize, total: usize) {
        let mut contents = self.lock();
        contents.pending.progress = Some((processed, total));
        contents.unheard = contents.unheard.max(Some(Unheard::News));
    }

    /// Adds text and probabilities; see [`Self::notify`].
    pub(in crate::engine) fn push(&self, text: &str, logprobs: Option<TokenLogprobs>) {
        if text.is_empty() && logprobs.is_none() {
            return;
        }
        let mut contents = self.lock();
        contents.pending.text.push_str(text);
        contents.pending.logprobs.extend(logprobs);
        let is_first = !text.is_empty() && !contents.has_begun;
        contents.has_begun |= is_first;
        let what = if is_first { Unheard::FirstText } else { Unheard::News };
        contents.unheard = contents.unheard.max(Some(what));
    }

    /// Rings for what was added since. Once a step, when all that it brought is in the outboxes: who
    /// shares the connection would otherwise be heard a little later, and wait for the next look.
    pub(in crate::engine) fn notify(&self) {
        let unheard = self.lock().unheard.take();
        match unheard {
            Some(Unheard::News) => self.notifier.routine.notify_one(),
            Some(Unheard::FirstText) => self.notifier.urgent.notify_one(),
            None => {}
        }
    }

    /// Adds the end. Nothing may be pushed after it.
    pub(in crate::engine) fn finish(&self, outcome: Outcome) {
        let mut contents = self.lock();
        debug_assert!(contents.pending.outcome.is_none(), "a request ends once");
        contents.pending.outcome = Some(outcome);
        drop(contents);
        self.notifier.urgent.notify_one();
    }

    /// Whether more is waiting than should: the slot is to be parked.
    pub(in crate::engine) fn is_full(&self) -> bool {
        self.lock().pending.is_over_the_limit()
    }

    /// Takes all there is.
    pub(in crate::engine) fn take(&self) -> Delivery {
        let delivery = std::mem::take(&mut self.lock().pending);
        if delivery.is_over_the_limit() {
            self.inbox.ring();
        }
        delivery
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // They are valid after every statement, so a panic elsewhere cannot have broken them.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a request came in and when its first text went out; the difference is the TTFT.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct FirstText {
    pub(in crate::engine) received: Instant,
    pub(in crate::engine) sent: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::domain::Logprob;

    #[test]
    fn the_first_text_and_the_end_ring_apart_from_text_that_may_wait() {
        let notifier = Arc::new(Notifier::default());
        let outbox = Outbox::new(notifier.clone(), Arc::new(Inbox::default()));
        let is_urgent = || notifier.urgent().now_or_never().is_some();
        let chosen = Logprob { token: 1, bytes: vec![0xf0], logprob: -1.0 };
        outbox.progress(1, 2);
        outbox.notify();
        assert!(!is_urgent());
        outbox.push("", Some(TokenLogprobs { chosen, top: Vec::new() }));
        outbox.notify();
        assert!(!is_urgent(), "no text yet");
        outbox.push("first", None);
        assert!(!is_urgent(), "the step is not through");
        outbox.notify();
        assert!(is_urgent());
        outbox.push("next", None);
        outbox.notify();
        assert!(!is_urgent());
        outbox.finish(Outcome::Failed(crate::domain::Failure::ShuttingDown));
        assert!(is_urgent());
    }
}
