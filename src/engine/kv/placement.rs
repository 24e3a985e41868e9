//! Chooses the slot of a request, and what of its prompt is reused.
//!
//! Every possibility has a value in prompt tokens: those that need not be computed, less the costs
//! of copying and of what is lost. The best one wins. This is arithmetic; the possibilities come
//! from [`KvCache::place`](super::KvCache::place).

use crate::engine::model::{MAX_SLOT_GAP, PrefillRecord, SeqId};

use super::CacheKey;

/// Where a request gets a slot, and what it finds there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Placement {
    /// The slot.
    pub(in crate::engine) slot: SeqId,
    /// Where the first tokens of the prompt come from.
    pub(super) source: Source,
    /// Number of prompt tokens that are reused.
    pub(super) n_reused: usize,
    /// Number of prompt tokens that the source has. Some of them may have to be computed again.
    pub(super) n_matched: usize,
    /// Number of tokens that are copied into the slot, and out of another one before.
    pub(super) n_copied: usize,
    /// How the tokens of the source were computed.
    pub(super) record: PrefillRecord,
    /// The cached sequence in the slot, if it is to have a copy before the request takes the slot.
    pub(super) to_copy: Option<CacheKey>,
}

/// Where the first tokens of a prompt come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From nowhere: the slot computes them.
    None,
    /// The cached sequence in the slot itself.
    InPlace(CacheKey),
    /// The copy of a cached sequence in host RAM.
    Host(CacheKey),
    /// Another slot.
    Slot(SeqId),
}

/// What a possibility costs besides the tokens to compute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Number of tokens to copy: out of the slot, and into it.
    pub(super) n_copied: usize,
    /// Number of tokens in the slot that are lost.
    pub(super) n_lost: usize,
    /// Whether steps compute the slot in a pass of its own, far from the running slots.
    pub(super) is_apart: bool,
}

impl Placement {
    /// The placement in `slot` that reuses nothing.
    pub(super) fn without_reuse(slot: SeqId) -> Self {
        Self {
            slot,
            source: Source::None,
            n_reused: 0,
            n_matched: 0,
            n_copied: 0,
            record: PrefillRecord::default(),
            to_copy: None,
        }
    }

    /// The value of the placement in prompt tokens.
    pub(super) fn value(&self, cost: Cost) -> i64 {
        let apart = if cost.is_apart { APART_TOKENS } else { 0 };
        let spent = cost.n_copied / COPIED_PER_COMPUTED + cost.n_lost + apart;
        self.n_reused as i64 - spent as i64
    }
}

/// Whether a step computes `slot` in a pass of its own, given the slots that run. Slots with at
/// most [`MAX_SLOT_GAP`] others between them are computed together.
pub(super) fn is_apart(slot: SeqId, running: impl Iterator<Item = SeqId>) -> bool {
    running
        .map(|other| other.abs_diff(slot))
        .min()
        .is_some_and(|distance| distance as usize > MAX_SLOT_GAP + 1)
}

/// Number of tokens that are copied in the time in which one is computed. With more than that a
/// small model computes a prefix sooner than it is copied. (ADR-0028)
const COPIED_PER_COMPUTED: usize = 16;

/// What a pass of its own costs an answer of usual length, in prompt tokens. (ADR-0028)
const APART_TOKENS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_what_is_reused_less_what_it_costs() {
        let placement = |n_reused| Placement { n_reused, ..Placement::without_reuse(0) };
        for (n_reused, cost, value) in [
            (100, Cost::default(), 100),
            (100, Cost { n_copied: 800, ..Cost::default() }, 50),
            (30, Cost { n_lost: 500, ..Cost::default() }, -470),
            (300, Cost { is_apart: true, ..Cost::default() }, 44),
        ] {
            assert_eq!(placement(n_reused).value(cost), value);
        }
    }

    #[test]
    fn slot_is_apart_from_slots_that_are_more_than_two_away() {
        for (slot, running, apart) in [
            (5, vec![], false),
            (5, vec![2, 9], false),
            (5, vec![1], true),
            (0, vec![4, 7], true),
            (0, vec![3], false),
        ] {
            assert_eq!(is_apart(slot, running.clone().into_iter()), apart, "{slot} {running:?}");
        }
    }
}
