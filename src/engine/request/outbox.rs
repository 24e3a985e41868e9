//! Carries deliveries from the engine thread to the task that writes to the client.
//!
//! The engine adds text, progress, queue positions and the outcome to the pending delivery, and the
//! writer takes the delivery as a whole. Text that is not taken in time is coalesced, so a slow
//! client gets the same text in fewer frames. The engine never waits: once an outbox has reached
//! its limit, the scheduler pauses the slot. The text of one more step is added even above the
//! limit, so nothing is ever lost (ADR-0013).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{AnswerStart, Delivery, Outcome, TokenLogprobs};

use super::notifier::{Notification, Notifier};
use super::waker::EngineWaker;

/// The delivery of one request that its writer has not taken yet. The writer takes it through
/// [`JobTicket`](super::JobTicket).
#[derive(Debug)]
pub(in crate::engine) struct Outbox {
    contents: Mutex<OutboxContents>,
    notifier: Arc<Notifier>,
    /// Woken when a full outbox is emptied, because every slot may be paused.
    waker: Arc<EngineWaker>,
}

/// The delivery so far, and what to notify.
#[derive(Debug, Default)]
struct OutboxContents {
    /// What the next [`Outbox::take`] returns.
    pending: Delivery,
    /// Whether any text was pushed.
    has_text: bool,
    /// Whether `pending` has the first text or the outcome.
    is_urgent: bool,
    /// The notification that the next [`Outbox::notify`] sends, if any.
    due: Option<Notification>,
}

impl Outbox {
    pub(in crate::engine) fn new(notifier: Arc<Notifier>, waker: Arc<EngineWaker>) -> Self {
        Self { contents: Mutex::default(), notifier, waker }
    }

    /// Reports the queue position, counted from 1, and notifies the writer.
    pub(in crate::engine) fn queued(&self, position: usize) {
        self.lock().pending.queued = Some(position);
        self.notifier.notify(Notification::Coalesced);
    }

    /// Reports that the request has got a slot, how its answer begins, and the tokens of its
    /// prompt, of which `n_reused` came from the prefix cache. Notifies the writer.
    pub(in crate::engine) fn started(&self, answer: AnswerStart, n_prompt: usize, n_reused: usize) {
        let mut contents = self.lock();
        contents.pending.is_started = true;
        contents.pending.prompt = Some((n_prompt, n_reused));
        contents.pending.answer_start = Some(answer);
        drop(contents);
        self.notifier.notify(Notification::Coalesced);
    }

    /// Reports that `processed` of the `total` prompt tokens are in the KV cache. To be followed
    /// by [`Self::notify`].
    pub(in crate::engine) fn progress(&self, processed: usize, total: usize) {
        let mut contents = self.lock();
        contents.pending.progress = Some((processed, total));
        contents.due = contents.due.max(Some(Notification::Coalesced));
    }

    /// Counts a generated token. To be followed by [`Self::push`].
    pub(in crate::engine) fn generated(&self) {
        self.lock().pending.n_tokens += 1;
    }

    /// Adds text and log probabilities. To be followed by [`Self::notify`].
    pub(in crate::engine) fn push(
        &self,
        text: &str,
        logprobs: impl IntoIterator<Item = TokenLogprobs>,
    ) {
        let mut logprobs = logprobs.into_iter().peekable();
        if text.is_empty() && logprobs.peek().is_none() {
            return;
        }
        let mut contents = self.lock();
        contents.pending.text.push_str(text);
        contents.pending.logprobs.extend(logprobs);
        let is_first = !text.is_empty() && !contents.has_text;
        contents.has_text |= is_first;
        contents.is_urgent |= is_first;
        let due = if is_first { Notification::Urgent } else { Notification::Coalesced };
        contents.due = contents.due.max(Some(due));
    }

    /// Notifies the writer if the delivery has changed. To be called once per step, after the
    /// outboxes of all slots were updated: the requests of one connection share a writer, which
    /// would otherwise send the first delivery alone and let the others wait.
    pub(in crate::engine) fn notify(&self) {
        let due = self.lock().due.take();
        if let Some(notification) = due {
            self.notifier.notify(notification);
        }
    }

    /// Adds the outcome and notifies the writer. Nothing may be pushed after it.
    pub(in crate::engine) fn finish(&self, outcome: Outcome) {
        let mut contents = self.lock();
        debug_assert!(contents.pending.outcome.is_none(), "a request has one outcome");
        contents.pending.outcome = Some(outcome);
        contents.is_urgent = true;
        drop(contents);
        self.notifier.notify(Notification::Urgent);
    }

    /// Whether the pending delivery has the first text or the outcome.
    pub(in crate::engine) fn is_urgent(&self) -> bool {
        self.lock().is_urgent
    }

    /// Whether the outbox has reached its limit, so that its slot is to be paused.
    pub(in crate::engine) fn is_full(&self) -> bool {
        is_full(&self.lock().pending)
    }

    /// Takes the pending delivery. Wakes the engine thread if the outbox was full.
    pub(in crate::engine) fn take(&self) -> Delivery {
        let mut contents = self.lock();
        contents.is_urgent = false;
        let delivery = std::mem::take(&mut contents.pending);
        drop(contents);
        if is_full(&delivery) {
            self.waker.wake();
        }
        delivery
    }

    fn lock(&self) -> MutexGuard<'_, OutboxContents> {
        // The contents are valid after every statement, so a panic cannot have broken them.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a pending delivery is so large that the slot is to be paused.
fn is_full(delivery: &Delivery) -> bool {
    delivery.text.len() >= HIGH_WATER_BYTES || delivery.logprobs.len() >= HIGH_WATER_LOGPROBS
}

/// Bytes of text in the outbox at which the slot is paused (ADR-0013).
const HIGH_WATER_BYTES: usize = 16 * 1024;

/// Number of tokens with log probabilities in the outbox at which the slot is paused (ADR-0013).
const HIGH_WATER_LOGPROBS: usize = 256;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::domain::{Failure, Logprob};

    #[test]
    fn only_first_text_and_outcome_notify_urgently() {
        let notifier = Arc::new(Notifier::default());
        let outbox = Outbox::new(notifier.clone(), Arc::default());
        let is_urgent = || notifier.urgent().now_or_never().is_some();
        let chosen = Logprob { token: 1, bytes: vec![0xf0], logprob: -1.0 };
        outbox.progress(1, 2);
        outbox.notify();
        assert!(!is_urgent());
        outbox.push("", Some(TokenLogprobs { chosen, top: Vec::new() }));
        outbox.notify();
        assert!(!is_urgent(), "no text yet");
        outbox.push("first", None);
        assert!(!is_urgent(), "the step has not ended");
        outbox.notify();
        assert!(is_urgent());
        outbox.push("next", None);
        outbox.notify();
        assert!(!is_urgent());
        outbox.finish(Outcome::Failed(Failure::ShuttingDown));
        assert!(is_urgent());
    }
}
