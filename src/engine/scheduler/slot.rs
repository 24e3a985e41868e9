//! A running request.
//!
//! A slot holds the tokens of its text and the number of them that are in the KV cache. The
//! tokens in between are pending: during prefill the rest of the prompt, during decode exactly
//! the last generated token. So prefill and decode need no separate states.

use std::time::{Duration, Instant};

use crate::domain::{Token, Usage};
use crate::engine::model::SeqId;
use crate::engine::request::{End, Job};
use crate::engine::speculation::{Drafter, SlotDrafts};
use crate::engine::text::TextAssembler;

/// A running request, with its sampler `S`.
#[derive(Debug)]
pub(super) struct Slot<S> {
    pub(super) job: Job,
    /// The sequence in the KV cache.
    pub(super) seq: SeqId,
    /// Number of requests that were admitted before; unique for the life of the scheduler.
    pub(super) order: u64,
    /// The prompt and the tokens generated after it.
    pub(super) tokens: Vec<Token>,
    /// Number of `tokens` that are the prompt.
    pub(super) n_prompt: usize,
    /// Number of `tokens` that are in the KV cache.
    pub(super) computed: usize,
    /// Number of prompt tokens that came from other requests instead of being computed.
    pub(super) cached: usize,
    /// Tokens of the KV cache reserved for this slot: the most it can ever need.
    pub(super) reserved: usize,
    pub(super) sampler: S,
    pub(super) text: TextAssembler,
    /// The drafters that may draft for this text, in order of preference.
    pub(super) drafters: &'static [Drafter],
    /// The drafting state of this text.
    pub(super) drafts: SlotDrafts,
    /// Number of tokens drafted so far.
    pub(super) drafted: usize,
    /// Number of drafted tokens accepted so far.
    pub(super) accepted: usize,
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
        let SlotAssignment { seq, order, reserved, drafters } = assignment;
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
            drafters,
            drafts: SlotDrafts::default(),
            drafted: 0,
            accepted: 0,
            prefix_wait: None,
            started: now,
            prefilled_at: None,
            last_token: None,
            paused: None,
            job,
        }
    }

    /// The part of the prompt whose KV cells may come from another request; see
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
        self.computed.min(self.n_prompt) - self.cached
    }

    /// Number of tokens that must be computed before the next one can be sampled.
    pub(super) fn n_pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether the slot can take part in the next step.
    pub(super) fn can_run(&self) -> bool {
        self.paused.is_none() && self.prefix_wait.is_none()
    }

    /// Whether the slot gets a token in the next step.
    pub(super) fn can_decode(&self) -> bool {
        self.can_run() && !self.is_prefilling()
    }

    /// Whether part of the prompt is still to be computed.
    pub(super) fn is_prefilling(&self) -> bool {
        self.computed < self.n_prompt
    }

    /// Largest number of draft tokens that fits into the reserved part of the KV cache.
    pub(super) fn max_draft(&self) -> usize {
        self.reserved.saturating_sub(self.tokens.len())
    }

    /// Whether any drafter may draft for this text.
    pub(super) fn may_draft(&self) -> bool {
        !self.drafters.is_empty()
    }

    /// Whether the draft model may draft for this text and is worth its prefill.
    ///
    /// The draft model must prefill the whole prompt before it can draft. That pays if the answer
    /// is expected to be at least as long as the prompt, if the prompt is short, or if the draft
    /// model has prefilled it already. The expected answer has `expected_answer` tokens, or as many
    /// as were generated so far if these are more, within the reserved tokens.
    pub(super) fn draft_model_pays(&self, expected_answer: usize) -> bool {
        let max_answer = self.reserved.saturating_sub(self.n_prompt);
        let answer = expected_answer.max(self.n_generated()).min(max_answer);
        let is_long_enough = self.n_prompt <= SHORT_PROMPT || answer >= self.n_prompt;
        let is_prefilled = self.drafts.is_model_prefilled;
        self.drafters.contains(&Drafter::Model) && (is_long_enough || is_prefilled)
    }

    /// Throughput in tokens per second after the first token; `None` before the second.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.last_token?.duration_since(self.prefilled_at?).as_secs_f64();
        (self.n_generated() >= 2 && seconds > 0.0)
            .then(|| (self.n_generated() - 1) as f64 / seconds)
    }

    /// Sends the outcome, after the text that was still held back if the request finished.
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
            cached_tokens: self.cached,
            prefilled_tokens: self.n_prefilled(),
            tokens: self.n_generated(),
            drafted: self.drafted,
            accepted: self.accepted,
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
    /// Number of requests that were admitted before.
    pub(super) order: u64,
    /// Tokens of the KV cache reserved for the slot.
    pub(super) reserved: usize,
    /// The drafters that may draft for the text.
    pub(super) drafters: &'static [Drafter],
}

/// A wait for another slot, the donor, to prefill a prefix that both prompts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixWait {
    /// [`Slot::order`] of the donor.
    pub(super) donor_order: u64,
    /// Length of the shared prefix in tokens.
    pub(super) shared_len: usize,
}

/// Longest prompt in tokens that the draft model prefills in the time of a few steps (ADR-0009).
const SHORT_PROMPT: usize = 64;
