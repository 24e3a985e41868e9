//! Swaps out cached sequences that slow down running requests.
//!
//! Where attention kernels visit every cell of the KV cache, cached sequences lengthen each step.
//! Such a model allows only few cached tokens ([`Model::cacheable_tokens`]); the others are the
//! excess.

use crate::domain::Token;
use crate::engine::model::{Model, SeqId};
use crate::engine::prefix_cache::{CacheKey, common_prefix};
use crate::engine::scheduler::Scheduler;

use super::CopyAllowance;
use super::copy::{CopyOutcome, OtherCopies};

impl<M: Model> Scheduler<M> {
    /// Swaps out cached sequences beyond [`Model::cacheable_tokens`], a limited number of bytes per
    /// iteration. A sequence stays if a running request shares more than half of it, because those
    /// cells stay in the KV cache in any case.
    pub(in crate::engine::scheduler) fn swap_out_excess(&mut self) {
        let limits = self.swap.limits;
        let mut allowance = CopyAllowance::Bytes(match self.is_any_decoding() {
            true => limits.excess_decoding,
            false => limits.excess_prefilling,
        });
        while self.swap.check_excess && !allowance.is_used_up() {
            let next = match self.has_excess() {
                true => self.cache.next_to_swap_out(|tokens| self.is_in_use(tokens)),
                false => None,
            };
            let Some((key, seq)) = next else {
                self.swap.check_excess = false;
                self.swap.copying = None;
                return;
            };
            if self.swap_out(key, seq, &mut allowance, None) == CopyOutcome::InProgress {
                return;
            }
        }
    }

    /// Whether the KV cache holds more tokens of cached sequences than it should while requests
    /// run.
    pub(super) fn has_excess(&self) -> bool {
        self.cache.resident_tokens() > self.model.cacheable_tokens()
    }

    /// Swaps out the cached sequence `key`, which is in `seq`, once it has a copy. Copies of other
    /// sequences except `excepted` may be dropped for that. A near duplicate is removed instead.
    pub(super) fn swap_out(
        &mut self,
        key: CacheKey,
        seq: SeqId,
        allowance: &mut CopyAllowance,
        excepted: Option<CacheKey>,
    ) -> CopyOutcome {
        let is_begun = self.swap.copying.as_ref().is_some_and(|partial| partial.key == key);
        if !is_begun && self.cache.is_nearly_duplicate(key) {
            self.remove_cached(key, seq);
            return CopyOutcome::Complete;
        }
        let is_mirrored = self.cache.get(key).is_some_and(|cached| cached.copy.is_some());
        let outcome = match is_mirrored {
            true => CopyOutcome::Complete,
            false => self.copy_to_host(key, seq, allowance, OtherCopies::MayBeDropped { excepted }),
        };
        match outcome {
            CopyOutcome::Complete => {
                if let Some(emptied) = self.cache.swap_out(key) {
                    self.model.truncate(emptied, 0);
                    self.metrics.swapped_out();
                }
            }
            CopyOutcome::InProgress => {}
            CopyOutcome::Impossible => self.cache.keep_resident(key),
        }
        outcome
    }

    /// Removes the cached sequence `key`, which is in `seq`.
    pub(super) fn remove_cached(&mut self, key: CacheKey, seq: SeqId) {
        self.cache.remove(key);
        self.model.truncate(seq, 0);
    }

    /// Whether any slot has completed its prefill, even if it is paused.
    pub(super) fn is_any_decoding(&self) -> bool {
        self.running().any(|slot| !slot.is_prefilling())
    }

    /// Whether a running request shares more than half of `tokens`.
    fn is_in_use(&self, tokens: &[Token]) -> bool {
        self.running()
            .any(|slot| 2 * common_prefix(&slot.tokens[..slot.n_computed], tokens) > tokens.len())
    }
}
