//! Copies a cached sequence from its slot to host RAM, over several iterations if necessary.
//!
//! llama.cpp exports a sequence as a whole. Nearly all of the time goes into memory that the kernel
//! hands out for the first time, so each iteration takes a limited part of that memory, and the
//! last one exports. There is at most one copy in progress. (ADR-0028)

use std::time::{Duration, Instant};

use crate::engine::model::Model;

use super::residency::{HostCopy, Residency};
use super::sequence::{CacheKey, CachedSequence};
use super::{KvCache, SHORT_REST_TOKENS, common_prefix};

/// The bytes of memory that one iteration may take for copies, by what the copies delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct CopyLimits {
    /// While nothing runs: delays a request that arrives.
    pub(in crate::engine) idle: usize,
    /// For the next request while a slot decodes: delays its next token.
    pub(in crate::engine) decoding: usize,
    /// For the next request while no slot decodes: delays prefill.
    pub(in crate::engine) prefilling: usize,
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self { idle: 4 << 20, decoding: 16 << 20, prefilling: 256 << 20 }
    }
}

/// The incomplete copy of a cached sequence.
#[derive(Debug)]
pub(super) struct PartialCopy {
    /// The sequence that is being copied.
    pub(super) key: CacheKey,
    /// Bytes of the complete copy.
    size: usize,
    /// The memory that was taken so far.
    memory: Vec<u8>,
}

/// The result of copying a cached sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyOutcome {
    /// The sequence is mirrored.
    Complete,
    /// The next iteration continues.
    InProgress,
    /// The sequence cannot be copied, or its copy does not fit.
    Impossible,
}

/// What happens to other copies if a new one does not fit in addition to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// They stay, and no new copy is made.
    Stay,
    /// The least recently used ones are dropped, except kept ones.
    MayBeDropped {
        /// A sequence that is about to be used, whose copy stays.
        except: Option<CacheKey>,
    },
}

impl KvCache {
    /// When [`Self::mirror`] begins if nothing runs until then; `None` if nothing is to be done.
    pub(in crate::engine) fn mirroring_starts_at(&self) -> Option<Instant> {
        let last_release = self.last_release.filter(|_| self.check_mirrors);
        last_release.map(|at| at + IDLE_BEFORE_MIRRORING)
    }

    /// While nothing runs: copies a part of the next sequence that may have to leave its slot
    /// later. Drops no other copy for it.
    pub(in crate::engine) fn mirror<M: Model>(&mut self, model: &mut M, now: Instant) {
        if self.mirroring_starts_at().is_none_or(|start| now < start) {
            return;
        }
        let begun = self.copying.as_ref().map(|partial| partial.key);
        let outcome = match begun.or_else(|| self.next_to_mirror(model)) {
            Some(key) => self.copy_to_host(model, key, &mut { self.limits.idle }, Others::Stay),
            None => CopyOutcome::Impossible,
        };
        self.check_mirrors = outcome != CopyOutcome::Impossible;
    }

    /// Starts or continues the copy of the sequence `key`, with at most `allowance` bytes of
    /// memory, which are subtracted.
    pub(super) fn copy_to_host<M: Model>(
        &mut self,
        model: &mut M,
        key: CacheKey,
        allowance: &mut usize,
        others: Others,
    ) -> CopyOutcome {
        let Some(slot) = self.get(key).and_then(|cached| cached.residency.slot()) else {
            return CopyOutcome::Impossible;
        };
        // A partial copy of another sequence is dropped: only one may be in progress.
        let resumed = self.copying.take().filter(|partial| partial.key == key);
        let partial = resumed.or_else(|| {
            let size = model.export_size(slot);
            let fits = size > 0 && self.make_space(size, others);
            let mut memory = HostCopy::new();
            let has_memory = fits && memory.try_reserve_exact(size).is_ok();
            has_memory.then_some(PartialCopy { key, size, memory })
        });
        let Some(mut partial) = partial else { return CopyOutcome::Impossible };
        let n = (partial.size - partial.memory.len()).min(*allowance);
        *allowance -= n;
        partial.memory.resize(partial.memory.len() + n, 0);
        if partial.memory.len() < partial.size {
            self.copying = Some(partial);
            return CopyOutcome::InProgress;
        }
        let PartialCopy { size, mut memory, .. } = partial;
        let is_copied = self.make_space(size, others) && model.export(slot, &mut memory);
        let i = self.sequences.iter().position(|cached| cached.key == key);
        match i.filter(|_| is_copied) {
            Some(i) => {
                self.change(i, |residency| Some(residency.mirror(memory)));
                CopyOutcome::Complete
            }
            None => CopyOutcome::Impossible,
        }
    }

    /// The least recently used sequence that is in a slot only and worth a copy.
    pub(super) fn next_to_mirror<M: Model>(&self, model: &M) -> Option<CacheKey> {
        let is_next = |cached: &&CachedSequence| {
            let is_in_slot_only = matches!(cached.residency, Residency::Slot(_));
            is_in_slot_only && cached.may_copy && !self.is_nearly_duplicate(model, cached)
        };
        let oldest = self.sequences.iter().filter(is_next).min_by_key(|cached| cached.last_used);
        oldest.map(|cached| cached.key)
    }

    /// Whether `cached` is not worth a copy, because a more recently used sequence contains all of
    /// it except a short rest. The rest has at most [`SHORT_REST_TOKENS`] and is at most an eighth
    /// of the sequence. Once more than half of the host RAM is used, only the second limit applies.
    pub(super) fn is_nearly_duplicate<M: Model>(&self, model: &M, cached: &CachedSequence) -> bool {
        let is_ram_scarce = self.copies().1 > self.max_copy_bytes / 2;
        let max_rest = if is_ram_scarce { usize::MAX } else { SHORT_REST_TOKENS };
        let n = cached.tokens.len();
        let min_shared = n - max_rest.min(n / SHORT_REST_DIVISOR);
        self.sequences.iter().any(|other| {
            let n_shared = || common_prefix(&other.tokens, &cached.tokens);
            other.last_used > cached.last_used
                && !other.is_kept()
                && n_shared() >= min_shared
                && model.resumable_copy(other.tokens.len(), min_shared) == min_shared
        })
    }

    /// Makes space in host RAM for a copy of `bytes`. False if it does not fit.
    fn make_space(&mut self, bytes: usize, others: Others) -> bool {
        if bytes > self.max_copy_bytes {
            return false;
        }
        while !self.has_space_for(bytes) {
            let Others::MayBeDropped { except } = others else { return false };
            let droppable = (0..self.sequences.len()).filter(|&i| {
                let cached = &self.sequences[i];
                let has_copy = cached.residency.copy().is_some();
                has_copy && !cached.is_kept() && except != Some(cached.key)
            });
            let Some(oldest) = droppable.min_by_key(|&i| self.sequences[i].last_used) else {
                return false;
            };
            self.change(oldest, Residency::drop_copy);
        }
        true
    }

    /// Whether one more copy of `bytes` fits in addition to the others.
    fn has_space_for(&self, bytes: usize) -> bool {
        let (n, used) = self.copies();
        n < MAX_COPIES && used.saturating_add(bytes) <= self.max_copy_bytes
    }
}

/// How long nothing runs before sequences are mirrored, so that an immediate follow-up request is
/// not delayed.
pub(in crate::engine) const IDLE_BEFORE_MIRRORING: Duration = Duration::from_millis(100);

/// Most copies in host RAM, however small: each is compared with every prompt. (ADR-0007)
pub(super) const MAX_COPIES: usize = 1024;

/// A short rest is at most an eighth of its sequence.
const SHORT_REST_DIVISOR: usize = 8;
