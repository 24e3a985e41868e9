//! An accepted request, from its submission to its outcome.
//!
//! A job waits in the queue until the scheduler gives it a slot, and the slot owns it from then
//! on. Every job ends with exactly one [`Outcome`] in its outbox, unless the engine thread panics.
//! The scheduler decides when and how it ends.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::answer::ReasoningCounter;
use crate::domain::{
    AccountId, AnswerStart, ConnectionId, Failure, FinishReason, Outcome, Params, Prompt, Refusal,
    Request, Token, Usage,
};
use crate::engine::guide::AnswerGuide;
use crate::engine::model::CancelFlag;

use super::outbox::Outbox;

/// An accepted request, as the scheduler holds it.
#[derive(Debug)]
pub(in crate::engine) struct Job {
    /// Whom the request counts for. The queue is fair between accounts.
    pub(in crate::engine) account: AccountId,
    /// The connection of the client. The queue is fair between the connections of an account.
    pub(in crate::engine) connection: ConnectionId,
    /// How to generate the answer.
    pub(in crate::engine) params: Params,
    /// Whether the answer contains special tokens that separate its parts.
    pub(in crate::engine) shows_marks: bool,
    /// How the answer begins.
    pub(in crate::engine) answer_start: AnswerStart,
    /// Says which tokens may come next; `None` if all may.
    pub(in crate::engine) guide: Option<Box<AnswerGuide>>,
    /// Counts the tokens of thinking; `None` if the model does not think, or shows no marks.
    pub(in crate::engine) reasoning: Option<Box<ReasoningCounter>>,
    /// The prompt; moves to the slot once the request has one.
    pub(in crate::engine) tokens: Vec<Token>,
    /// When the server received the request.
    pub(in crate::engine) received: Instant,
    /// Carries the deliveries to the client.
    pub(in crate::engine) outbox: Arc<Outbox>,
    /// Set when the client cancels the request or disconnects.
    pub(in crate::engine) cancel: CancelFlag,
    /// Whether the request was accepted although too many are waiting, so that one has to give way.
    pub(in crate::engine) is_over_limit: bool,
    /// Whether the outcome was sent.
    has_outcome: bool,
}

impl Job {
    pub(in crate::engine) fn new(
        request: Request,
        tokens: Vec<Token>,
        received: Instant,
        outbox: Arc<Outbox>,
        cancel: CancelFlag,
    ) -> Self {
        let Request { connection, account, params, prompt } = request;
        let is_chat = matches!(prompt, Prompt::Chat(_));
        let shows_marks = params.special.unwrap_or(is_chat);
        Self {
            account,
            connection,
            params,
            shows_marks,
            answer_start: AnswerStart::default(),
            guide: None,
            reasoning: None,
            tokens,
            received,
            outbox,
            cancel,
            is_over_limit: false,
            has_outcome: false,
        }
    }

    /// Ends a job that never got a slot.
    pub(in crate::engine) fn finish_unstarted(mut self, now: Instant, end: End) {
        let waited = now.saturating_duration_since(self.received);
        let usage = Usage {
            prompt_tokens: self.tokens.len(),
            queued: waited,
            total: waited,
            ..Usage::default()
        };
        self.finish(end.outcome(usage));
    }

    /// Sends the outcome. To be called once.
    pub(in crate::engine) fn finish(&mut self, outcome: Outcome) {
        self.has_outcome = true;
        self.outbox.finish(outcome);
    }
}

impl Drop for Job {
    /// Sends a failure if no outcome was sent. If the engine thread panics, its owner decides what
    /// becomes of the requests.
    fn drop(&mut self) {
        if !self.has_outcome && !thread::panicking() {
            let reason = "the engine has stopped".to_owned();
            self.finish(Outcome::Failed(Failure::EngineFailed { reason }));
        }
    }
}

/// How the scheduler ends a request: an [`Outcome`] without its [`Usage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum End {
    /// The request finished or was aborted.
    Finished(FinishReason),
    /// The request failed.
    Failed(Failure),
    /// The request gave way to another one before it got a slot.
    Refused(Refusal),
}

impl End {
    /// The outcome of a request that used `usage`.
    pub(in crate::engine) fn outcome(self, usage: Usage) -> Outcome {
        match self {
            Self::Finished(reason) => Outcome::Finished { reason, stop: None, usage },
            Self::Failed(failure) => Outcome::Failed(failure),
            Self::Refused(refusal) => Outcome::Refused(refusal),
        }
    }
}

#[cfg(test)]
pub(in crate::engine) mod tests {
    use super::*;
    use crate::domain::AccountId;

    /// A job of `connection` with a prompt of `n` tokens.
    pub(in crate::engine) fn job(connection: u64, n: usize) -> Job {
        let request = Request {
            connection: ConnectionId(connection),
            account: AccountId(connection),
            prompt: Prompt::Text(String::new()),
            params: Params::default(),
        };
        let outbox = Arc::new(Outbox::new(Arc::default(), Arc::default()));
        Job::new(request, vec![0; n], Instant::now(), outbox, CancelFlag::default())
    }

    #[test]
    fn dropped_job_still_sends_an_outcome() {
        let job = job(1, 3);
        let outbox = job.outbox.clone();
        drop(job);
        assert!(matches!(
            outbox.take().outcome,
            Some(Outcome::Failed(Failure::EngineFailed { .. }))
        ));
    }
}
