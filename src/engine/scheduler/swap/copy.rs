//! Copies one cached sequence from the KV cache to host RAM, over several iterations if necessary.
//!
//! A copy in progress is stored in [`SwapState`](super::SwapState) and continues in the next
//! iteration. There is at most one. When and for whom a sequence is copied is decided by the other
//! files of this module.

use crate::engine::model::{Model, SeqId};
use crate::engine::prefix_cache::{CacheKey, HostCopy};
use crate::engine::scheduler::Scheduler;

use super::CopyAllowance;

/// The incomplete copy of a cached sequence.
#[derive(Debug)]
pub(in crate::engine::scheduler) struct PartialCopy {
    /// The sequence that is being copied.
    pub(super) key: CacheKey,
    /// Approximate bytes of the complete copy.
    size: usize,
    /// The chunks so far.
    pub(in crate::engine::scheduler) copy: HostCopy,
}

/// The result of copying or swapping out a cached sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyOutcome {
    /// The sequence is mirrored or swapped out.
    Complete,
    /// A part is copied. The next iteration continues.
    InProgress,
    /// The sequence cannot be copied: its copy does not fit, or the model cannot export it.
    Impossible,
}

/// What happens to other copies if a new one does not fit in addition to them.
#[derive(Debug, Clone, Copy)]
pub(super) enum OtherCopies {
    /// They stay, and no new copy is made.
    Stay,
    /// The least recently used ones are dropped.
    MayBeDropped {
        /// A sequence that is about to be used, whose copy stays.
        excepted: Option<CacheKey>,
    },
}

impl<M: Model> Scheduler<M> {
    /// Starts or continues copying the cached sequence `key`, which is in `seq`, as far as the
    /// allowance goes. A complete copy is attached to the sequence.
    pub(super) fn copy_to_host(
        &mut self,
        key: CacheKey,
        seq: SeqId,
        allowance: &mut CopyAllowance,
        others: OtherCopies,
    ) -> CopyOutcome {
        if allowance.is_used_up() {
            return CopyOutcome::InProgress;
        }
        // A partial copy of another sequence is dropped: only one may be in progress.
        let resumed = self.swap.copying.take().filter(|partial| partial.key == key);
        let Some(partial) = resumed.or_else(|| self.start_copy(key, seq, others)) else {
            return CopyOutcome::Impossible;
        };
        let copy = match self.export_chunks(partial, seq, allowance) {
            Ok(copy) => copy,
            Err(outcome) => return outcome,
        };
        if !self.make_space_for_copy(copy.bytes(), others) {
            return CopyOutcome::Impossible;
        }
        self.cache.attach_copy(key, copy);
        CopyOutcome::Complete
    }

    /// An empty copy of the cached sequence `key`, if a complete one fits.
    fn start_copy(
        &mut self,
        key: CacheKey,
        seq: SeqId,
        others: OtherCopies,
    ) -> Option<PartialCopy> {
        let size = self.model.swap_size(seq);
        let fits = self.make_space_for_copy(size, others);
        fits.then(|| PartialCopy { key, size, copy: HostCopy::default() })
    }

    /// Adds chunks to a copy until it is complete. Stores the partial copy if the allowance runs
    /// out, or if a request is cancelled. Drops it if the model cannot export the sequence.
    fn export_chunks(
        &mut self,
        mut partial: PartialCopy,
        seq: SeqId,
        allowance: &mut CopyAllowance,
    ) -> Result<HostCopy, CopyOutcome> {
        let cached = self.cache.get(partial.key).ok_or(CopyOutcome::Impossible)?;
        let n_tokens = cached.tokens.len();
        let chunk_tokens = allowance.chunk_bytes().saturating_mul(n_tokens) / partial.size.max(1);
        while partial.copy.n_tokens() < n_tokens {
            let must_stop = *allowance != CopyAllowance::Unlimited && self.is_any_cancelled();
            if must_stop || allowance.is_used_up() {
                self.swap.copying = Some(partial);
                return Err(CopyOutcome::InProgress);
            }
            let start = partial.copy.n_tokens();
            let end = n_tokens.min(start + chunk_tokens.max(1));
            let chunk = self.model.swap_out(seq, start..end).ok_or(CopyOutcome::Impossible)?;
            allowance.spend(chunk.len());
            partial.copy.push(end, chunk);
        }
        Ok(partial.copy)
    }

    /// Makes space in host RAM for a copy of `size` bytes. False if it does not fit.
    fn make_space_for_copy(&mut self, size: usize, others: OtherCopies) -> bool {
        if size == 0 || size > self.cache.max_copy_bytes() {
            return false;
        }
        if let OtherCopies::MayBeDropped { excepted } = others {
            self.cache.evict_copies_for(size, excepted);
        }
        self.cache.has_space_for_copy(size)
    }

    /// Whether a running request, or the next one in the queue, was cancelled and has not ended
    /// yet.
    fn is_any_cancelled(&self) -> bool {
        let running = self.running().map(|slot| &slot.job);
        running.chain(self.queue.peek()).any(|job| job.cancel.is_set())
    }
}
