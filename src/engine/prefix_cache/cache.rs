//! The records of all cached sequences: lookup by prefix, least-recently-used order, and limits.
//!
//! The cache owns the sequence ids of cached sequences and the copies in host RAM. It does not know
//! the model: methods that free a sequence id return it, and the caller empties it in the model.

use std::ops::Range;

use crate::domain::Token;
use crate::engine::model::SeqId;

use super::HostCopy;
use super::sequence::{CacheKey, CachedSequence, common_prefix};

/// The cached sequences.
#[derive(Debug)]
pub(in crate::engine) struct PrefixCache {
    /// In no particular order.
    sequences: Vec<CachedSequence>,
    /// Sequence ids of the KV cache that hold no cached sequence.
    free: Vec<SeqId>,
    /// Number of tokens in the KV cache. A prefix that two sequences share counts twice.
    resident_tokens: usize,
    /// Number of copies in host RAM, and their bytes.
    host_copies: (usize, usize),
    /// Most bytes of copies in host RAM.
    max_copy_bytes: usize,
    /// Number of insertions and uses so far. Orders the sequences by their last use, and numbers
    /// the keys.
    n_uses: u64,
}

impl PrefixCache {
    /// An empty cache for the sequence ids `ids` of the KV cache and `max_copy_bytes` of host RAM.
    pub(in crate::engine) fn new(ids: Range<SeqId>, max_copy_bytes: usize) -> Self {
        Self {
            sequences: Vec::new(),
            free: ids.rev().collect(),
            resident_tokens: 0,
            host_copies: (0, 0),
            max_copy_bytes,
            n_uses: 0,
        }
    }

    /// Number of tokens of cached sequences in the KV cache. A prefix that two sequences share
    /// counts twice.
    pub(in crate::engine) fn resident_tokens(&self) -> usize {
        self.resident_tokens
    }

    /// Number of copies in host RAM, and their bytes.
    pub(in crate::engine) fn host_copies(&self) -> (usize, usize) {
        self.host_copies
    }

    /// The cached sequence that shares the longest prefix with `prompt`, and the prefix's length.
    /// Of several equally long prefixes one in the KV cache is preferred, because it needs no
    /// import. `is_usable` gets a sequence and the length of its prefix; if it is false, the
    /// sequence is skipped.
    pub(in crate::engine) fn longest_prefix(
        &self,
        prompt: &[Token],
        is_usable: impl Fn(&CachedSequence, usize) -> bool,
    ) -> Option<(CacheKey, usize)> {
        self.sequences
            .iter()
            .map(|cached| (cached, common_prefix(&cached.tokens, prompt)))
            .filter(|&(cached, n)| n > 0 && is_usable(cached, n))
            .max_by_key(|&(cached, n)| (n, cached.seq.is_some()))
            .map(|(cached, n)| (cached.key, n))
    }

    /// The sequence `key`, without marking it as used.
    pub(in crate::engine) fn get(&self, key: CacheKey) -> Option<&CachedSequence> {
        self.sequences.iter().find(|cached| cached.key == key)
    }

    /// The sequence `key`, which is marked as just used.
    pub(in crate::engine) fn touch(&mut self, key: CacheKey) -> Option<&CachedSequence> {
        self.n_uses += 1;
        let last_used = self.n_uses;
        let cached = self.get_mut(key)?;
        cached.last_used = last_used;
        Some(cached)
    }

    /// Prepares to cache `tokens`: removes the sequences that are a prefix of them and, if they
    /// need a sequence id and none is free, the least recently used sequence in the KV cache.
    /// Returns the ids that the caller must empty in the model.
    pub(in crate::engine) fn evict_for(&mut self, tokens: &[Token]) -> Vec<SeqId> {
        let mut evicted: Vec<SeqId> = Vec::new();
        let is_prefix = |cached: &CachedSequence| {
            cached.tokens.len() < tokens.len() && tokens.starts_with(&cached.tokens)
        };
        while let Some(i) = self.sequences.iter().position(is_prefix) {
            evicted.extend(self.remove_at(i));
        }
        if self.free.is_empty() && self.containing(tokens).is_none() {
            let oldest = self.resident_by_age().first().copied();
            evicted.extend(oldest.and_then(|(key, _)| self.remove(key)));
        }
        evicted
    }

