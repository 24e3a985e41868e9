//! Sequences of suspended requests, which are *kept* until their requests go on.
//!
//! A kept sequence is a cached one with an owner. It stays in its slot until another request takes
//! the slot, and is copied to host RAM before. No other copy makes it lose its own. If its copy
//! does not fit, it is lost, and its request computes its tokens again.

use crate::domain::Token;
use crate::engine::model::{Model, PrefillRecord, SeqId};

use super::placement::{Placement, Source};
use super::residency::Residency;
use super::sequence::{CacheKey, CachedSequence, Owner};
use super::{KvCache, RunningSequence};

/// What it costs a running request to be suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum KeptCost {
    /// A copy.
    Copied,
    /// A copy in the half of the host RAM that is reserved for what cannot wait.
    CopiedInReserve,
    /// All tokens are computed again.
    Lost,
}

impl KvCache {
    /// What it costs to suspend the running request in `slot`.
    pub(in crate::engine) fn cost_to_keep<M: Model>(&self, model: &mut M, slot: SeqId) -> KeptCost {
        let bytes = match self.max_copy_bytes {
            0 => 0,
            _ => model.export_size(slot),
        };
        let total = self.kept_bytes().saturating_add(bytes);
        match bytes {
            0 => KeptCost::Lost,
            _ if total <= self.max_copy_bytes / 2 => KeptCost::Copied,
            _ if total <= self.max_copy_bytes => KeptCost::CopiedInReserve,
            _ => KeptCost::Lost,
        }
    }

    /// Whether the copies of kept sequences leave space for requests that take turns regularly.
    pub(in crate::engine) fn has_space_for_turns(&self) -> bool {
        self.kept_bytes() < self.max_copy_bytes / 2
    }

    /// Bytes of the copies of kept sequences.
    fn kept_bytes(&self) -> usize {
        let kept = self.sequences.iter().filter(|cached| cached.is_kept());
        kept.map(CachedSequence::copy_bytes).sum()
    }

    /// Keeps the sequence that a suspended request leaves in `slot`; `None` if there is nothing to
    /// keep. Other requests may reuse it if it `is_shared`.
    pub(in crate::engine) fn keep<M: Model>(
        &mut self,
        model: &mut M,
        slot: SeqId,
        tokens: Vec<Token>,
        record: PrefillRecord,
        is_shared: bool,
    ) -> Option<CacheKey> {
        if tokens.is_empty() {
            model.truncate(slot, 0);
            return None;
        }
        self.n_uses += 1;
        self.sequences.push(CachedSequence {
            key: self.n_uses,
            tokens,
            record,
            residency: Residency::Slot(slot),
            last_used: self.n_uses,
            may_copy: true,
            owner: if is_shared { Owner::Sharing } else { Owner::Alone },
        });
        Some(self.n_uses)
    }

    /// Where the owner of the kept sequence `key` goes on: where the sequence is, or in one of the
    /// `free` slots. `None` if the sequence is lost, or without a free slot.
    pub(in crate::engine) fn place_kept<M: Model>(
        &self,
        model: &M,
        key: CacheKey,
        free: &[SeqId],
        running: &[RunningSequence<'_>],
    ) -> Option<Placement> {
        let kept = self.get(key)?;
        let n = kept.tokens.len();
        let found = Placement {
            n_reused: n,
            n_matched: n,
            record: kept.record,
            ..Placement::without_reuse(0)
        };
        if let Some(slot) = kept.residency.slot() {
            let source = Source::InPlace(key);
            return Some(Placement { slot, source, ..found });
        }
        let slot = self.slot_without_reuse(free, running)?;
        let to_copy = self.displaced(model, slot, 0).to_copy;
        Some(Placement { slot, source: Source::Host(key), n_copied: n, to_copy, ..found })
    }

    /// Drops the kept sequence `key`, whose request runs again.
    pub(in crate::engine) fn forget<M: Model>(&mut self, model: &mut M, key: CacheKey) {
        self.remove(model, key);
    }

    /// Makes the kept sequence `key` an ordinary cached one, because its request has ended. Drops
    /// it if only its request may use it.
    pub(in crate::engine) fn disown<M: Model>(&mut self, model: &mut M, key: CacheKey) {
        let is_shared = self.get(key).is_some_and(|cached| cached.owner == Owner::Sharing);
        match self.get_mut(key) {
            Some(cached) if is_shared => {
                cached.owner = Owner::Nobody;
                self.check_mirrors = self.max_copy_bytes > 0;
            }
            Some(_) => self.remove(model, key),
            None => {}
        }
    }
}
