//! One request on its way: waiting as a [`Job`], running as a [`Slot`].
//!
//! A slot is its tokens and how many of them are in the KV cache. Everything between the two
//! still has to be computed: the rest of a prompt while it is being read, and exactly one token
//! while text is generated. So reading and generating need no separate states.

use std::sync::Arc;
use std::time::Instant;

use crate::domain::{
    Code, ConnectionId, Failure, FinishReason, Outcome, Params, Request, Token, Usage,
};

use super::model::{CancelFlag, SeqId};
use super::outbox::Outbox;
use super::speculation::{Guesser, Guesses};
use super::text::TextAssembler;

/// A draft model reads so many tokens while the model computes a few of its own.
const SHORT_PROMPT: usize = 64;

/// An accepted request that has not started.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) connection: ConnectionId,
    pub(super) params: Params,
    /// The prompt.
    pub(super) tokens: Vec<Token>,
    pub(super) received: Instant,
    pub(super) outbox: Arc<Outbox>,
    pub(super) cancel: CancelFlag,
    ended: bool,
}

impl Job {
    pub(super) fn new(
        request: Request,
        tokens: Vec<Token>,
        received: Instant,
        outbox: Arc<Outbox>,
        cancel: CancelFlag,
    ) -> Self {
        let Request { connection, params, prompt: _ } = request;
        Self { connection, params, tokens, received, outbox, cancel, ended: false }
    }

    /// See [`Slot::shareable_prompt`].
    pub(super) fn shareable_prompt(&self) -> &[Token] {
        self.tokens.split_last().map_or(&[], |(_, before)| before)
    }

    /// Ends a job that never started.
    pub(super) fn end_unstarted(mut self, now: Instant, end: End) {
        let waited = now.saturating_duration_since(self.received);
        let usage = Usage {
            prompt_tokens: self.tokens.len(),
            queued: waited,
            total: waited,
            ..Usage::default()
        };
        self.end(end.outcome(usage));
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        self.outbox.end(outcome);
    }
}

impl Drop for Job {
    /// Keeps the promise of one outcome even if the engine thread unwinds.
    fn drop(&mut self) {
        if !self.ended {
            let reason = "the engine has stopped".to_owned();
            self.end(Outcome::Failed(Failure::EngineFailed { reason }));
        }
    }
}

/// How a job or slot is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Finished(FinishReason),
    Failed(Failure),
}

impl End {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Finished(reason) => reason.code(),
            Self::Failed(failure) => failure.code(),
        }
    }

    fn outcome(self, usage: Usage) -> Outcome {
        match self {
            Self::Finished(reason) => Outcome::Finished { reason, usage },
            Self::Failed(failure) => Outcome::Failed(failure),
        }
    }
}

/// A prompt that another slot is reading right now begins as this one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Twin {
    /// [`Slot::order`] of the other.
    pub(super) order: u64,
    /// Length of the common beginning.
    pub(super) common: usize,
}

/// Where a slot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its sequence.
    pub(super) seq: SeqId,
    /// See [`Slot::order`].
    pub(super) order: u64,
    /// See [`Slot::reserved`].
    pub(super) reserved: usize,
    /// See [`Slot::guessers`].
    pub(super) guessers: &'static [Guesser],
}

/// A running request.
#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) job: Job,
    pub(super) seq: SeqId,
    /// Counts admissions; tells the slots of a scheduler apart for ever.
    pub(super) order: u64,
    /// The prompt, taken from the job, and what was generated after it.
    pub(super) tokens: Vec<Token>,
    /// How many of `tokens` are the prompt.
    pub(super) n_prompt: usize,
    /// How many of `tokens` are in the KV cache.
    pub(super) computed: usize,
    /// How many of those were kept of other requests.
    pub(super) cached: usize,
    /// Tokens of the KV cache that are kept free for this slot, all it can ever need.
    pub(super) reserved: usize,
    pub(super) sampler: S,
    pub(super) text: TextAssembler,
    /// Who may guess this text's tokens, and what became of their guesses.
    pub(super) guessers: &'static [Guesser],
    pub(super) guesses: Guesses,
    pub(super) drafted: usize,
    pub(super) accepted: usize,
    pub(super) twin: Option<Twin>,
    /// When its prompt began to be read: with its slot, or when its twin had read what they share.
    pub(super) started: Instant,
    pub(super) prompt_read: Option<Instant>,
    pub(super) last_token: Option<Instant>,
    /// Since when the outbox has been full.
    pub(super) parked: Option<Instant>,
}

