//! Submits requests to the engine on the threads of a pool, where their prompts are tokenized.
//!
//! The link's task neither renders chat templates nor tokenizes, however short a prompt is.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::domain::{Prompt, Refusal, Request, TextReply};
use crate::engine::{Admission, CancelFlag, EngineHandle, JobTicket, Notifier};
use crate::pool::{self, Pool, Task};

use super::frames::{QueryFrame, RequestKey, SubmitFrame};

/// Whether the engine has accepted a request.
pub(super) type Answer = (RequestKey, Result<JobTicket, Refusal>);

/// The answer to a question about the vocabulary.
pub(super) type QueryAnswer = (RequestKey, Result<TextReply, Refusal>);

/// The requests that are being submitted to an engine.
pub(super) struct Tokenizing {
    pool: Pool,
    handle: EngineHandle,
    notifier: Arc<Notifier>,
    answers: mpsc::Sender<Answer>,
    requests: BTreeMap<RequestKey, Submitting>,
}

/// A request that the engine has not accepted or refused.
struct Submitting {
    /// When the server received it.
    received: Instant,
    /// When the runner received it.
    arrived: Instant,
    /// Ends the work on it.
    flag: CancelFlag,
    /// The queue position that was last reported to the client.
    reported: Option<usize>,
}

impl Tokenizing {
    /// Starts the threads. The engine notifies `notifier` of deliveries. Also returns where the
    /// answers arrive.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn start(
        handle: EngineHandle,
        notifier: Arc<Notifier>,
    ) -> io::Result<(Self, mpsc::Receiver<Answer>)> {
        let pool = Pool::start(POOL)?;
        let (answers, answered) = mpsc::channel(MAX_ANSWERS);
        let requests = BTreeMap::new();
        Ok((Self { pool, handle, notifier, answers, requests }, answered))
    }

    /// Has a request tokenized and submitted. Its answer comes later.
    ///
    /// # Errors
    /// [`Refusal::Busy`], if too many prompts wait.
    pub(super) fn submit(&mut self, frame: SubmitFrame) -> Result<(), Refusal> {
        let SubmitFrame { key, request, age, is_first, was_accepted } = frame;
        let (arrived, flag) = (Instant::now(), CancelFlag::default());
        let received = arrived.checked_sub(age).unwrap_or(arrived);
        let submitting = Submitting { received, arrived, flag: flag.clone(), reported: None };
        let admission = match (was_accepted, is_first) {
            (true, _) => Admission::Accepted,
            (false, true) => Admission::First,
            (false, false) => Admission::Further,
        };
        let (account, connection) = (request.account, request.connection);
        let task = Task { key, account, connection, cost: cost(&request) };
        let (handle, notifier) = (self.handle.clone(), self.notifier.clone());
        let answers = self.answers.clone();
        let work = move || {
            let submit = || handle.submit_with(request, received, notifier, admission, flag);
            let result = catch_unwind(AssertUnwindSafe(submit)).unwrap_or_else(|_| {
                Err(Refusal::NotTokenized { reason: "the tokenizer panicked".to_owned() })
            });
            // Fails if the link has ended. The ticket is then dropped, which cancels the request.
            let _ = answers.blocking_send((key, result));
        };
        let submitted = self.pool.submit(task, work);
        submitted.map_err(|_| Refusal::Busy { queued: self.n_queued() })?;
        self.requests.insert(key, submitting);
        Ok(())
    }

    /// Has a question about the vocabulary answered. The answer comes through `answers`.
    ///
    /// # Errors
    /// [`Refusal::Busy`], if too many prompts wait.
    pub(super) fn query(
        &self,
        frame: QueryFrame,
        answers: mpsc::Sender<QueryAnswer>,
    ) -> Result<(), Refusal> {
        let QueryFrame { key, account, connection, query } = frame;
        let task = Task { key: QUERY_KEYS | key, account, connection, cost: query.n_bytes() };
        let handle = self.handle.clone();
        let work = move || {
            let answer = || handle.answer(&query, &CancelFlag::default());
            let result = catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
                Err(Refusal::NotTokenized { reason: "the tokenizer panicked".to_owned() })
            });
            // Fails if the link has ended.
            let _ = answers.blocking_send((key, result));
        };
        let submitted = self.pool.submit(task, work);
        submitted.map_err(|_| Refusal::Busy { queued: self.n_queued() })
    }

    /// Ends the work on a request. Returns the time since its receipt; `None` if the engine has
    /// accepted or refused it.
    pub(super) fn cancel(&mut self, key: RequestKey) -> Option<Duration> {
        let submitting = self.requests.remove(&key)?;
        submitting.flag.set();
        self.pool.remove(key);
        Some(submitting.received.elapsed())
    }

    /// Notes that a request has its answer. Returns false if nobody waits for the answer.
    pub(super) fn finish(&mut self, key: RequestKey) -> bool {
        self.requests.remove(&key).is_some()
    }

    /// The requests that have waited for a thread for `min_wait` and whose positions have changed,
    /// each with its position among all that wait: first those that wait for a slot, then those
    /// whose prompts are to be tokenized.
    pub(super) fn changed_positions(&mut self, min_wait: Duration) -> Vec<(RequestKey, usize)> {
        let mut changed = Vec::new();
        let n_queued = self.handle.snapshot().numbers.queued;
        for (key, position) in self.pool.waiting().into_iter().zip(n_queued + 1..) {
            if let Some(submitting) = self.requests.get_mut(&key)
                && submitting.arrived.elapsed() >= min_wait
                && submitting.reported.replace(position) != Some(position)
            {
                changed.push((key, position));
            }
        }
        changed
    }

    /// Gives up the requests that have waited or been tokenized for too long, and says why they are
    /// refused.
    pub(super) fn take_overdue(&mut self) -> Vec<(RequestKey, Refusal)> {
        let is_overdue = |submitting: &Submitting| submitting.arrived.elapsed() > SUBMIT_DEADLINE;
        let overdue = self.requests.extract_if(.., |_, submitting| is_overdue(submitting));
        let overdue: Vec<_> = overdue.collect();
        let refusal = |(key, submitting): (RequestKey, Submitting)| {
            submitting.flag.set();
            let refusal = if self.pool.remove(key) {
                Refusal::Busy { queued: self.n_queued() }
            } else {
                Refusal::NotTokenized { reason: TOO_SLOW.to_owned() }
            };
            (key, refusal)
        };
        overdue.into_iter().map(refusal).collect()
    }

    /// Whether there is no request without an answer.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Number of requests that wait for a thread.
    pub(super) fn n_waiting(&self) -> usize {
        self.pool.n_waiting()
    }

    /// Number of requests that wait for a slot or for a thread.
    fn n_queued(&self) -> usize {
        self.handle.snapshot().numbers.queued + self.n_waiting()
    }
}

