//! One request in the table: what was asked, how far it has come, and how it ends with its runner.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::domain::{Delivery, Failure, FinishReason, Outcome, Request, Usage};
use crate::runner::client::mailbox::Mailbox;
use crate::runner::frames::{CREDIT_STEP_BYTES, RequestKey, SubmitFrame, ToRunner};

/// A request that has not ended.
#[derive(Debug)]
pub(super) struct Entry {
    /// What was asked; `None` once the client has text.
    pub(super) request: Option<Request>,
    pub(super) is_first: bool,
    pub(super) received: Instant,
    pub(super) mailbox: Arc<Mailbox>,
    /// Resolves the future that waits until the prompt is tokenized.
    pub(super) settled: Option<oneshot::Sender<()>>,
    /// Whether a runner has accepted the request.
    pub(super) is_accepted: bool,
    pub(super) stage: RequestStage,
    pub(super) is_cancelled: bool,
    /// Number of runners that have ended with this request.
    pub(super) n_ends: u32,
    /// Bytes that the client has taken since credit was sent last.
    pub(super) taken: usize,
    /// Whether the table lists the request among those that have something to send.
    pub(super) is_unsent: bool,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestStage {
    /// No runner has it.
    Held,
    /// A runner has it.
    Sent {
        /// Whether the runner knows that it is cancelled.
        is_cancel_sent: bool,
        /// Whether it has a slot.
        is_started: bool,
    },
}

/// Why a runner has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runner::client) enum RunnerEnd {
    /// Its process ended in this way.
    Died(String),
    /// It made no progress for this time.
    Stalled(Duration),
}

impl Entry {
    /// Whether the request has a slot.
    pub(super) fn is_started(&self) -> bool {
        matches!(self.stage, RequestStage::Sent { is_started: true, .. })
    }

    /// Whether the request waits for a runner, and another one has ended with it.
    pub(super) fn is_held_suspect(&self) -> bool {
        self.n_ends > 0 && self.stage == RequestStage::Held
    }

    /// Whether a runner has the request, has sent no text for it, and another one has ended with
    /// it.
    pub(super) fn is_suspect_with_runner(&self) -> bool {
        self.n_ends > 0 && self.stage != RequestStage::Held && self.request.is_some()
    }

    /// The next frame about this request; `None` if the runner knows everything.
    pub(super) fn take_frame(&mut self, key: RequestKey, now: Instant) -> Option<ToRunner> {
        match &mut self.stage {
            RequestStage::Held => {
                // An entry without its request has text, so it is never held.
                let request = self.request.clone()?;
                self.stage = RequestStage::Sent { is_cancel_sent: false, is_started: false };
                Some(ToRunner::Submit(Box::new(SubmitFrame {
                    key,
                    request,
                    age: now.saturating_duration_since(self.received),
                    is_first: self.is_first,
                    was_accepted: self.is_accepted,
                })))
            }
            RequestStage::Sent { is_cancel_sent, .. } => {
                if self.is_cancelled && !std::mem::replace(is_cancel_sent, true) {
                    return Some(ToRunner::Cancel(key));
                }
                (self.taken >= CREDIT_STEP_BYTES)
                    .then(|| ToRunner::Credit(key, std::mem::take(&mut self.taken)))
            }
        }
    }

    /// How the request ends with its runner; `None` if the next runner gets it.
    pub(super) fn runner_ended(&mut self, end: &RunnerEnd) -> Option<Outcome> {
        let RequestStage::Sent { is_started, .. } = self.stage else { return None };
        // A request that waits is not the cause of a stall, of which the daemon hears in time.
        self.n_ends += u32::from(is_started || matches!(end, RunnerEnd::Died(_)));
        self.stage = RequestStage::Held;
        // Nobody is to wait for the next runner.
        self.settled = None;
        self.taken = 0;
        if self.is_cancelled {
            return Some(self.aborted());
        }
        let has_text = self.request.is_none();
        let failure = match end {
            RunnerEnd::Stalled(limit) if has_text || is_started => {
                Failure::EngineStalled { limit: *limit }
            }
            RunnerEnd::Died(cause) if has_text => {
                Failure::RunnerEnded { cause: cause.clone(), is_second: false }
            }
            _ if self.n_ends >= MAX_ENDS => {
                let cause = match end {
                    RunnerEnd::Died(cause) => cause.clone(),
                    RunnerEnd::Stalled(_) => "no progress".to_owned(),
                };
                Failure::RunnerEnded { cause, is_second: true }
            }
            _ => return None,
        };
        Some(Outcome::Failed(failure))
    }

    /// The outcome of a cancelled request.
    pub(super) fn aborted(&self) -> Outcome {
        let waited = self.received.elapsed();
        let usage = Usage { queued: waited, total: waited, ..Usage::default() };
        Outcome::Finished { reason: FinishReason::Abort, stop: None, usage }
    }

    /// Delivers the outcome.
    pub(super) fn finish(&self, outcome: Outcome) {
        self.mailbox.push(Delivery { outcome: Some(outcome), ..Delivery::default() });
    }
}

/// Runners that may end with a request. One end may be due to another request. At the second, this
/// request is one of at most two that were there before: another one may have got its first text.
pub(super) const MAX_ENDS: u32 = 2;
