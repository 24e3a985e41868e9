//! The table of requests that the daemon has submitted and that have not ended.
//!
//! The table owns the promise that each request has exactly one end. A request leaves it with its
//! outcome: that of the runner, or one that the daemon makes when the runner ends. Until its first
//! text the table keeps what was asked, so that another runner can do it.
//!
//! There is no queue of frames. What the link is to send follows from the entries, and a list names
//! the entries that have something to send, each once.

mod entry;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::domain::{Delivery, Failure, FinishReason, Outcome, Refusal, Request};
use crate::runner::frames::{CREDIT_STEP_BYTES, RequestKey, ToRunner};

use self::entry::{Entry, RequestStage};
use super::mailbox::Mailbox;

pub(super) use self::entry::RunnerEnd;

/// The requests that have not ended.
#[derive(Debug, Default)]
pub(super) struct Requests {
    contents: Mutex<Contents>,
    /// Notified when the link has something to send.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Contents {
    /// In the order of their arrival.
    entries: BTreeMap<RequestKey, Entry>,
    /// The entries that have something to send.
    unsent: VecDeque<RequestKey>,
    next_key: RequestKey,
    /// Whether a runner takes requests.
    is_open: bool,
    /// Number of requests that finished.
    n_finished: u64,
}

/// A request that was put into the table.
pub(super) struct Submitted {
    pub(super) key: RequestKey,
    pub(super) mailbox: Arc<Mailbox>,
    /// Resolves once the runner has accepted or refused the request, or it has ended, or there is
    /// no runner.
    pub(super) settled: oneshot::Receiver<()>,
}

