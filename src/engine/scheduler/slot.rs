//! A [`Slot`]: an occupied slot with the request that it computes. A free slot is `None`.
//!
//! A slot records the tokens of its text and how many of them are in the KV cache. The others are
//! pending: during prefill the rest of the prompt, during decode only the last generated token.
//! Every step computes pending tokens, and when none is left it samples the next one. So prefill
//! and decode are not separate states: a slot is prefilling as long as prompt tokens are pending.

use std::time::{Duration, Instant};

use crate::domain::{Outcome, Speculation, Token, TokenLogprobs, Usage};
use crate::engine::held_logprobs::HeldLogprobs;
use crate::engine::kv::{CacheKey, Reused, RunningSequence};
use crate::engine::model::{ChunkRules, PrefillRecord, SeqId};
use crate::engine::request::{End, Job};
use crate::engine::speculation::{DecodingText, TextSpeculation};
use crate::engine::text::{Released, TextAssembler};

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
    /// Number of `tokens` that are prefilled before the next one is sampled: the prompt, or all of
    /// them if a suspended request goes on without its sequence.
    pub(super) n_prefill: usize,
    /// Number of `tokens` that are in the KV cache.
    pub(super) n_computed: usize,
    /// The largest number of `tokens` that were in the KV cache. It is larger than `n_computed`
    /// while a suspended request is prefilled again.
    pub(super) n_reached: usize,
    /// Number of prompt tokens that were reused from a cached sequence or another slot.
    pub(super) n_cached: usize,
    /// How the computed tokens were computed.
    pub(super) record: PrefillRecord,
    /// Most tokens that prompt and answer can have together.
    pub(super) max_tokens: usize,
    /// The sampling state.
    pub(super) sampler: S,
    /// Turns the generated tokens into text.
    pub(super) text: TextAssembler,
    /// The log probabilities of text that is held back.
    pub(super) logprobs: HeldLogprobs,
    /// The stop string that has ended the answer.
    pub(super) stop: Option<String>,
    /// The speculation state of the text.
    pub(super) speculation: TextSpeculation,
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
    /// The request's share of the time of the steps that computed it.
    pub(super) computing: Duration,
    /// What the request had computed when it got the slot.
    pub(super) slice_began: Slice,
    /// The tokens that the request was charged for its time in the slot.
    pub(super) paid: u64,
    /// The kept sequence of a suspended request.
    pub(super) kept: Option<CacheKey>,
}

/// What a request has computed, altogether or since it got its slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slice {
    /// Number of tokens, without those that were computed again after a suspension.
    pub(super) n_done: usize,
    /// Number of tokens that it has generated.
    pub(super) n_generated: usize,
}

impl<S> Slot<S> {
    pub(super) fn new(mut job: Job, assignment: SlotAssignment, sampler: S, now: Instant) -> Self {
        let SlotAssignment { seq, order, max_tokens, drafters, paid } = assignment;
        let tokens = std::mem::take(&mut job.tokens);
        Self {
            seq,
            order,
            n_prompt: tokens.len(),
            record: PrefillRecord { n_tiled: 0, n_prompt: tokens.len() },
            n_prefill: tokens.len(),
            tokens,
            n_computed: 0,
            n_reached: 0,
            n_cached: 0,
            max_tokens,
            sampler,
            text: TextAssembler::new(&job.params.stop),
            logprobs: HeldLogprobs::default(),
            stop: None,
            speculation: TextSpeculation::new(drafters),
            prefix_wait: None,
            started: now,
            prefilled_at: None,
            last_token: None,
            paused: None,
            computing: Duration::ZERO,
            slice_began: Slice::default(),
            paid,
            kept: None,
            job,
        }
    }

    /// Begins with what was found in the slot, instead of what is computed so far.
    pub(super) fn reuse(&mut self, reused: Reused) {
        self.n_cached = reused.n_tokens;
        self.n_reached = reused.n_tokens;
        self.begin_with(reused);
    }

