//! Admits requests from the queue into free slots.
//!
//! A request is admitted when its prompt and its longest possible answer fit into the KV cache in
//! addition to the tokens that running slots have reserved. So the KV cache cannot overflow later,
//! and no running request is ever evicted. Cached sequences are swapped out or removed if they take
//! the space. While the first request in the queue does not fit, no later one is admitted in its
//! place. The order of the queue may still change, which starves no request.

use std::time::Instant;

use crate::engine::model::{Model, SeqId};
use crate::engine::prefix_cache::CacheKey;
use crate::engine::request::Job;
use crate::engine::speculation::drafters;

use super::Scheduler;
use super::reuse::PrefixMatch;
use super::slot::{Slot, SlotAssignment};
use super::swap::CopyAllowance;

/// How the next request is to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Admission {
    /// The prefix that the slot starts with, if any.
    prefix: Option<PrefixMatch>,
    /// Number of tokens of the KV cache reserved for the slot.
    n_reserved: usize,
    /// Number of tokens of the KV cache needed for admission: `n_reserved`, or more for the whole
    /// chunks of a prefix that is imported from host RAM. The excess is dropped after the import.
    n_needed: usize,
    /// Whether the cached sequence with the prefix stays cached afterwards.
    is_source_retained: bool,
}

impl Admission {
    /// The cached sequence with the prefix, which must not be evicted before the slot has it.
    fn source(self) -> Option<CacheKey> {
        self.prefix.and_then(|prefix| prefix.source.cache_key())
    }
}

impl<M: Model> Scheduler<M> {
    /// Resumes slots that waited for a prefix, fills free slots from the queue, reports the new
    /// queue positions, and moves cached sequences to host RAM.
    pub(in crate::engine) fn admit(&mut self, now: Instant) {
        // This comes first, because an admitted request could take over the cached sequence that
        // contains the prefix that these slots wait for.
        self.resume_prefix_waits(now);
        self.exclude_paused_connections();
        if !self.fill_slots(now) {
            // A sequence is being copied to make space for the next request. Only one sequence is
            // copied at a time.
        } else if self.running().next().is_some() {
            self.swap_out_excess();
        } else {
            self.mirror_next(now);
        }
        self.queue.report_positions();
    }

    /// The index of a free slot for the next request in the queue, and the number of tokens that
    /// the request reserves; `None` if no request waits, no slot is free, or too few tokens are
    /// unreserved.
    pub(super) fn next_slot(&self) -> Option<(usize, usize)> {
        let free = self.slots.iter().position(Option::is_none)?;
        let n_reserved = self.max_tokens_of(self.queue.peek()?);
        (self.n_reserved() + n_reserved <= self.limits.kv_tokens).then_some((free, n_reserved))
    }

    /// Excludes the waiting requests of connections with a paused slot. They share its socket, so
    /// their slots would be paused, too.
    fn exclude_paused_connections(&mut self) {
        let paused = self.running().filter(|slot| slot.paused.is_some());
        let connections = paused.map(|slot| slot.job.connection).collect();
        self.queue.exclude(connections);
    }

    /// Admits requests while there are free slots and tokens. False if more iterations are needed
    /// to make space for the next request.
    fn fill_slots(&mut self, now: Instant) -> bool {
        let mut allowance = self.admission_allowance();
        while let Some((free, n_reserved)) = self.next_slot() {
            let Some(job) = self.queue.peek() else { break };
            let admission = self.plan_admission(job, n_reserved);
            if !self.make_space_for(admission, &mut allowance) {
                return false;
            }
            let Some(job) = self.queue.pop() else { break };
            self.start(job, free, admission, now);
        }
        true
    }

    /// Largest number of tokens that a request can need in the KV cache.
    fn max_tokens_of(&self, job: &Job) -> usize {
        let output = job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        job.tokens.len().saturating_add(output).min(self.options.ctx_size)
    }

    /// Plans the admission of `job`, which reserves `n_reserved` tokens.
    fn plan_admission(&self, job: &Job, n_reserved: usize) -> Admission {
        let prompt = job.params.cache_prompt.then(|| job.shareable_prompt());
        let prefix = prompt.and_then(|prompt| self.best_prefix(prompt, self.n_admitted, 0, 0));
        let cached = prefix.and_then(|PrefixMatch { source, n_tokens }| {
            Some((self.cache.get(source.cache_key()?)?, n_tokens))
        });
        let to_import = cached.map_or(0, |(cached, n)| cached.n_to_import(n));
        Admission {
            prefix,
            n_reserved,
            n_needed: n_reserved.max(to_import),
            is_source_retained: cached.is_some_and(|(cached, n)| !self.is_consumed(cached, n)),
        }
    }

    /// Makes space in the KV cache, so that [`Self::start`] has nothing to copy. False if the
    /// allowance does not suffice; the next iteration continues.
    fn make_space_for(&mut self, admission: Admission, allowance: &mut CopyAllowance) -> bool {
        let source = admission.source();
        let has_space = self.make_space(admission.n_needed, source, allowance);
        // If slot and source do not both fit, the source is swapped out once the slot has its
        // prefix. The source then needs a complete copy in advance.
        let space = self.space_for_cached(admission.n_reserved);
        let to_swap_out =
            source.filter(|_| admission.is_source_retained && self.cache.resident_tokens() > space);
        let is_ready = has_space && to_swap_out.is_none_or(|key| self.prepare_copy(key, allowance));
        // If the request is cancelled before the copy in progress is complete, `swap_out_excess`
        // completes or drops it.
        self.swap.check_excess |= !is_ready;
        is_ready
    }

    /// Starts `job` in the slot `free`, for which [`Self::make_space_for`] has made space.
    fn start(&mut self, job: Job, free: usize, admission: Admission, now: Instant) {
        let Admission { prefix, n_reserved, .. } = admission;
        let sampler = self.model.sampler(&job.params, &job.tokens);
        let drafters = match self.limits.n_draft {
            0 => &[],
            _ => drafters(job.params.speculative, self.options.speculative),
        };
        let assignment =
            SlotAssignment { seq: free as SeqId, order: self.n_admitted, n_reserved, drafters };
        let mut slot = Slot::new(job, assignment, sampler, now);
        self.n_admitted += 1;
        if slot.job.params.cache_prompt {
            self.reuse_prefix(&mut slot, prefix);
            slot.prefix_wait = self.find_donor(&slot);
        }
        // Swaps out the source of the prefix if slot and source do not both fit. Its copy is ready.
        self.make_space(n_reserved, None, &mut CopyAllowance::Unlimited);
        self.metrics.started(&slot, now);
        self.slots[free] = Some(slot);
        self.swap.check_excess = true;
        self.report_kv_usage();
    }
}
