//! A [`Slot`]: an occupied slot with the request that it computes. A free slot is `None`.
//!
//! A slot records the tokens of its text and how many of them are in the KV cache. The others are
//! pending: during prefill the rest of the prompt, during decode only the last generated token.
//! Every step computes pending tokens, and when none is left it samples the next one. So prefill
//! and decode are not separate states: a slot is prefilling as long as prompt tokens are pending.

use std::time::{Duration, Instant};

use crate::domain::{Token, Usage};
use crate::engine::model::SeqId;
use crate::engine::request::{End, Job};
use crate::engine::speculation::{Drafter, SlotDrafts};
use crate::engine::text::TextAssembler;

/// An occupied slot: the request that it computes, with its sampler `S`.
#[derive(Debug)]
pub(super) struct Slot<S> {
    /// The request. Its prompt has moved to `tokens`.
    pub(super) job: Job,
    /// The sequence in the KV cache.
    pub(super) seq: SeqId,
    /// Number of requests that were admitted earlier. Unique for the life of the scheduler.
    pub(super) order: u64,
    /// The prompt and the tokens generated after it.
    pub(super) tokens: Vec<Token>,
    /// Number of `tokens` that are the prompt.
    pub(super) n_prompt: usize,
    /// Number of `tokens` that are in the KV cache.
    pub(super) n_computed: usize,
    /// Number of prompt tokens that were reused from a cached sequence or another slot.
    pub(super) n_cached: usize,
    /// Number of tokens of the KV cache reserved for this slot: the most that it can ever need.
    pub(super) n_reserved: usize,
    /// The sampling state.
    pub(super) sampler: S,
    /// Turns the generated tokens into text.
    pub(super) text: TextAssembler,
    /// The drafters that may draft for this text, in order of preference.
    pub(super) drafters: &'static [Drafter],
    /// The drafting state of this text.
    pub(super) drafts: SlotDrafts,
    /// Number of tokens drafted so far.
    pub(super) n_drafted: usize,
    /// Number of drafted tokens accepted so far.
    pub(super) n_accepted: usize,
    /// Set while the slot waits for another slot to prefill their shared prefix.
    pub(super) prefix_wait: Option<PrefixWait>,
    /// When prefill could begin: at admission, or when the wait for a shared prefix ended.
    pub(super) started: Instant,
    /// When prefill ended.
    pub(super) prefilled_at: Option<Instant>,
    /// When the last token was generated.
    pub(super) last_token: Option<Instant>,
    /// Since when the slot is paused because its outbox is full.
    pub(super) paused: Option<Instant>,
}

impl<S> Slot<S> {
    pub(super) fn new(mut job: Job, assignment: SlotAssignment, sampler: S, now: Instant) -> Self {
        let SlotAssignment { seq, order, n_reserved, drafters } = assignment;
        let tokens = std::mem::take(&mut job.tokens);
        Self {
            seq,
            order,
            n_prompt: tokens.len(),
            tokens,
            n_computed: 0,
            n_cached: 0,
            n_reserved,
            sampler,
            text: TextAssembler::new(&job.params.stop),
            drafters,
            drafts: SlotDrafts::default(),
            n_drafted: 0,
            n_accepted: 0,
            prefix_wait: None,
            started: now,
            prefilled_at: None,
            last_token: None,
            paused: None,
            job,
        }
    }

    /// The part of the prompt whose KV cells may come from another sequence; see
    /// [`Job::shareable_prompt`].
    pub(super) fn shareable_prompt(&self) -> &[Token] {
        &self.tokens[..self.n_prompt - 1]
    }

    /// Number of tokens generated so far.
    pub(super) fn n_generated(&self) -> usize {
        self.tokens.len() - self.n_prompt
    }

    /// Number of prompt tokens computed so far.
    pub(super) fn n_prefilled(&self) -> usize {
        self.n_computed.min(self.n_prompt) - self.n_cached
    }