impl<S> Slot<S> {
    pub(super) fn new(mut job: Job, place: Place, sampler: S, now: Instant) -> Self {
        let Place { seq, order, reserved, guessers } = place;
        let tokens = std::mem::take(&mut job.tokens);
        Self {
            seq,
            order,
            n_prompt: tokens.len(),
            tokens,
            computed: 0,
            cached: 0,
            reserved,
            sampler,
            text: TextAssembler::new(&job.params.stop),
            guessers,
            guesses: Guesses::default(),
            drafted: 0,
            accepted: 0,
            twin: None,
            started: now,
            prompt_read: None,
            last_token: None,
            parked: None,
            job,
        }
    }

    /// The prompt without its last token, which is as much as can be shared: the last has to be
    /// computed in any case, its logits are the answer's beginning.
    pub(super) fn shareable_prompt(&self) -> &[Token] {
        &self.tokens[..self.n_prompt - 1]
    }

    /// Tokens generated so far.
    pub(super) fn n_generated(&self) -> usize {
        self.tokens.len() - self.n_prompt
    }

    /// Tokens of the prompt that were computed so far.
    pub(super) fn n_read(&self) -> usize {
        self.computed.min(self.n_prompt) - self.cached
    }

    /// Tokens that have to be computed before the next can be drawn.
    pub(super) fn n_pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Tokens that can be guessed ahead without taking more of the KV cache than was promised.
    pub(super) fn room_for_guesses(&self) -> usize {
        self.reserved.saturating_sub(self.tokens.len())
    }

    /// Whether anybody may guess for this text.
    pub(super) fn may_guess(&self) -> bool {
        !self.guessers.is_empty()
    }

    /// Whether the draft model may guess, and the answer be long enough for it: it has to read the
    /// prompt before it can guess, so no shorter than that, unless the prompt is read at once or was
    /// read. An answer is taken to become a `usual` one, or as long again as it is.
    pub(super) fn may_repay_a_draft(&self, usual: usize) -> bool {
        let answer = usual.max(self.n_generated()).min(self.reserved.saturating_sub(self.n_prompt));
        let is_long_enough = self.n_prompt <= SHORT_PROMPT || answer >= self.n_prompt;
        let is_read = self.guesses.is_drafted;
        self.guessers.contains(&Guesser::Draft) && (is_long_enough || is_read)
    }

    /// Whether the prompt is still being read.
    pub(super) fn is_reading(&self) -> bool {
        self.computed < self.n_prompt
    }

    /// Tokens a second after the first; `None` under two tokens.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.last_token?.duration_since(self.prompt_read?).as_secs_f64();
        (self.n_generated() >= 2 && seconds > 0.0)
            .then(|| (self.n_generated() - 1) as f64 / seconds)
    }

    /// Sends the last text and the outcome.
    pub(super) fn end(mut self, now: Instant, end: End) {
        let held = self.text.finish();
        if matches!(end, End::Finished(_)) {
            self.job.outbox.push(&held, None);
        }
        let between = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from),
            _ => std::time::Duration::ZERO,
        };
        let started = if self.twin.is_some() { now } else { self.started };
        let usage = Usage {
            prompt_tokens: self.n_prompt,
            cached_tokens: self.cached,
            prefilled_tokens: self.n_read(),
            tokens: self.n_generated(),
            drafted: self.drafted,
            accepted: self.accepted,
            queued: between(Some(self.job.received), Some(started)),
            prompt: between(Some(started), Some(self.prompt_read.unwrap_or(now))),
            generation: between(self.prompt_read, self.last_token),
            total: between(Some(self.job.received), Some(now)),
        };
        self.job.end(end.outcome(usage));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::Prompt;
    use crate::engine::inbox::Inbox;

    /// A job of `connection` with `n` prompt tokens.
    pub(in crate::engine) fn job(connection: u64, n: usize) -> Job {
        let request = Request {
            connection: ConnectionId(connection),
            prompt: Prompt::Text(String::new()),
            params: Params::default(),
        };
        let outbox = Arc::new(Outbox::new(Arc::default(), Arc::new(Inbox::default())));
        Job::new(request, vec![0; n], Instant::now(), outbox, CancelFlag::default())
    }

    #[test]
    fn a_job_that_is_lost_still_ends() {
        let job = job(1, 3);
        let outbox = job.outbox.clone();
        drop(job);
        assert!(matches!(
            outbox.take().outcome,
            Some(Outcome::Failed(Failure::EngineFailed { .. }))
        ));
    }
}