    /// Adds a sequence of `tokens` and returns the id of the sequence in the model that is to hold
    /// them. `None` if another sequence starts with them, which is then marked as used, or if no id
    /// is free. [`Self::evict_for`] must be called first.
    pub(in crate::engine) fn insert(&mut self, tokens: &[Token]) -> Option<SeqId> {
        if let Some(key) = self.containing(tokens) {
            self.touch(key);
            return None;
        }
        let seq = self.free.pop()?;
        self.n_uses += 1;
        self.resident_tokens += tokens.len();
        self.sequences.push(CachedSequence {
            key: self.n_uses,
            tokens: tokens.to_vec(),
            seq: Some(seq),
            copy: None,
            last_used: self.n_uses,
            may_swap_out: self.max_copy_bytes > 0,
        });
        Some(seq)
    }

    /// Removes the sequence `key`. The caller must empty the returned id in the model.
    pub(in crate::engine) fn remove(&mut self, key: CacheKey) -> Option<SeqId> {
        let i = self.sequences.iter().position(|cached| cached.key == key)?;
        self.remove_at(i)
    }

    /// The sequences in the KV cache, the least recently used first.
    pub(in crate::engine) fn resident_by_age(&self) -> Vec<(CacheKey, SeqId)> {
        let mut found: Vec<_> = self
            .sequences
            .iter()
            .filter_map(|cached| Some((cached.last_used, cached.key, cached.seq?)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, key, seq)| (key, seq)).collect()
    }

    /// The least recently used sequence in the KV cache that may be swapped out and whose tokens
    /// are not in use.
    pub(in crate::engine) fn next_to_swap_out(
        &self,
        is_in_use: impl Fn(&[Token]) -> bool,
    ) -> Option<(CacheKey, SeqId)> {
        let movable = self
            .sequences
            .iter()
            .filter(|cached| cached.may_swap_out && !is_in_use(&cached.tokens));
        let oldest = movable.min_by_key(|cached| cached.last_used)?;
        Some((oldest.key, oldest.seq?))
    }

    /// The least recently used sequence in the KV cache that may be swapped out, has no copy yet
    /// and is worth one.
    pub(in crate::engine) fn next_to_mirror(&self) -> Option<(CacheKey, SeqId)> {
        self.resident_by_age().into_iter().find(|&(key, _)| {
            self.get(key).is_some_and(|cached| cached.may_swap_out && cached.copy.is_none())
                && !self.is_nearly_duplicate(key)
        })
    }

    /// Whether the sequence `key` is not worth a copy, because a more recently used one contains
    /// all of it except a short rest. The rest has at most [`SHORT_REST_TOKENS`] and is at most an
    /// eighth of the sequence. Once more than half of the host RAM is used, only the second limit
    /// applies.
    pub(in crate::engine) fn is_nearly_duplicate(&self, key: CacheKey) -> bool {
        let Some(cached) = self.get(key) else { return false };
        let is_ram_scarce = self.host_copies.1 > self.max_copy_bytes / 2;
        let max_rest = if is_ram_scarce { usize::MAX } else { SHORT_REST_TOKENS };
        let n = cached.tokens.len();
        let min_shared = n - max_rest.min(n / SHORT_REST_DIVISOR);
        self.sequences.iter().any(|other| {
            other.last_used > cached.last_used
                && common_prefix(&other.tokens, &cached.tokens) >= min_shared
        })
    }

    /// Records that the sequence `key` cannot be swapped out, so that it is not tried again.
    pub(in crate::engine) fn keep_resident(&mut self, key: CacheKey) {
        if let Some(cached) = self.get_mut(key) {
            cached.may_swap_out = false;
        }
    }

