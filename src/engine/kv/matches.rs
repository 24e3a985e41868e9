//! What a prompt can reuse of other sequences.

use crate::domain::Token;
use crate::engine::model::{Model, PrefillRecord};

use super::placement::{Placement, Source};
use super::residency::Residency;
use super::{KvCache, RunningSequence, common_prefix};

impl KvCache {
    /// For each cached sequence that is in a slot and has a prefix in common with `prompt`, the
    /// placement in its slot.
    pub(super) fn matches_in_place<M: Model>(
        &self,
        model: &M,
        prompt: &[Token],
        exactly: bool,
    ) -> Vec<Placement> {
        let unowned = self.sequences.iter().filter(|cached| !cached.is_kept());
        let matches = unowned.filter_map(|cached| {
            let slot = cached.residency.slot()?;
            let n_matched = common_prefix(&cached.tokens, prompt);
            let matched = Matched { n: n_matched, of: cached.tokens.len(), n_prompt: prompt.len() };
            let can_resume = |n| model.resumable(slot, n) == n;
            let n_reused = matched.reusable(model, cached.record, exactly, can_resume);
            (n_reused >= MIN_REUSED_TOKENS).then_some(Placement {
                source: Source::InPlace(cached.key),
                n_reused,
                n_matched,
                record: cached.record,
                ..Placement::without_reuse(slot)
            })
        });
        matches.collect()
    }

    /// For each cached or running sequence that has a prefix in common with `prompt`, a placement
    /// in another slot, which the caller has to set.
    pub(super) fn matches_to_copy<M: Model>(
        &self,
        model: &M,
        prompt: &[Token],
        running: &[RunningSequence<'_>],
        exactly: bool,
    ) -> Vec<Placement> {
        let cached = self.sequences.iter().map(|cached| {
            let copied = cached.tokens.len();
            let (source, n_copied) = match cached.residency {
                Residency::Slot(slot) => (Source::Slot(slot), 2 * copied),
                Residency::Mirrored(..) | Residency::Host(_) => (Source::Host(cached.key), copied),
            };
            (source, n_copied, cached.shared_tokens(), cached.record)
        });
        let running = running.iter().map(|running| {
            let RunningSequence { slot, tokens, record } = *running;
            (Source::Slot(slot), 2 * tokens.len(), tokens, record)
        });
        let matches = cached.chain(running).filter_map(|(source, n_copied, tokens, record)| {
            let n_matched = common_prefix(tokens, prompt);
            let len = tokens.len();
            let matched = Matched { n: n_matched, of: len, n_prompt: prompt.len() };
            let can_resume = |n| model.resumable_copy(len, n) == n;
            let n_reused = matched.reusable(model, record, exactly, can_resume);
            (n_reused >= MIN_REUSED_TOKENS).then_some(Placement {
                source,
                n_reused,
                n_matched,
                n_copied,
                record,
                ..Placement::without_reuse(0)
            })
        });
        matches.collect()
    }
}

/// A prompt and a sequence that begin alike.
struct Matched {
    /// Number of first tokens that both have.
    n: usize,
    /// Number of tokens of the sequence.
    of: usize,
    /// Number of tokens of the prompt.
    n_prompt: usize,
}

impl Matched {
    /// Number of tokens that the prompt reuses of the sequence, which was computed as `record`
    /// says. `exactly` says that the answer must be the same as without reuse. A model that cannot
    /// go on from there may go on from the end.
    fn reusable<M: Model>(
        &self,
        model: &M,
        record: PrefillRecord,
        exactly: bool,
        can_resume: impl Fn(usize) -> bool,
    ) -> usize {
        let rules = model.chunk_rules();
        let n = match exactly {
            true => rules.reusable(self.n, self.n_prompt, record),
            false => rules.longest(self.n, self.n_prompt),
        };
        if can_resume(n) {
            return n;
        }
        let is_whole = self.n == self.of && self.of < self.n_prompt && can_resume(self.of);
        if is_whole { self.of } else { 0 }
    }
}

/// Smallest number of tokens that are worth reusing. (ADR-0028)
pub(in crate::engine) const MIN_REUSED_TOKENS: usize = 8;