    /// Goes on in the slot of the sequence `seq` after a suspension, for a charge of `paid` tokens.
    /// If not all that was computed is found there, the rest is prefilled again.
    pub(super) fn resume(&mut self, seq: SeqId, reused: Reused, paid: u64) {
        self.seq = seq;
        self.paid = paid;
        self.slice_began = self.slice_began.plus(self.slice());
        self.speculation.restart();
        if reused.n_tokens != self.n_computed {
            self.n_prefill = self.tokens.len();
            self.record.n_prompt = self.n_prefill;
            self.begin_with(reused);
        }
    }

    /// Begins with what was found in the slot.
    fn begin_with(&mut self, reused: Reused) {
        self.n_computed = reused.n_tokens;
        self.record.n_tiled = reused.record.n_tiled;
        // A conversation goes on: what follows its first prompt was generated.
        if reused.n_tokens > reused.record.n_prompt {
            self.record.n_prompt = reused.record.n_prompt;
        }
    }

    /// Notes that a chunk of `n` pending tokens is computed.
    pub(super) fn computed(&mut self, n: usize, rules: ChunkRules) {
        if self.is_prefilling() && self.record.n_tiled == self.n_computed && rules.is_tiled(n) {
            self.record.n_tiled += n;
        }
        self.n_computed += n;
        self.n_reached = self.n_reached.max(self.n_computed);
    }

    /// What the request has computed since it got the slot.
    pub(super) fn slice(&self) -> Slice {
        let n_done = self.n_prefilled() + self.n_generated();
        Slice { n_done, n_generated: self.n_generated() }.minus(self.slice_began)
    }

    /// The tokens that the request has computed beyond what it paid for. They count as paid from
    /// now on.
    pub(super) fn take_unpaid(&mut self) -> u64 {
        let unpaid = (self.slice().n_done as u64).saturating_sub(self.paid);
        self.paid += unpaid;
        unpaid
    }

    /// The tokens that were charged in advance and not computed.
    pub(super) fn refund(&self) -> u64 {
        self.paid.saturating_sub(self.slice().n_done as u64)
    }

    /// Notes at `now` whether the client reads.
    pub(super) fn update_paused(&mut self, now: Instant) {
        if self.job.outbox.is_full() {
            self.paused.get_or_insert(now);
        } else {
            self.paused = None;
        }
    }

    /// Whether the request is to be ended: it was cancelled, or its client has left its text unread
    /// for `grace`.
    pub(super) fn is_due(&self, now: Instant, grace: Duration) -> bool {
        let is_overdue = |paused: Instant| now.saturating_duration_since(paused) >= grace;
        self.job.cancel.is_set() || self.paused.is_some_and(is_overdue)
    }

    /// Number of tokens generated so far.
    pub(super) fn n_generated(&self) -> usize {
        self.tokens.len() - self.n_prompt
    }

    /// Number of prompt tokens computed so far, each counted once.
    pub(super) fn n_prefilled(&self) -> usize {
        self.n_reached.min(self.n_prompt) - self.n_cached
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

    /// Whether part of the prompt is still to be computed, or part of a text that is prefilled
    /// again.
    pub(super) fn is_prefilling(&self) -> bool {
        self.n_computed < self.n_prefill
    }

    /// The text, for the drafters.
    pub(super) fn decoding_text(&mut self) -> DecodingText<'_> {
        let guide = self.job.guide.as_mut();
        DecodingText {
            forced: guide.map(|guide| guide.forced()).unwrap_or_default(),
            seq: self.seq,
            tokens: &self.tokens,
            n_prompt: self.n_prompt,
            max_tokens: self.max_tokens,
            cancel: &self.job.cancel,
            speculation: &mut self.speculation,
        }
    }

