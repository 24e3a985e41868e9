//! Lets a slot wait while another slot, its donor, prefills a prefix that both prompts share.
//!
//! The prefix is then computed once, and all slots that waited for it share it. A slot only waits
//! for an older one, so slots cannot wait for each other.

use std::time::Instant;

use crate::engine::model::Model;
use crate::engine::prefix_cache::common_prefix;

use super::Scheduler;
use super::reuse::MIN_SHARED_TOKENS;
use super::slot::{PrefixWait, Slot};

impl<M: Model> Scheduler<M> {
    /// Resumes slots whose donor has prefilled the shared prefix. If the donor ended before that,
    /// the slot reuses the longest prefix that is available, and waits for another donor if there
    /// is one. The oldest slot is resumed first: it may take over a whole cached sequence, which
    /// the other slots then share with it.
    pub(super) fn resume_prefix_waits(&mut self, now: Instant) {
        let waiting = (0..self.slots.len()).filter_map(|i| {
            let slot = self.slots[i].as_ref().filter(|slot| slot.prefix_wait.is_some())?;
            Some((slot.order, i))
        });
        let mut waiting: Vec<(u64, usize)> = waiting.collect();
        waiting.sort_unstable();
        for (_, i) in waiting {
            let wait = self.slots[i].as_ref().and_then(|slot| slot.prefix_wait);
            if wait.is_some_and(|wait| !self.is_donor_prefilling(wait)) {
                self.resume(i, now);
            }
        }
    }

    /// The older prefilling slot whose prompt shares the longest prefix with that of `slot`, if
    /// waiting for it saves anything.
    pub(super) fn find_donor(&self, slot: &Slot<M::Sampler>) -> Option<PrefixWait> {
        if self.limits.n_cache_seqs == 0 || !self.may_share() {
            return None;
        }
        let prompt = slot.shareable_prompt();
        self.donors_before(slot.order)
            .filter(|donor| donor.is_prefilling())
            .map(|donor| PrefixWait {
                donor_order: donor.order,
                n_shared: common_prefix(&donor.tokens[..donor.n_prompt], prompt),
            })
            .filter(|wait| wait.n_shared >= slot.n_computed + MIN_SHARED_TOKENS)
            .max_by_key(|wait| wait.n_shared)
    }

    /// Whether the donor is still running and has not computed all of the shared prefix.
    fn is_donor_prefilling(&self, wait: PrefixWait) -> bool {
        let PrefixWait { donor_order, n_shared } = wait;
        self.running().any(|slot| slot.order == donor_order && slot.n_computed < n_shared)
    }

    /// Gives slot `i` the longest prefix that is available, and resumes it unless it has another
    /// donor.
    fn resume(&mut self, i: usize, now: Instant) {
        let Some(mut slot) = self.slots[i].take() else { return };
        let n_cached_before = slot.n_cached;
        let n_resident = self.cache.resident_tokens();
        let prompt = slot.shareable_prompt();
        let prefix = self.best_prefix(prompt, slot.order, slot.n_computed, n_resident);
        self.reuse_prefix(&mut slot, prefix);
        slot.prefix_wait = self.find_donor(&slot);
        slot.started = now;
        self.metrics.prompt_tokens_cached(slot.n_cached.saturating_sub(n_cached_before));
        self.slots[i] = Some(slot);
    }
}
