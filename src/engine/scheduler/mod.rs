//! Turns requests into steps, and sampled tokens into text.
//!
//! The scheduler is a state machine without a thread. It owns the queue, the slots, the KV cache
//! and the model. The current time is an argument of its methods, so tests control it; the
//! speculator reads the clock to time the draft model.
//!
//! An iteration of the engine loop, which [`engine`](super) describes, makes these calls in this
//! order:
//!
//! | call | files |
//! |---|---|
//! | [`Scheduler::enqueue`] | `mod` |
//! | [`Scheduler::sweep`] | `finish` |
//! | [`Scheduler::admit`] | `admit`, `turns`, `prefix_wait` |
//! | [`Scheduler::plan`] | `plan`, `step` |
//! | [`Scheduler::decode`] | `mod` |
//! | [`Scheduler::commit`] | `commit`, `finish` |

mod admit;
mod commit;
mod finish;
mod metrics;
mod plan;
mod prefix_wait;
mod slot;
mod step;
mod turns;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::Refusal;

use super::kv::KvCache;
use super::model::{DecodeOutcome, Interrupt, Limits, Model, StopFlag, Vocabulary};
use super::options::{Options, max_waiting};
use super::prefill::PrefillBudget;
use super::queue::WaitQueue;
use super::request::{End, Job};
use super::speculation::Speculator;
use super::stats::Stats;

use self::metrics::SchedulerMetrics;
use self::slot::Slot;
use self::step::Step;
pub(super) use self::turns::MAX_SUSPENDED;
use self::waiting::{EXPECTED_OUTPUT_TOKENS, Waiting};

/// Schedules requests on the model `M`.
pub(super) struct Scheduler<M: Model> {
    model: M,
    vocabulary: Arc<dyn Vocabulary>,
    options: Options,
    /// The limits of `model`.
    limits: Limits,
    metrics: SchedulerMetrics,
    queue: WaitQueue<Waiting<M::Sampler>>,
    /// All slots; `None` is a free one. The index is the id of the slot's sequence.
    slots: Vec<Option<Slot<M::Sampler>>>,
    /// Number of requests that were admitted so far.
    n_admitted: u64,
    /// The cached sequences.
    kv: KvCache,
    /// Decides how many prompt tokens a step has.
    prefill: PrefillBudget,
    /// Number of steps before short prompts may overtake long ones again.
    steps_until_overtake: u32,
    /// Drafts tokens.
    speculator: Speculator<M>,
}

impl<M: Model> Scheduler<M> {
    pub(super) fn new(
        model: M,
        vocabulary: Arc<dyn Vocabulary>,
        options: Options,
        stats: Arc<Stats>,
    ) -> Self {
        let limits = model.limits();
        Self {
            model,
            vocabulary,
            options,
            limits,
            metrics: SchedulerMetrics::new(stats, limits),
            queue: WaitQueue::default(),
            slots: (0..limits.n_slots).map(|_| None).collect(),
            n_admitted: 0,
            kv: KvCache::new(options.cache_ram_bytes),
            prefill: PrefillBudget::new(options.step_target, limits.n_ubatch),
            steps_until_overtake: 0,
            speculator: Speculator::new(options.speculation_margin_percent, EXPECTED_OUTPUT_TOKENS),
        }
    }

    /// Puts new jobs into the queue. For each job beyond the limit, one of all waiting jobs is
    /// refused, unless jobs that have to end make enough space.
    pub(super) fn enqueue(&mut self, jobs: Vec<Job>, now: Instant) {
        for job in jobs {
            let is_over_limit = job.is_over_limit;
            self.queue.push(Waiting::New(Box::new(job)));
            if !is_over_limit {
                continue;
            }
            self.sweep_queue(now);
            let n_free = self.slots.iter().filter(|slot| slot.is_none()).count();
            let is_full = self.queue.n_new() > max_waiting(self.options.max_queue) + n_free;
            if is_full && let Some(waiting) = self.queue.give_way() {
                let queued = self.metrics.n_queued();
                self.finish_waiting(waiting, now, End::Refused(Refusal::Busy { queued }));
            }
        }
    }

    /// Has the model compute a step. It may end early once `stop` is set or all requests of the
    /// step are cancelled.
    pub(super) fn decode(&mut self, step: &Step, stop: &StopFlag) -> DecodeOutcome {
        let interrupt = Interrupt { requests: &step.cancel, stop };
        self.model.decode(&step.batch, &interrupt)
    }

    /// Whether no request is running or waiting.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.iter().all(Option::is_none)
    }

    /// How long the engine thread may wait for new jobs before the next iteration.
    pub(super) fn wait_limit(&self, now: Instant) -> WaitLimit {
        if self.slots.iter().any(Option::is_none) && self.queue.peek().is_some() {
            return WaitLimit::NoWait;
        }
        if let Some(start) = self.kv.mirroring_starts_at().filter(|_| self.is_idle()) {
            return WaitLimit::AtMost(start.saturating_duration_since(now));
        }
        if self.running().any(|slot| slot.paused.is_none()) {
            return WaitLimit::NoWait;
        }
        // If no client reads, the next event is the end of the first grace period.
        let suspended = self.queue.iter().filter_map(Waiting::suspended);
        let paused = self.running().chain(suspended).filter_map(|slot| slot.paused);
        paused.min().map_or(WaitLimit::Unlimited, |first| {
            let end = first + self.options.slow_client_grace;
            WaitLimit::AtMost(end.saturating_duration_since(now))
        })
    }

    /// The occupied slots.
    fn running(&self) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.slots.iter().flatten()
    }

    /// Updates the metrics of the KV cache and of host RAM.
    fn report_kv_usage(&self) {
        let running = self.running().map(|slot| slot.n_computed).sum();
        self.metrics.kv_usage(running, self.kv.tokens_in_slots(), self.kv.copies());
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
