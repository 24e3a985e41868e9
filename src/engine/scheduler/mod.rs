//! Turns requests into steps, and the results of steps into text.
//!
//! The scheduler is a state machine without a thread. It owns the queue, the slots, the prefix
//! cache and the model. The current time is an argument of its methods, so tests control it; the
//! scheduler itself reads the clock only to time the draft model.
//!
//! An iteration of the engine loop makes these calls, in this order. Each is in the named file:
//!
//! 1. [`Scheduler::accept`] (`mod`) puts new jobs into the queue.
//! 2. [`Scheduler::sweep`] (`finish`) ends cancelled requests and those of slow clients.
//! 3. [`Scheduler::admit`] (`admit`) resumes slots whose shared prefix is ready (`prefix_wait`),
//!    and fills free slots from the queue. A new slot starts with the longest prefix in the KV
//!    cache or in host RAM (`reuse`). Cached sequences are moved to host RAM to make space
//!    (`swap`).
//! 4. [`Scheduler::plan`] (`plan`) makes the batch of the next step: one token for each decoding
//!    slot, then prompt tokens of prefilling slots, or else draft tokens (`draft`).
//! 5. [`Scheduler::decode`] (`mod`) has the model compute the batch.
//! 6. [`Scheduler::commit`] (`commit`) samples tokens and advances the slots.
//!
//! Planning does not advance any slot, so a failed step leaves none half advanced. Decoding slots
//! go first in every step: a long prompt delays its own first token, and hardly any other slot's
//! next token.

mod admit;
mod commit;
mod draft;
mod finish;
mod metrics;
mod plan;
mod prefix_wait;
mod reuse;
mod slot;
mod step;
mod swap;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::model::{CancelFlag, DecodeOutcome, Interrupt, Limits, Model, SeqId, Vocabulary};
use super::options::Options;
use super::prefill::PrefillBudget;
use super::prefix_cache::PrefixCache;
use super::queue::{EXPECTED_OUTPUT, WaitQueue};
use super::request::Job;
use super::speculation::Speculator;
use super::stats::Stats;

use self::metrics::SchedulerMetrics;
use self::slot::Slot;
use self::step::Step;
use self::swap::SwapState;

/// Schedules requests on the model `M`.
pub(super) struct Scheduler<M: Model> {
    model: M,
    vocabulary: Arc<dyn Vocabulary>,
    options: Options,
    limits: Limits,
    metrics: SchedulerMetrics,
    queue: WaitQueue,
    /// One entry for each sequence that can be decoded. The index is the sequence id.
    slots: Vec<Option<Slot<M::Sampler>>>,
    /// Number of requests admitted so far.
    n_admitted: u64,
    cache: PrefixCache,
    swap: SwapState,
    prefill: PrefillBudget,
    /// Number of steps until short prompts may overtake long ones again.
    steps_until_overtake: u32,
    speculator: Speculator,
    /// Number of steps that drafts were planned for. Determines which slot gets drafts first.
    draft_rotation: usize,
}

impl<M: Model> Scheduler<M> {
    pub(super) fn new(
        model: M,
        vocabulary: Arc<dyn Vocabulary>,
        options: Options,
        stats: Arc<Stats>,
    ) -> Self {
        let limits = model.limits();
        let cache_ids = limits.n_slots as SeqId..(limits.n_slots + limits.n_cache_seqs) as SeqId;
        Self {
            model,
            vocabulary,
            options,
            limits,
            metrics: SchedulerMetrics::new(stats, limits),
            queue: WaitQueue::default(),
            slots: (0..limits.n_slots).map(|_| None).collect(),
            n_admitted: 0,
            cache: PrefixCache::new(cache_ids, options.cache_ram_bytes),
            swap: SwapState::default(),
            prefill: PrefillBudget::new(options.step_target, limits.n_batch),
            steps_until_overtake: 0,
            speculator: Speculator::new(options.speculation_margin_percent, EXPECTED_OUTPUT),
            draft_rotation: 0,
        }
    }

    /// Adds new jobs to the queue.
    pub(super) fn accept(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.queue.push(job);
        }
    }

    /// Has the model compute a step. It may end early once `stop` is set or all requests of the
    /// step are cancelled.
    pub(super) fn decode(&mut self, step: &Step, stop: &CancelFlag) -> DecodeOutcome {
        let interrupt = Interrupt { requests: &step.cancel, stop };
        self.model.decode(&step.batch, &interrupt)
    }

    /// Whether no request is running or waiting.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.iter().all(Option::is_none)
    }

    /// How long the engine thread may wait for new jobs before the next iteration.
    pub(super) fn wait_limit(&self, now: Instant) -> WaitLimit {
        if self.next_slot().is_some() {
            return WaitLimit::NoWait;
        }
        if let Some(at) = self.mirroring_starts_at().filter(|_| self.is_idle()) {
            return WaitLimit::AtMost(at.saturating_duration_since(now));
        }
        // If all slots are paused, the next event is the end of the first grace period.
        let mut limit = WaitLimit::Unlimited;
        for slot in self.slots.iter().flatten() {
            let Some(paused) = slot.paused else { return WaitLimit::NoWait };
            let left = (paused + self.options.slow_client_grace).saturating_duration_since(now);
            limit = match limit {
                WaitLimit::AtMost(other) => WaitLimit::AtMost(other.min(left)),
                _ => WaitLimit::AtMost(left),
            };
        }
        limit
    }

    /// The running requests.
    fn running(&self) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.slots.iter().flatten()
    }

    /// Tokens of the KV cache that are reserved for running requests.
    fn n_reserved(&self) -> usize {
        self.running().map(|slot| slot.reserved).sum()
    }

    /// Updates the metrics of the KV cache and of host RAM.
    fn report_kv_usage(&self) {
        let cached = self.cache.resident_tokens();
        debug_assert!(
            self.n_reserved() + cached <= self.limits.kv_tokens,
            "more tokens are reserved and cached than the KV cache has"
        );
        let running = self.running().map(|slot| slot.computed).sum();
        self.metrics.kv_usage(running, cached, self.cache.host_copies());
    }
}

/// How long the engine thread may wait for new jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitLimit {
    /// There is work to do.
    NoWait,
    /// There is work after this time.
    AtMost(Duration),
    /// There is nothing to do until a job arrives or a client reads.
    Unlimited,
}

#[cfg(test)]
mod tests;