/// About the number of bytes that are to be tokenized. A template writes something for each
/// message.
fn cost(request: &Request) -> usize {
    match &request.prompt {
        // Tokens need only a check.
        Prompt::Text(_) | Prompt::Tokens(_) => request.prompt.n_bytes(),
        Prompt::Chat(conversation) => {
            conversation.n_bytes() + conversation.messages.len() * MESSAGE_COST
        }
    }
}

/// The pool (ADR-0042).
const POOL: pool::Options = pool::Options {
    name: "tokenizer",
    n_threads: 2,
    // A text of 4 KiB takes up to 1.3 MiB (ADR-0019).
    stack_bytes: 4 << 20,
    short_cost: 16 << 10,
    max_waiting: 1024,
    max_cost: 64 << 20,
};

/// What a message costs beside its texts, in bytes (ADR-0042).
const MESSAGE_COST: usize = 256;

/// Longest time from the arrival of a request until the engine has accepted or refused it. Longer
/// than any prompt may be tokenized, so it is reached by what cannot be stopped, or behind that.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(30);

/// Why a request is refused whose tokenizing does not end.
const TOO_SLOW: &str = "it takes more than 30 s";

/// Tells the keys of questions from those of requests, which are small.
const QUERY_KEYS: u64 = 1 << 63;

/// Answers that wait for the link's task; more make the threads wait.
pub(super) const MAX_ANSWERS: usize = 16;

#[cfg(test)]
mod tests;
