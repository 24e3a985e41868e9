//! Lets a slot wait while another slot, its donor, prefills a prefix that both prompts share.
//!
//! The prefix is then computed once, and all slots that waited for it copy it. A slot only waits
//! for an older one, so slots cannot wait for each other.

use std::time::Instant;

use crate::engine::kv::{MIN_REUSED_TOKENS, common_prefix};
use crate::engine::model::Model;

use super::Scheduler;
use super::slot::{PrefixWait, Slot, running_sequences};

impl<M: Model> Scheduler<M> {
    /// Resumes slots whose donor has prefilled the shared prefix. If the donor ended before that,
    /// the slot takes the longest prefix that is available, and waits for another donor if there is
    /// one. The oldest slot is resumed first.
    pub(super) fn resume_prefix_waits(&mut self, now: Instant) {
        let waiting = (0..self.slots.len()).filter_map(|i| {
            let slot = self.slots[i].as_ref().filter(|slot| slot.prefix_wait.is_some())?;
            Some((slot.order, i))
        });
        let mut waiting: Vec<(u64, usize)> = waiting.collect();
        waiting.sort_unstable();
        let mut exported = None;
        for (_, i) in waiting {
            let Some(mut slot) = self.slots[i].take() else { continue };
            if slot.prefix_wait.is_some_and(|wait| !self.is_donor_prefilling(wait)) {
                let own = (slot.seq, &slot.tokens[..slot.n_prompt], slot.n_computed);
                let donors = running_sequences(&self.slots, slot.order);
                let reused = self.kv.replace(&mut self.model, own, &donors, &mut exported);
                if let Some(reused) = reused {
                    self.metrics.prompt_tokens_cached(reused.n_tokens);
                    slot.reuse(reused);
                }
                slot.prefix_wait = self.find_donor(&slot);
                slot.started = now;
            }
            self.slots[i] = Some(slot);
        }
    }

    /// The older prefilling slot whose prompt shares the longest prefix with that of `slot`, if
    /// waiting for it saves anything.
    pub(super) fn find_donor(&self, slot: &Slot<M::Sampler>) -> Option<PrefixWait> {
        let prompt = &slot.tokens[..slot.n_prompt];
        let donors = self.running().filter(|donor| {
            donor.order < slot.order && donor.job.params.cache_prompt && donor.is_prefilling()
        });
        let wait = |donor: &Slot<M::Sampler>| {
            let n_matched = common_prefix(&donor.tokens[..donor.n_prompt], prompt);
            let n = self.model.chunk_rules().longest(n_matched, prompt.len());
            let n_shared = self.model.resumable_copy(donor.n_prompt, n);
            PrefixWait { donor_order: donor.order, n_shared }
        };
        donors
            .map(wait)
            .filter(|wait| wait.n_shared >= slot.n_computed + MIN_REUSED_TOKENS)
            .max_by_key(|wait| wait.n_shared)
    }

    /// Whether the donor is still running and has not computed all of the shared prefix.
    fn is_donor_prefilling(&self, wait: PrefixWait) -> bool {
        let PrefixWait { donor_order, n_shared } = wait;
        self.running().any(|slot| slot.order == donor_order && slot.n_computed < n_shared)
    }
}
