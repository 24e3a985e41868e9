//! From the queue into a slot: by tokens, and with whatever is already in the KV cache.
//!
//! A request enters when its prompt and all it may generate fit beside what the running slots
//! have been promised, so the cache cannot overflow later and nobody is ever evicted. Kept
//! prefixes give way first. The one at the head of the queue is never overtaken by a smaller one,
//! or it might wait for ever.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::engine::model::{Model, SeqId};
use crate::engine::prefix::common_prefix;
use crate::engine::slot::{Job, Place, Slot, Twin};
use crate::engine::speculation::guessers;

use super::Scheduler;

/// Sharing fewer tokens is not worth the bookkeeping: copying a sequence's cells looks at every
/// cell of the cache.
const SMALLEST_SHARE: usize = 8;

impl<M: Model> Scheduler<M> {
    /// Fills free slots from the queue and tells the rest their places.
    pub(in crate::engine) fn admit(&mut self, now: Instant) {
        while let Some(free) = self.slots.iter().position(Option::is_none) {
            let Some(next) = self.queue.peek() else { break };
            let reserved = self.demand(next);
            if self.n_reserved() + reserved > self.limits.kv_tokens {
                break;
            }
            let Some(job) = self.queue.pop() else { break };
            self.start(job, free, reserved, now);
        }
        self.queue.tell_places();
    }

    /// Tokens a job may come to need in the KV cache.
    fn demand(&self, job: &Job) -> usize {
        let output = job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        job.tokens.len().saturating_add(output).min(self.options.ctx_size)
    }

    fn start(&mut self, job: Job, free: usize, reserved: usize, now: Instant) {
        let sampler = self.model.sampler(&job.params, &job.tokens);
        let guessers = match self.limits.n_guesses {
            0 => &[],
            _ => guessers(job.params.speculative, self.options.speculative),
        };
        let place = Place { seq: free as SeqId, order: self.admissions, reserved, guessers };
        let mut slot = Slot::new(job, place, sampler, now);
        self.admissions += 1;
        if slot.job.params.cache_prompt {
            self.reuse(&mut slot);
            slot.twin = self.twin_of(&slot);
        }
        let room = self.limits.kv_tokens.saturating_sub(self.n_reserved() + reserved);
        while self.cache.n_tokens() > room.min(self.model.kept_tokens()) {
            let Some(evicted) = self.cache.evict() else { break };
            self.model.truncate(evicted, 0);
        }
        self.stats.queued.fetch_sub(1, Relaxed);
        self.stats.tally.queue_wait.observe(now.saturating_duration_since(slot.job.received));
        self.stats.active.fetch_add(1, Relaxed);
        self.stats.cached_tokens_total.fetch_add(slot.cached as u64, Relaxed);
        self.slots[free] = Some(slot);
        self.count_kv();
    }

    /// Lets `slot` share the longest beginning that a kept or running sequence holds, if that is
    /// longer than what it has.
    pub(super) fn reuse(&mut self, slot: &mut Slot<M::Sampler>) {
        let prompt = slot.shareable_prompt();
        let kept = self.cache.longest(prompt);
        let running = self
            .others(slot.order)
            .map(|other| (other.seq, common_prefix(&other.tokens[..other.computed], prompt)));
        let best = kept.into_iter().chain(running).max_by_key(|&(_, n)| n);
        let Some((from, n)) = best else { return };
        let n = self.model.shareable(from, n);
        if n < slot.computed + SMALLEST_SHARE {
            return;
        }
        self.model.truncate(slot.seq, 0);
        self.model.share(from, slot.seq, n);
        self.cache.touch(from);
        slot.cached += n - slot.computed;
        slot.computed = n;
    }

    /// The older reader whose prompt has the longest beginning in common with that of `slot`, if
    /// waiting for it saves something.
    fn twin_of(&self, slot: &Slot<M::Sampler>) -> Option<Twin> {
        if self.limits.n_parked == 0 {
            return None;
        }
        let prompt = slot.shareable_prompt();
        self.others(slot.order)
            .filter(|other| other.is_reading())
            .map(|other| Twin {
                order: other.order,
                common: common_prefix(&other.tokens[..other.n_prompt], prompt),
            })
            .filter(|twin| twin.common >= slot.computed + SMALLEST_SHARE)
            .max_by_key(|twin| twin.common)
    }

    /// The running slots that are older than `order` and may be shared with.
    fn others(&self, order: u64) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.slots
            .iter()
            .flatten()
            .filter(move |slot| slot.order < order && slot.job.params.cache_prompt)
    }

    /// Lets slots go on that waited for a twin which has now read the common beginning, or ended.
    pub(super) fn meet_twins(&mut self) {
        for i in 0..self.slots.len() {
            let Some(Twin { order, common }) = self.slots[i].as_ref().and_then(|slot| slot.twin)
            else {
                continue;
            };
            let still_reading = self
                .slots
                .iter()
                .flatten()
                .any(|other| other.order == order && other.computed < common);
            if still_reading {
                continue;
            }
            let Some(mut slot) = self.slots[i].take() else { continue };
            slot.twin = None;
            let before = slot.cached;
            self.reuse(&mut slot);
            let found = (slot.cached - before) as u64;
            self.stats.cached_tokens_total.fetch_add(found, Relaxed);
            self.slots[i] = Some(slot);
        }
    }
}