impl Requests {
    /// Adds a request, unless there are `limit` already. The first request of a connection is
    /// always added: connections limit their number.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub(super) fn add(
        &self,
        request: Request,
        received: Instant,
        notify: Arc<Notify>,
        is_first: bool,
        limit: usize,
    ) -> Result<Submitted, Refusal> {
        let mut contents = self.lock();
        let n = contents.entries.len();
        if n >= limit && !is_first {
            let is_waiting = |entry: &&Entry| !entry.is_started();
            let queued = contents.entries.values().filter(is_waiting).count();
            return Err(Refusal::Busy { queued });
        }
        let key = contents.next_key;
        contents.next_key += 1;
        let mailbox = Arc::new(Mailbox::new(notify));
        let (settle, settled) = oneshot::channel();
        let entry = Entry {
            request: Some(request),
            is_first,
            received,
            mailbox: mailbox.clone(),
            settled: contents.is_open.then_some(settle),
            is_accepted: false,
            stage: RequestStage::Held,
            is_cancelled: false,
            n_ends: 0,
            taken: 0,
            is_unsent: false,
        };
        contents.entries.insert(key, entry);
        self.mark(contents, key);
        Ok(Submitted { key, mailbox, settled })
    }

    /// Cancels a request. One that no runner has ends at once.
    pub(super) fn cancel(&self, key: RequestKey) {
        let mut contents = self.lock();
        let Some(entry) = contents.entries.get_mut(&key) else { return };
        entry.is_cancelled = true;
        if entry.stage == RequestStage::Held {
            contents.unsent.retain(|&unsent| unsent != key);
            if let Some(entry) = contents.entries.remove(&key) {
                entry.finish(entry.aborted());
            }
        } else {
            // Nobody computes it again. A suspect is one only as long as its request is there.
            if entry.n_ends == 0 {
                entry.request = None;
            }
            self.mark(contents, key);
        }
    }

    /// Records that the client has taken `bytes` of what was delivered.
    pub(super) fn taken(&self, key: RequestKey, bytes: usize) {
        let mut contents = self.lock();
        let Some(entry) = contents.entries.get_mut(&key) else { return };
        entry.taken += bytes;
        if entry.taken >= CREDIT_STEP_BYTES {
            self.mark(contents, key);
        }
    }

    /// Wakes the task that calls [`Self::take_frame`].
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until there may be something to send.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the next frame to send to a runner that is ready; `None` if there is none.
    ///
    /// Requests that were there when a runner ended are suspects. They are sent one after another,
    /// each once the one before it has text or has ended. So if a suspect ends its runner again,
    /// the other ones are not there.
    pub(super) fn take_frame(&self, now: Instant) -> Option<ToRunner> {
        let mut contents = self.lock();
        if !contents.is_open {
            return None;
        }
        let mut has_suspect = None;
        for _ in 0..contents.unsent.len() {
            let key = contents.unsent.pop_front()?;
            if contents.entries.get(&key).is_some_and(Entry::is_held_suspect) {
                let has_suspect = has_suspect.get_or_insert_with(|| {
                    contents.entries.values().any(Entry::is_suspect_with_runner)
                });
                if *has_suspect {
                    contents.unsent.push_back(key);
                    continue;
                }
            }
            let Some(entry) = contents.entries.get_mut(&key) else { continue };
            entry.is_unsent = false;
            if let Some(frame) = entry.take_frame(key, now) {
                // It may have more to send: a request that was cancelled at once, for example.
                entry.is_unsent = true;
                contents.unsent.push_back(key);
                return Some(frame);
            }
        }
        None
    }

    /// Adds what the runner has delivered. An end removes the request.
    pub(super) fn deliver(&self, key: RequestKey, delivery: Delivery) {
        let mut contents = self.lock();
        let Some(entry) = contents.entries.get_mut(&key) else { return };
        let was_suspect = entry.is_suspect_with_runner();
        if !delivery.text.is_empty() || !delivery.logprobs.is_empty() {
            entry.request = None;
        }
        if was_suspect && (entry.request.is_none() || delivery.outcome.is_some()) {
            // The next suspect may be sent.
            self.changed.notify_one();
        }
        if let RequestStage::Sent { is_started, .. } = &mut entry.stage {
            *is_started |= delivery.is_started;
        }
        if delivery.outcome.is_none() {
            entry.mailbox.push(delivery);
            return;
        }
        let is_finished = matches!(
            delivery.outcome,
            Some(Outcome::Finished {
                reason: FinishReason::Stop | FinishReason::MaxTokens | FinishReason::ContextFull,
                ..
            })
        );
        contents.n_finished += u64::from(is_finished);
        if let Some(entry) = contents.entries.remove(&key) {
            drop(contents);
            entry.mailbox.push(delivery);
        }
    }

    /// Records that the runner has accepted a request.
    pub(super) fn accepted(&self, key: RequestKey) {
        let mut contents = self.lock();
        let Some(entry) = contents.entries.get_mut(&key) else { return };
        entry.is_accepted = true;
        if let Some(settled) = entry.settled.take() {
            // Fails if nobody waits for it.
            let _ = settled.send(());
        }
    }

    /// A runner is ready: it gets all requests, in the order of their arrival.
    pub(super) fn open(&self) {
        let mut contents = self.lock();
        contents.is_open = true;
        contents.unsent = contents.entries.keys().copied().collect();
        contents.entries.values_mut().for_each(|entry| entry.is_unsent = true);
        drop(contents);
        self.wake();
    }

    /// The runner has ended. Requests with text end too, and those that were there at two ends. The
    /// others are held for the next runner.
    pub(super) fn close(&self, end: &RunnerEnd) {
        let mut contents = self.lock();
        contents.is_open = false;
        contents.unsent.clear();
        let mut ended = Vec::new();
        contents.entries.retain(|_, entry| {
            entry.is_unsent = false;
            match entry.runner_ended(end) {
                None => true,
                Some(outcome) => {
                    ended.push((entry.mailbox.clone(), entry.settled.take(), outcome));
                    false
                }
            }
        });
        drop(contents);
        for (mailbox, _settled, outcome) in ended {
            mailbox.push(Delivery { outcome: Some(outcome), ..Delivery::default() });
        }
    }

    /// Ends all requests with `failure`.
    pub(super) fn end_all(&self, failure: &Failure) {
        let mut contents = self.lock();
        contents.is_open = false;
        contents.unsent.clear();
        let entries = std::mem::take(&mut contents.entries);
        drop(contents);
        for entry in entries.into_values() {
            entry.finish(Outcome::Failed(failure.clone()));
        }
    }

    /// Number of requests that have not ended.
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Number of requests that no runner has.
    pub(super) fn n_held(&self) -> usize {
        self.lock().entries.values().filter(|entry| entry.stage == RequestStage::Held).count()
    }

    /// Number of requests that have finished so far.
    pub(super) fn n_finished(&self) -> u64 {
        self.lock().n_finished
    }

    /// Notes that a request has something to send.
    fn mark(&self, mut contents: MutexGuard<'_, Contents>, key: RequestKey) {
        let contents = &mut *contents;
        // A runner that gets ready is sent everything.
        if !contents.is_open {
            return;
        }
        if let Some(entry) = contents.entries.get_mut(&key)
            && !std::mem::replace(&mut entry.is_unsent, true)
        {
            contents.unsent.push_back(key);
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // The contents are valid after every statement, so a panic cannot have broken them.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