    /// Number of tokens that must be computed before the next one can be sampled.
    pub(super) fn n_pending(&self) -> usize {
        self.tokens.len() - self.n_computed
    }

    /// Whether the slot can be part of the next step: it is neither paused nor waiting for a
    /// prefix.
    pub(super) fn can_run(&self) -> bool {
        self.paused.is_none() && self.prefix_wait.is_none()
    }

    /// Whether the slot decodes in the next step.
    pub(super) fn can_decode(&self) -> bool {
        self.can_run() && !self.is_prefilling()
    }

    /// Whether part of the prompt is still to be computed.
    pub(super) fn is_prefilling(&self) -> bool {
        self.n_computed < self.n_prompt
    }

    /// Largest number of draft tokens that fits into the reserved part of the KV cache.
    pub(super) fn max_draft(&self) -> usize {
        self.n_reserved.saturating_sub(self.tokens.len())
    }

    /// Whether any drafter may draft for this text.
    pub(super) fn may_draft(&self) -> bool {
        !self.drafters.is_empty()
    }

    /// Whether the draft model may draft for this text and is worth its prefill.
    ///
    /// The draft model must prefill the whole prompt before it can draft. That pays if the answer
    /// is expected to be at least as long as the prompt, if the prompt is short, or if the draft
    /// model has prefilled it already. The answer is expected to have `expected_answer` tokens, or
    /// the number generated so far if that is larger, but no more than the reserved tokens allow.
    pub(super) fn draft_model_pays(&self, expected_answer: usize) -> bool {
        let max_answer = self.n_reserved.saturating_sub(self.n_prompt);
        let answer = expected_answer.max(self.n_generated()).min(max_answer);
        let is_long_enough = self.n_prompt <= SHORT_PROMPT_TOKENS || answer >= self.n_prompt;
        let is_prefilled = self.drafts.is_model_prefilled;
        self.drafters.contains(&Drafter::Model) && (is_long_enough || is_prefilled)
    }

    /// Throughput after the first token, in tokens per second; `None` before the second token.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.last_token?.duration_since(self.prefilled_at?).as_secs_f64();
        (self.n_generated() >= 2 && seconds > 0.0)
            .then(|| (self.n_generated() - 1) as f64 / seconds)
    }

    /// Sends the outcome. If the request finished, the text that was held back is sent before.
    pub(super) fn finish(mut self, now: Instant, end: End) {
        let held = self.text.finish();
        if matches!(end, End::Finished(_)) {
            self.job.outbox.push(&held, None);
        }
        let between = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from),
            _ => Duration::ZERO,
        };
        let started = if self.prefix_wait.is_some() { now } else { self.started };
        let usage = Usage {
            prompt_tokens: self.n_prompt,
            cached_tokens: self.n_cached,
            prefilled_tokens: self.n_prefilled(),
            tokens: self.n_generated(),
            drafted: self.n_drafted,
            accepted: self.n_accepted,
            queued: between(Some(self.job.received), Some(started)),
            prompt: between(Some(started), Some(self.prefilled_at.unwrap_or(now))),
            generation: between(self.prefilled_at, self.last_token),
            total: between(Some(self.job.received), Some(now)),
        };
        self.job.finish(end.outcome(usage));
    }
}

/// What admission decides about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotAssignment {
    /// The sequence in the KV cache.
    pub(super) seq: SeqId,
    /// Number of requests that were admitted earlier.
    pub(super) order: u64,
    /// Number of tokens of the KV cache reserved for the slot.
    pub(super) n_reserved: usize,
    /// The drafters that may draft for the text.
    pub(super) drafters: &'static [Drafter],
}

/// A wait for another slot, the donor, to prefill a prefix that both prompts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixWait {
    /// [`Slot::order`] of the donor.
    pub(super) donor_order: u64,
    /// Number of tokens of the shared prefix.
    pub(super) n_shared: usize,
}

/// Longest prompt in tokens that the draft model prefills in the time of a few steps (ADR-0009).
const SHORT_PROMPT_TOKENS: usize = 64;
