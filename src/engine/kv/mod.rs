//! The KV cache: which sequence each slot holds, and which are in host RAM.
//!
//! [`KvCache`] owns the sequences of finished requests, the *cached* ones. A cached sequence stays
//! in its slot until another request takes the slot; before that it gets a copy in host RAM, if it
//! is worth one. The sequences of suspended requests are cached ones as well (`kept`). The
//! residency of a sequence and its changes are in `residency`, the choice of a slot is in `choice`
//! and `placement`, and the copying is in `copy`. Running sequences belong to their slots.
//!
//! The scheduler asks where a request goes ([`KvCache::place`]), lets copies make progress
//! ([`KvCache::prepare`], [`KvCache::mirror`]), and says when a request takes a slot
//! ([`KvCache::occupy`]) and leaves it ([`KvCache::store`], [`KvCache::keep`]). Prompts are
//! compared with the cached sequences one by one, since there are few of them. (ADR-0007, ADR-0028)

mod choice;
mod copy;
mod export;
mod kept;
mod matches;
mod placement;
mod residency;
mod sequence;

use std::time::Instant;

use crate::domain::Token;
use crate::engine::model::{Model, PrefillRecord, SeqId};

use self::copy::{CopyOutcome, Others, PartialCopy};
use self::export::cut;
use self::placement::{Cost, Source};
use self::residency::Residency;
use self::sequence::{CachedSequence, Owner};

pub(super) use self::copy::CopyLimits;
#[cfg(test)]
pub(super) use self::copy::IDLE_BEFORE_MIRRORING;
pub(super) use self::export::Export;
pub(super) use self::kept::KeptCost;
pub(super) use self::matches::MIN_REUSED_TOKENS;
pub(super) use self::placement::Placement;
pub(super) use self::sequence::{CacheKey, common_prefix};

/// The cached sequences, and the copies of them that are being made.
#[derive(Debug)]
pub(super) struct KvCache {
    /// In no particular order.
    sequences: Vec<CachedSequence>,
    /// Most bytes of copies in host RAM.
    max_copy_bytes: usize,
    /// How much an iteration may copy.
    pub(super) limits: CopyLimits,
    /// The copy in progress, if any.
    copying: Option<PartialCopy>,
    /// Number of insertions and uses so far. Orders the sequences by their last use, and numbers
    /// the keys.
    n_uses: u64,
    /// Whether sequences may be left to mirror.
    check_mirrors: bool,
    /// When a request last left a slot.
    last_release: Option<Instant>,
}

/// The sequence of a running request, as far as it is computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunningSequence<'a> {
    pub(super) slot: SeqId,
    /// The computed tokens; none if other requests may not reuse them.
    pub(super) tokens: &'a [Token],
    /// How the tokens were computed.
    pub(super) record: PrefillRecord,
}

/// What a request finds in its slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reused {
    /// Number of first prompt tokens whose KV data is there.
    pub(super) n_tokens: usize,
    /// How they were computed.
    pub(super) record: PrefillRecord,
    /// Whether they were imported from host RAM.
    pub(super) is_imported: bool,
    /// Whether another sequence was in the slot that is now in host RAM only.
    pub(super) is_swapped_out: bool,
}

impl KvCache {
    /// An empty cache with `max_copy_bytes` of host RAM.
    pub(super) fn new(max_copy_bytes: usize) -> Self {
        Self {
            sequences: Vec::new(),
            max_copy_bytes,
            limits: CopyLimits::default(),
            copying: None,
            n_uses: 0,
            check_mirrors: false,
            last_release: None,
        }
    }

    /// Continues the copy that `placement` needs before [`Self::occupy`], with at most `allowance`
    /// bytes, which are subtracted. False if more iterations are needed.
    pub(super) fn prepare<M: Model>(
        &mut self,
        model: &mut M,
        placement: &Placement,
        allowance: &mut usize,
    ) -> bool {
        let Some(key) = placement.to_copy else { return true };
        let except = match placement.source {
            Source::Host(source) => Some(source),
            Source::None | Source::InPlace(_) | Source::Slot(_) => None,
        };
        match self.copy_to_host(model, key, allowance, Others::MayBeDropped { except }) {
            CopyOutcome::Complete => true,
            CopyOutcome::InProgress => false,
            CopyOutcome::Impossible => {
                if let Some(cached) = self.get_mut(key) {
                    cached.may_copy = false;
                }
                true
            }
        }
    }

