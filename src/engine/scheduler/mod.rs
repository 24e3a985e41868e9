//! Turns what clients ask for into steps the model can compute.
//!
//! A plain state machine: it owns the waiting jobs, the slots and the model, but no thread, and no
//! clock but for what a draft model takes, so tests move its time by hand. A turn is
//! [`Scheduler::accept`], [`Scheduler::sweep`], [`Scheduler::admit`], then [`Scheduler::plan`], which
//! makes a batch and moves no slot forward, [`Scheduler::decode`], and [`Scheduler::commit`], which
//! applies what came of it. A batch that fails therefore leaves no slot half advanced.
//!
//! Decoding slots go into a step before prompts, so a long prompt slows its own first token and
//! hardly anybody's next one.

mod admit;
mod draft;
mod slot;
mod step;
mod swap;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::domain::{Failure, FinishReason};

use super::model::{Limits, Model, SeqId, Vocabulary};
use super::options::Options;
use super::prefill::StepBudget;
use super::prefix_cache::PrefixCache;
use super::queue::WaitQueue;
use super::request::{End, Job};
use super::speculation::Speculator;
use super::stats::Stats;

use self::slot::Slot;
use self::swap::{Leaving, SWAPPED_A_TURN};

pub(super) struct Scheduler<M: Model> {
    model: M,
    vocabulary: Arc<dyn Vocabulary>,
    options: Options,
    limits: Limits,
    stats: Arc<Stats>,
    queue: WaitQueue,
    /// One place for each sequence that can be decoded; the index is the sequence id.
    slots: Vec<Option<Slot<M::Sampler>>>,
    cache: PrefixCache,
    budget: StepBudget,
    /// Steps until a short prompt may pass a long one again.
    until_pass: u32,
    speculator: Speculator,
    /// Steps for which guesses were asked.
    guess_turn: usize,
    /// Admissions so far.
    admissions: u64,
    /// Whether kept sequences may have to leave the KV cache.
    is_crowded: bool,
    /// Whether kept sequences may have no copy yet that they could leave it for.
    is_uncopied: bool,
    /// Since when there has been nothing to do; `None` before the first request.
    rests_since: Option<Instant>,
    /// The kept sequence that is copied or leaves it next.
    leaving: Option<Leaving>,
    /// Bytes for leaving sequences that are made ready in a turn.
    swapped_a_turn: usize,
}

impl<M: Model> Scheduler<M> {
    pub(super) fn new(
        model: M,
        vocabulary: Arc<dyn Vocabulary>,
        options: Options,
        stats: Arc<Stats>,
    ) -> Self {
        let limits = model.limits();
        stats.slots.store(limits.n_slots, Relaxed);
        stats.kv_total_tokens.store(limits.kv_tokens, Relaxed);
        let keeping = limits.n_slots as SeqId..(limits.n_slots + limits.n_cache_seqs) as SeqId;
        Self {
            model,
            vocabulary,
            options,
            limits,
            stats,
            queue: WaitQueue::default(),
            slots: (0..limits.n_slots).map(|_| None).collect(),
            cache: PrefixCache::new(keeping, options.cache_ram_bytes),
            budget: StepBudget::new(options.step_target, limits.n_batch),
            until_pass: 0,
            speculator: Speculator::new(options.speculation_margin_percent),
            guess_turn: 0,
            admissions: 0,
            is_crowded: false,
            is_uncopied: false,
            rests_since: None,
            leaving: None,
            swapped_a_turn: SWAPPED_A_TURN,
        }
    }