    /// Most bytes of copies in host RAM.
    pub(in crate::engine) fn max_copy_bytes(&self) -> usize {
        self.max_copy_bytes
    }

    /// Whether one more copy of `bytes` fits in addition to the others.
    pub(in crate::engine) fn has_space_for_copy(&self, bytes: usize) -> bool {
        let (n, used) = self.host_copies;
        n < MAX_COPIES && used.saturating_add(bytes) <= self.max_copy_bytes
    }

    /// Drops the copies of the least recently used sequences until one more of `bytes` fits.
    /// Swapped-out sequences are removed with their copies. The copy of `excepted` stays.
    pub(in crate::engine) fn evict_copies_for(&mut self, bytes: usize, excepted: Option<CacheKey>) {
        while !self.has_space_for_copy(bytes) {
            let may_drop =
                |cached: &CachedSequence| cached.copy.is_some() && excepted != Some(cached.key);
            let with_copy = (0..self.sequences.len()).filter(|&i| may_drop(&self.sequences[i]));
            let Some(oldest) = with_copy.min_by_key(|&i| self.sequences[i].last_used) else {
                break;
            };
            if self.sequences[oldest].seq.is_some() {
                self.drop_copy(oldest);
            } else {
                self.remove_at(oldest);
            }
        }
    }

    /// Attaches a complete copy to the sequence `key`, which is mirrored from then on. The copy
    /// must fit.
    pub(in crate::engine) fn attach_copy(&mut self, key: CacheKey, copy: HostCopy) {
        debug_assert!(self.has_space_for_copy(copy.bytes()), "the caller makes space first");
        if let Some(i) = self.sequences.iter().position(|cached| cached.key == key) {
            self.host_copies = (self.host_copies.0 + 1, self.host_copies.1 + copy.bytes());
            self.sequences[i].copy = Some(copy);
        }
    }

    /// Records that the mirrored sequence `key` is swapped out; `None` if it is not mirrored. The
    /// caller must empty the returned id in the model.
    pub(in crate::engine) fn swap_out(&mut self, key: CacheKey) -> Option<SeqId> {
        let cached = self.get_mut(key).filter(|cached| cached.copy.is_some())?;
        let seq = cached.seq.take()?;
        cached.may_swap_out = false;
        self.resident_tokens -= cached.tokens.len();
        self.free.push(seq);
        Some(seq)
    }

    /// The sequence `key`, to be changed.
    fn get_mut(&mut self, key: CacheKey) -> Option<&mut CachedSequence> {
        self.sequences.iter_mut().find(|cached| cached.key == key)
    }

    /// A sequence that starts with `tokens`, if there is one.
    fn containing(&self, tokens: &[Token]) -> Option<CacheKey> {
        let found = self.sequences.iter().find(|cached| cached.tokens.starts_with(tokens));
        found.map(|cached| cached.key)
    }

    /// Drops the copy of the sequence at index `i`, if it has one.
    fn drop_copy(&mut self, i: usize) {
        if let Some(copy) = self.sequences[i].copy.take() {
            self.host_copies = (self.host_copies.0 - 1, self.host_copies.1 - copy.bytes());
        }
    }

    /// Removes the sequence at index `i` with its copy. Returns its id in the KV cache, if any.
    fn remove_at(&mut self, i: usize) -> Option<SeqId> {
        self.drop_copy(i);
        let removed = self.sequences.swap_remove(i);
        if removed.seq.is_some() {
            self.resident_tokens -= removed.tokens.len();
        }
        self.free.extend(removed.seq);
        removed.seq
    }
}

/// Most copies in host RAM, however small: each is compared with every prompt. (ADR-0007)
pub(super) const MAX_COPIES: usize = 1024;

/// Largest number of tokens of a short rest: prefilling them again takes one step. (ADR-0003)
const SHORT_REST_TOKENS: usize = 16;

/// A short rest is at most an eighth of its sequence.
const SHORT_REST_DIVISOR: usize = 8;