    /// Gives the slot of `placement` to a request. The sequence that was there stays cached if it
    /// has a copy. Returns what the request finds in the slot.
    pub(super) fn occupy<M: Model>(&mut self, model: &mut M, placement: &Placement) -> Reused {
        let is_cached = self.leave_slot(placement.slot);
        let goes_on = matches!(placement.source, Source::InPlace(_));
        let reused = self.fetch(model, placement, &mut None);
        Reused { is_swapped_out: is_cached && !goes_on, ..reused }
    }

    /// Gives the running request in `slot`, which has computed `n_computed` tokens of `prompt`, a
    /// longer prefix of a cached sequence or of one of `donors`. `None` if there is none; nothing
    /// has changed then. `exported` holds the last export, which several slots may need.
    pub(super) fn replace<M: Model>(
        &mut self,
        model: &mut M,
        (slot, prompt, n_computed): (SeqId, &[Token], usize),
        donors: &[RunningSequence<'_>],
        exported: &mut Option<Export>,
    ) -> Option<Reused> {
        let found = self.matches_to_copy(model, prompt, donors, false);
        let longer =
            found.into_iter().filter(|found| found.n_reused >= n_computed + MIN_REUSED_TOKENS);
        let best = longer.max_by_key(|found| {
            found.value(Cost { n_copied: found.n_copied, ..Cost::default() })
        })?;
        Some(self.fetch(model, &Placement { slot, ..best }, exported))
    }

    /// Caches the sequence that a finished request leaves in `slot`. Shorter sequences that it
    /// contains are removed. If another slot holds a sequence that contains it, `slot` is emptied.
    pub(super) fn store<M: Model>(
        &mut self,
        model: &mut M,
        slot: SeqId,
        tokens: Vec<Token>,
        record: PrefillRecord,
    ) {
        let contains = |model: &M, slot: SeqId, longer: &[Token], shorter: &[Token]| {
            longer.starts_with(shorter) && model.resumable(slot, shorter.len()) == shorter.len()
        };
        let is_contained = |cached: &&CachedSequence| {
            !cached.is_kept() && contains(model, slot, &tokens, &cached.tokens)
        };
        let contained: Vec<CacheKey> =
            self.sequences.iter().filter(is_contained).map(|cached| cached.key).collect();
        contained.into_iter().for_each(|key| self.remove(model, key));
        let container = self.sequences.iter().find(|cached| {
            let other = cached.residency.slot();
            other.is_some_and(|other| contains(model, other, &cached.tokens, &tokens))
                && !cached.is_kept()
        });
        if let Some(key) = container.map(|cached| cached.key) {
            self.touch(key);
            model.truncate(slot, 0);
            return;
        }
        self.n_uses += 1;
        self.sequences.push(CachedSequence {
            key: self.n_uses,
            tokens,
            record,
            residency: Residency::Slot(slot),
            last_used: self.n_uses,
            may_copy: true,
            owner: Owner::Nobody,
        });
        self.check_mirrors = self.max_copy_bytes > 0;
    }

    /// Notes that a request has left its slot.
    pub(super) fn released(&mut self, now: Instant) {
        self.last_release = Some(now);
    }

    /// Number of tokens of cached sequences in slots.
    pub(super) fn tokens_in_slots(&self) -> usize {
        let in_slots = self.sequences.iter().filter(|cached| cached.residency.slot().is_some());
        in_slots.map(|cached| cached.tokens.len()).sum()
    }

    /// Number of copies in host RAM, and their bytes.
    pub(super) fn copies(&self) -> (usize, usize) {
        let copies = self.sequences.iter().filter(|cached| cached.residency.copy().is_some());
        copies.fold((0, 0), |(n, bytes), cached| (n + 1, bytes + cached.copy_bytes()))
    }

    /// The slots that hold a cached sequence.
    #[cfg(test)]
    pub(super) fn slots(&self) -> Vec<SeqId> {
        self.sequences.iter().filter_map(|cached| cached.residency.slot()).collect()
    }

    /// Whether a copy is in progress.
    #[cfg(test)]
    pub(super) fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// Brings the prefix of `placement` into its slot. What else is in the slot is dropped.
    fn fetch<M: Model>(
        &mut self,
        model: &mut M,
        placement: &Placement,
        exported: &mut Option<Export>,
    ) -> Reused {
        let Placement { slot, source, n_reused, record, .. } = *placement;
        let mut is_imported = false;
        let n_tokens = match source {
            Source::None => cut(model, slot, 0),
            Source::InPlace(key) => {
                // It is still cached if it has a copy.
                self.touch(key);
                cut(model, slot, n_reused)
            }
            Source::Host(key) => {
                model.truncate(slot, 0);
                self.touch(key);
                let copy = self.get(key).and_then(|cached| cached.residency.copy());
                is_imported = copy.is_some_and(|copy| model.import(slot, copy));
                if !is_imported {
                    // An import that failed once would fail again.
                    self.remove(model, key);
                }
                cut(model, slot, if is_imported { n_reused } else { 0 })
            }
            Source::Slot(from) => {
                if exported.as_ref().is_none_or(|export| export.from != from) {
                    *exported = Export::of(model, from);
                }
                model.truncate(slot, 0);
                let is_copied = exported.as_ref().is_some_and(|export| export.import(model, slot));
                cut(model, slot, if is_copied { n_reused } else { 0 })
            }
        };
        let record = record.first(n_tokens);
        Reused { n_tokens, record, is_imported, is_swapped_out: false }
    }

    /// Ends the stay of the cached sequence in `slot`, if there is one. It remains cached if it has
    /// a copy; returns whether it does.
    fn leave_slot(&mut self, slot: SeqId) -> bool {
        let i = self.sequences.iter().position(|cached| cached.residency.slot() == Some(slot));
        i.is_some_and(|i| self.change(i, Residency::leave_slot))
    }

    /// Changes the residency of the sequence at index `i`. Removes it if nothing is left of it, and
    /// returns false then.
    fn change(&mut self, i: usize, event: impl FnOnce(Residency) -> Option<Residency>) -> bool {
        let mut cached = self.sequences.swap_remove(i);
        if self.copying.as_ref().is_some_and(|partial| partial.key == cached.key) {
            self.copying = None;
        }
        match event(cached.residency) {
            Some(residency) => {
                cached.residency = residency;
                self.sequences.push(cached);
                true
            }
            None => false,
        }
    }

    /// Removes the sequence `key` with its copy, and empties its slot.
    fn remove<M: Model>(&mut self, model: &mut M, key: CacheKey) {
        if let Some(i) = self.sequences.iter().position(|cached| cached.key == key) {
            if let Some(slot) = self.sequences[i].residency.slot() {
                model.truncate(slot, 0);
            }
            self.change(i, |_| None);
        }
    }

    /// Marks the sequence `key` as just used.
    fn touch(&mut self, key: CacheKey) {
        self.n_uses += 1;
        let last_used = self.n_uses;
        if let Some(cached) = self.get_mut(key) {
            cached.last_used = last_used;
        }
    }

    /// The cached sequence in `slot`.
    fn in_slot(&self, slot: SeqId) -> Option<&CachedSequence> {
        self.sequences.iter().find(|cached| cached.residency.slot() == Some(slot))
    }

    fn get(&self, key: CacheKey) -> Option<&CachedSequence> {
        self.sequences.iter().find(|cached| cached.key == key)
    }

    fn get_mut(&mut self, key: CacheKey) -> Option<&mut CachedSequence> {
        self.sequences.iter_mut().find(|cached| cached.key == key)
    }
}

/// Largest number of tokens of a short rest: prefilling them again takes one step. (ADR-0003)
const SHORT_REST_TOKENS: usize = 16;

#[cfg(test)]
mod tests;
