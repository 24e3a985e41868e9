//! Makes space in the KV cache for the next request.
//!
//! Cached sequences are swapped out, or removed if they cannot be. Running slots keep their tokens.

use crate::engine::model::Model;
use crate::engine::prefix_cache::CacheKey;
use crate::engine::scheduler::Scheduler;

use super::CopyAllowance;
use super::copy::{CopyOutcome, OtherCopies};

impl<M: Model> Scheduler<M> {
    /// The bytes that this iteration may copy for the next requests.
    pub(in crate::engine::scheduler) fn admission_allowance(&self) -> CopyAllowance {
        let limits = self.swap.limits;
        CopyAllowance::Bytes(match self.is_any_decoding() {
            true => limits.admission_decoding,
            false => limits.admission_prefilling,
        })
    }

    /// Swaps out cached sequences, the least recently used first, until one more slot with
    /// `n_needed` tokens fits into the KV cache. Sequences that cannot be swapped out are removed.
    /// `excepted`, which the new slot is to reuse, stays. False if the allowance does not suffice.
    pub(in crate::engine::scheduler) fn make_space(
        &mut self,
        n_needed: usize,
        excepted: Option<CacheKey>,
        allowance: &mut CopyAllowance,
    ) -> bool {
        let space = self.space_for_cached(n_needed);
        // If the model limits the number of sequences, the new slot takes over the sequence
        // `excepted` instead of sharing with it, so that sequence does not count.
        let n_running = self.running().count();
        let max_resident = self.model.max_sequences().map_or(usize::MAX, |max| {
            (max + usize::from(excepted.is_some())).saturating_sub(n_running + 1)
        });
        let resident = self.cache.resident_by_age();
        let mut n_resident = resident.len();
        for (key, seq) in resident {
            if self.cache.resident_tokens() <= space && n_resident <= max_resident {
                return true;
            }
            if excepted == Some(key) {
                continue;
            }
            match self.swap_out(key, seq, allowance, excepted) {
                CopyOutcome::Complete => {}
                CopyOutcome::InProgress => return false,
                CopyOutcome::Impossible => self.remove_cached(key, seq),
            }
            n_resident -= 1;
        }
        true
    }

    /// Copies the cached sequence `key`, so that it can later be swapped out at once. False if the
    /// allowance does not suffice. True also if the sequence needs no copy or cannot have one.
    pub(in crate::engine::scheduler) fn prepare_copy(
        &mut self,
        key: CacheKey,
        allowance: &mut CopyAllowance,
    ) -> bool {
        let uncopied = self.cache.get(key).filter(|cached| cached.copy.is_none());
        let Some(seq) = uncopied.and_then(|cached| cached.seq) else { return true };
        let others = OtherCopies::MayBeDropped { excepted: None };
        self.copy_to_host(key, seq, allowance, others) != CopyOutcome::InProgress
    }

    /// Number of tokens of cached sequences that fit into the KV cache in addition to the reserved
    /// tokens and `n_needed` others.
    pub(in crate::engine::scheduler) fn space_for_cached(&self, n_needed: usize) -> usize {
        self.limits.kv_tokens.saturating_sub(self.n_reserved() + n_needed)
    }
}