    /// Throughput after the first token, in tokens per second; `None` before the second token.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.last_token?.duration_since(self.prefilled_at?).as_secs_f64();
        (self.n_generated() >= 2 && seconds > 0.0)
            .then(|| (self.n_generated() - 1) as f64 / seconds)
    }

    /// Adds the bytes of a generated token to the answer, with its log probabilities. Returns
    /// whether a stop string ends the answer.
    pub(super) fn push_text(&mut self, bytes: &[u8], logprobs: Option<TokenLogprobs>) -> bool {
        let start = self.text.n_bytes();
        let released = self.text.push(bytes);
        if let Some(counter) = &mut self.job.reasoning {
            let (Released::Text(text) | Released::Stopped(text, _)) = &released;
            counter.push(text);
        }
        if let Some(logprobs) = logprobs {
            self.logprobs.push(start, logprobs);
        }
        self.release(released)
    }

    /// Sends text, and the log probabilities of its tokens. Returns whether a stop string ends the
    /// answer.
    fn release(&mut self, released: Released) -> bool {
        let outbox = &self.job.outbox;
        match released {
            Released::Text(text) if self.text.may_cut() => {
                outbox.push(&text, self.logprobs.before(self.text.n_released()));
                false
            }
            Released::Text(text) => {
                outbox.push(&text, self.logprobs.all());
                false
            }
            Released::Stopped(text, stop) => {
                outbox.push(&text, self.logprobs.before(self.text.n_released()));
                self.logprobs.clear();
                self.stop = self.job.params.stop.get(stop).cloned();
                true
            }
        }
    }

    /// Sends the outcome. If the request finished, the text that was held back is sent before.
    pub(super) fn finish(mut self, now: Instant, end: End) {
        let held = self.text.finish();
        let (Released::Text(rest) | Released::Stopped(rest, _)) = &held;
        let counter = self.job.reasoning.as_mut();
        let reasoning_tokens = counter.map_or(0, |counter| counter.finish(rest));
        if matches!(end, End::Finished(_)) {
            self.release(held);
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
            reasoning_tokens,
            drafted: self.speculation.n_drafted,
            accepted: self.speculation.n_accepted,
            queued: between(Some(self.job.received), Some(started)),
            prompt: between(Some(started), Some(self.prefilled_at.unwrap_or(now))),
            generation: between(self.prefilled_at, self.last_token),
            total: between(Some(self.job.received), Some(now)),
            computing: self.computing,
        };
        let mut outcome = end.outcome(usage);
        if let Outcome::Finished { stop, .. } = &mut outcome {
            *stop = self.stop.take();
        }
        self.job.finish(outcome);
    }
}

/// What admission decides about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotAssignment {
    /// The sequence in the KV cache.
    pub(super) seq: SeqId,
    /// Number of requests that were admitted earlier.
    pub(super) order: u64,
    /// Most tokens that prompt and answer can have together.
    pub(super) max_tokens: usize,
    /// The modes of speculation whose drafters may draft for the text.
    pub(super) drafters: &'static [Speculation],
    /// The tokens that the request is charged in advance.
    pub(super) paid: u64,
}

impl Slice {
    fn plus(self, other: Self) -> Self {
        Self {
            n_done: self.n_done + other.n_done,
            n_generated: self.n_generated + other.n_generated,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            n_done: self.n_done.saturating_sub(other.n_done),
            n_generated: self.n_generated.saturating_sub(other.n_generated),
        }
    }
}

/// The sequences of the running requests that were admitted before `order`, for other requests to
/// copy.
pub(super) fn running_sequences<S>(
    slots: &[Option<Slot<S>>],
    order: u64,
) -> Vec<RunningSequence<'_>> {
    let older = slots.iter().flatten().filter(|slot| slot.order < order);
    let sequences = older.map(|slot| {
        let n_shared = if slot.job.params.cache_prompt { slot.n_computed } else { 0 };
        let tokens = &slot.tokens[..n_shared];
        RunningSequence { slot: slot.seq, tokens, record: slot.record }
    });
    sequences.collect()
}

/// A wait for another slot, the donor, to prefill a prefix that both prompts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixWait {
    /// [`Slot::order`] of the donor.
    pub(super) donor_order: u64,
    /// Number of tokens of the shared prefix.
    pub(super) n_shared: usize,
}
