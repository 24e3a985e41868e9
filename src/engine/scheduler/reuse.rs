//! Gives a slot a prefix that was computed for another sequence.
//!
//! The prefix comes from a running slot or from a cached sequence. In the KV cache it is shared
//! without copying data; from host RAM it is imported. If an import fails, the slot computes the
//! prefix itself.

use crate::domain::Token;
use crate::engine::model::{Model, SeqId};
use crate::engine::prefix_cache::{CacheKey, CachedSequence, common_prefix};

use super::Scheduler;
use super::slot::Slot;

/// Where a prefix comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixSource {
    /// The sequence of a running slot.
    Running(SeqId),
    /// A cached sequence.
    Cached(CacheKey),
}

impl PrefixSource {
    /// The cached sequence, if it is one.
    pub(super) fn cache_key(self) -> Option<CacheKey> {
        match self {
            Self::Running(_) => None,
            Self::Cached(key) => Some(key),
        }
    }
}

/// A prefix that a prompt shares with another sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixMatch {
    /// The sequence that has the prefix.
    pub(super) source: PrefixSource,
    /// Number of tokens of the prefix.
    pub(super) n_tokens: usize,
}

impl<M: Model> Scheduler<M> {
    /// The longest prefix of `prompt` in a cached sequence or in a slot admitted before `order`.
    /// `None` unless it has at least [`MIN_SHARED_TOKENS`] more than the `n_computed` tokens that
    /// the slot has already.
    ///
    /// Of several equally long prefixes, one of a running slot is preferred to one of a cached
    /// sequence, and one in the KV cache to one in host RAM. An import must fit into the KV cache
    /// in addition to the reserved tokens and `n_resident` tokens of cached sequences.
    pub(super) fn best_prefix(
        &self,
        prompt: &[Token],
        order: u64,
        n_computed: usize,
        n_resident: usize,
    ) -> Option<PrefixMatch> {
        let space = self.limits.kv_tokens.saturating_sub(self.n_reserved() + n_resident);
        let cached = self.cache.longest_prefix(prompt, |cached, n| {
            let to_import = cached.n_to_import(n);
            to_import <= space && to_import <= n * MAX_IMPORTED_PER_SHARED
        });
        let cached = cached
            .map(|(key, n_tokens)| PrefixMatch { source: PrefixSource::Cached(key), n_tokens });
        let sharing = self.donors_before(order).filter(|_| self.may_share());
        let running = sharing.map(|other| PrefixMatch {
            source: PrefixSource::Running(other.seq),
            n_tokens: common_prefix(&other.tokens[..other.n_computed], prompt),
        });
        let best = cached.into_iter().chain(running).max_by_key(|prefix| prefix.n_tokens);
        best.filter(|prefix| prefix.n_tokens >= n_computed + MIN_SHARED_TOKENS)
    }

    /// Replaces the tokens that `slot` has in the KV cache by `prefix`.
    pub(super) fn reuse_prefix(
        &mut self,
        slot: &mut Slot<M::Sampler>,
        prefix: Option<PrefixMatch>,
    ) {
        let Some(PrefixMatch { source, n_tokens }) = prefix else { return };
        let n = match source {
            PrefixSource::Running(from) => self.share(from, slot, n_tokens),
            PrefixSource::Cached(key) => self.reuse_cached(key, slot, n_tokens),
        };
        let Some(n) = n else { return };
        // After a failed import there are fewer tokens than before.
        slot.n_cached = (slot.n_cached + n).saturating_sub(slot.n_computed);
        slot.n_computed = n;
    }

    /// Gives `slot` the first `n` tokens of the cached sequence `key`. Returns the number of tokens
    /// that `slot` then has, which is 0 after a failed import; `None` if nothing has changed.
    fn reuse_cached(&mut self, key: CacheKey, slot: &Slot<M::Sampler>, n: usize) -> Option<usize> {
        self.cache.touch(key)?;
        let cached = self.cache.get(key)?;
        let is_consumed = self.is_consumed(cached, n);
        let n = match cached.seq {
            Some(from) => self.share(from, slot, n),
            None => Some(self.import(key, slot.seq, n)),
        };
        // An import that failed once would fail again.
        let is_obsolete = n.is_some_and(|n| is_consumed || n == 0);
        let emptied = if is_obsolete { self.cache.remove(key) } else { None };
        if let Some(emptied) = emptied {
            self.model.truncate(emptied, 0);
        }
        n
    }

    /// Imports the first `n` tokens of the cached sequence `key` from host RAM into `to`. Returns
    /// the number of tokens that `to` then has; 0 if the import failed.
    fn import(&mut self, key: CacheKey, to: SeqId, n: usize) -> usize {
        self.model.truncate(to, 0);
        let copy = self.cache.get(key).and_then(|cached| cached.copy.as_ref());
        let mut chunks = copy.into_iter().flat_map(|copy| copy.chunks(n));
        let is_complete = chunks.all(|chunk| self.model.swap_in(to, chunk));
        if is_complete {
            self.metrics.swapped_in();
        }
        let n = if is_complete { self.model.shareable(to, n) } else { 0 };
        self.model.truncate(to, n);
        n
    }

    /// Shares the first `n` tokens of `from` with `slot`, or those that the model can still share.
    /// Returns their number; `None` if they are not at least [`MIN_SHARED_TOKENS`] more than the
    /// slot has, and nothing was changed.
    fn share(&mut self, from: SeqId, slot: &Slot<M::Sampler>, n: usize) -> Option<usize> {
        let n = self.model.shareable(from, n);
        if n < slot.n_computed + MIN_SHARED_TOKENS {
            return None;
        }
        self.model.truncate(slot.seq, 0);
        self.model.share(from, slot.seq, n);
        Some(n)
    }

    /// Whether a cached sequence is removed when a slot reuses its first `n` tokens. That is the
    /// case if fewer than [`MIN_SHARED_TOKENS`] others are left, because the sequence of the slot
    /// will be cached in its place, or if the model cannot share sequences.
    pub(super) fn is_consumed(&self, cached: &CachedSequence, n: usize) -> bool {
        cached.tokens.len() < n + MIN_SHARED_TOKENS || !self.may_share()
    }

    /// Whether two sequences may share cells of the KV cache.
    pub(super) fn may_share(&self) -> bool {
        self.model.max_sequences().is_none()
    }

    /// The running slots that were admitted before `order` and may share their prefix.
    pub(super) fn donors_before(&self, order: u64) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.running().filter(move |slot| slot.order < order && slot.job.params.cache_prompt)
    }
}

/// Smallest number of tokens that are worth sharing: sharing a sequence visits every cell of the KV
/// cache.
pub(super) const MIN_SHARED_TOKENS: usize = 8;

/// Largest number of tokens that are imported for each token of a shared prefix. With more than
/// that a small model computes the prefix in the time of the import.
const MAX_IMPORTED_PER_SHARED: usize = 16;
