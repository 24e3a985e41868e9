//! Chooses where a request goes: gathers the possibilities, and takes the one with the highest
//! value.

use crate::domain::Token;
use crate::engine::model::{Model, SeqId};

use super::placement::{Cost, Placement, Source, is_apart};
use super::sequence::CacheKey;
use super::{KvCache, RunningSequence, SHORT_REST_TOKENS};

/// What becomes of the sequence in a slot that a request takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Displaced {
    /// The sequence, if it is to be copied before.
    pub(super) to_copy: Option<CacheKey>,
    /// Number of tokens to copy.
    n_to_copy: usize,
    /// Number of tokens that are lost.
    n_lost: usize,
}

impl KvCache {
    /// Where a request with `prompt` goes, given the `free` slots and the running sequences; `None`
    /// without a free slot. An empty prompt reuses nothing. While nothing else runs, what is reused
    /// does not change the answer.
    pub(in crate::engine) fn place<M: Model>(
        &self,
        model: &M,
        prompt: &[Token],
        free: &[SeqId],
        running: &[RunningSequence<'_>],
    ) -> Option<Placement> {
        let is_apart = |slot| is_apart(slot, running.iter().map(|other| other.slot));
        let other = self.slot_without_reuse(free, running)?;
        let exactly = running.is_empty();
        let in_place = self.matches_in_place(model, prompt, exactly);
        let in_place = in_place.into_iter().map(|found| {
            let displaced = self.displaced(model, found.slot, found.n_matched);
            (found, displaced)
        });
        let displaced = self.displaced(model, other, 0);
        let copied = self.matches_to_copy(model, prompt, running, exactly);
        let copied = copied
            .into_iter()
            .filter(|found| found.source != Source::Slot(other))
            .chain([Placement::without_reuse(other)])
            .map(|found| (Placement { slot: other, ..found }, displaced));
        let value = |(placement, displaced): &(Placement, Displaced)| {
            placement.value(Cost {
                n_copied: placement.n_copied + displaced.n_to_copy,
                n_lost: displaced.n_lost,
                is_apart: is_apart(placement.slot),
            })
        };
        // Of equal values the last one is chosen: reuse in place.
        let (best, displaced) = copied.chain(in_place).max_by_key(value)?;
        Some(Placement { to_copy: displaced.to_copy, ..best })
    }

    /// The slot of a request that reuses nothing in place: a neighbour of the running slots, an
    /// empty slot, or the one whose sequence was not used for the longest time. `None` without a
    /// free slot.
    pub(super) fn slot_without_reuse(
        &self,
        free: &[SeqId],
        running: &[RunningSequence<'_>],
    ) -> Option<SeqId> {
        free.iter().copied().min_by_key(|&slot| {
            let last_used = self.in_slot(slot).map_or(0, |cached| cached.last_used);
            (is_apart(slot, running.iter().map(|other| other.slot)), last_used, slot)
        })
    }

    /// What happens to the sequence in `slot` when a request takes the slot and keeps the first
    /// `n_kept` tokens.
    pub(super) fn displaced<M: Model>(&self, model: &M, slot: SeqId, n_kept: usize) -> Displaced {
        let Some(cached) = self.in_slot(slot) else { return Displaced::default() };
        let n_tokens = cached.tokens.len();
        let rest = n_tokens - n_kept;
        let is_dispensable =
            || rest <= SHORT_REST_TOKENS || self.is_nearly_duplicate(model, cached);
        // The request of a kept sequence needs all of it.
        if cached.residency.copy().is_some() || !cached.is_kept() && is_dispensable() {
            Displaced::default()
        } else if cached.may_copy && self.max_copy_bytes > 0 {
            Displaced { to_copy: Some(cached.key), n_to_copy: n_tokens, n_lost: 0 }
        } else {
            Displaced { n_lost: rest, ..Displaced::default() }
        }
    }
}