    /// Puts new jobs into the queue.
    pub(super) fn accept(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.queue.push(job);
        }
    }

    /// Ends what nobody waits for and what nobody reads.
    pub(super) fn sweep(&mut self, now: Instant) {
        for job in self.queue.take_cancelled() {
            self.finish_unstarted(job, now, End::Finished(FinishReason::Abort));
        }
        let grace = self.options.slow_client_grace;
        for i in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[i] else { continue };
            if slot.job.cancel.is_set() {
                self.finish(i, now, End::Finished(FinishReason::Abort));
            } else if !slot.job.outbox.is_full() {
                slot.paused = None;
            } else if now.duration_since(*slot.paused.get_or_insert(now)) >= grace {
                let connection = slot.job.connection;
                self.finish(i, now, End::Failed(Failure::SlowClient { grace }));
                // Theirs is the same socket: they would each keep a slot idle as long again.
                for job in self.queue.take_by_connection(connection) {
                    self.finish_unstarted(job, now, End::Failed(Failure::SlowClient { grace }));
                }
            }
        }
    }

    /// Ends everything that waits: the server is leaving.
    pub(super) fn refuse_waiting(&mut self, now: Instant) {
        for job in self.queue.take_all() {
            self.finish_unstarted(job, now, End::Failed(Failure::ShuttingDown));
        }
    }

    /// Ends everything: the time to leave is over.
    pub(super) fn end_all(&mut self, now: Instant) {
        self.refuse_waiting(now);
        for i in 0..self.slots.len() {
            self.finish(i, now, End::Failed(Failure::ShuttingDown));
        }
    }

    /// Whether nothing runs and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.iter().all(Option::is_none)
    }

    /// How long the thread may wait for news: not at all while a slot can run or somebody who waits
    /// can have one, until it is time to copy what is kept or for ever when nothing is going on, and
    /// until the next grace is over when every client is slow.
    pub(super) fn patience(&self, now: Instant) -> Patience {
        if self.next_entry().is_some() {
            return Patience::None;
        }
        let mut patience = Patience::Forever;
        if let Some(at) = self.copies_at().filter(|_| self.is_idle()) {
            return Patience::Until(at.saturating_duration_since(now));
        }
        for slot in self.slots.iter().flatten() {
            let Some(paused) = slot.paused else { return Patience::None };
            let left = (paused + self.options.slow_client_grace).saturating_duration_since(now);
            patience = match patience {
                Patience::Until(known) => Patience::Until(known.min(left)),
                _ => Patience::Until(left),
            };
        }
        patience
    }

    /// Ends the slot at `i`, if there is one, and keeps its tokens in the cache.
    fn finish(&mut self, i: usize, now: Instant, end: End) {
        let Some(slot) = self.slots[i].take() else { return };
        if slot.job.params.cache_prompt && slot.computed > 0 {
            let kept = &slot.tokens[..slot.computed];
            for seq in self.cache.make_way_for(kept) {
                self.model.truncate(seq, 0);
            }
            if let Some(seq) = self.cache.park(kept) {
                self.model.share(slot.seq, seq, slot.computed);
                self.is_crowded = true;
                self.is_uncopied = self.options.cache_ram_bytes > 0;
            }
        }
        self.release(slot, now, end);
    }

    /// Ends the slot at `i`, if there is one, and trusts nothing it left in the model.
    fn discard(&mut self, i: usize, now: Instant, end: End) {
        if let Some(slot) = self.slots[i].take() {
            self.release(slot, now, end);
        }
    }

    fn release(&mut self, slot: Slot<M::Sampler>, now: Instant, end: End) {
        self.model.truncate(slot.seq, 0);
        self.rests_since = Some(now);
        self.speculator.learn_answer(slot.n_generated());
        self.queue.settle(&slot.job, slot.n_prompt, slot.n_prefilled() + slot.n_generated());
        if let Some(tps) = slot.tokens_per_second() {
            self.stats.set_last_tps(tps);
        }
        self.stats.active.fetch_sub(1, Relaxed);
        self.stats.tally.total.observe(now.saturating_duration_since(slot.job.received));
        self.stats.tally.count((&end).into());
        self.count_kv();
        slot.finish(now, end);
    }

    fn finish_unstarted(&mut self, job: Job, now: Instant, end: End) {
        let waited = now.saturating_duration_since(job.received);
        self.stats.queued.fetch_sub(1, Relaxed);
        self.stats.tally.queue_wait.observe(waited);
        self.stats.tally.total.observe(waited);
        self.stats.tally.count((&end).into());
        job.finish_unstarted(now, end);
    }

    /// Tokens the running slots may come to need.
    fn n_reserved(&self) -> usize {
        self.slots.iter().flatten().map(|slot| slot.reserved).sum()
    }

    fn count_kv(&self) {
        debug_assert!(
            self.n_reserved() + self.cache.n_tokens() <= self.limits.kv_tokens,
            "more is promised and kept than there is"
        );
        let running: usize = self.slots.iter().flatten().map(|slot| slot.computed).sum();
        self.stats.kv_used_tokens.store(running + self.cache.n_tokens(), Relaxed);
        self.stats.kv_running_tokens.store(running, Relaxed);
        let (sequences, bytes) = self.cache.copied();
        self.stats.swapped_sequences.store(sequences, Relaxed);
        self.stats.swapped_bytes.store(bytes, Relaxed);
    }
}

/// How long the engine thread may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    Until(Duration),
    Forever,
}

#[cfg(test)]
mod tests;
