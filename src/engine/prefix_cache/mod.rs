//! Which finished sequences are still held, so that a new request can share their beginning.
//!
//! They are in the KV cache, or were swapped out of it into ordinary memory, where they slow down
//! nobody. One in the cache may have its copy there already, and then it leaves in no time.
//! Bookkeeping only: the scheduler moves the sequences in the model as it is told here.
//! llama.cpp has 256 sequence ids in all and those swapped out have a bound, so looking at each is
//! cheaper than keeping a tree of them (`docs/ARCHITECTURE.md` has the figures).

mod host_copy;

use crate::domain::Token;

use super::model::SeqId;

pub(super) use self::host_copy::Copied;

/// Sequences that may have a copy in ordinary memory, however small. Each is looked at for every request.
const MOST_COPIED: usize = 1024;

/// A copy is not made for so few tokens of a sequence's own: reading them again takes one step.
const FEW_TOKENS: usize = 16;

/// Nor, while memory for copies is short, for what is one part in so many of it.
const SMALL_PART: usize = 8;

/// Names an entry for as long as it is held.
pub(super) type Key = u64;

/// A finished sequence that is kept: in the KV cache, in ordinary memory, or in both.
#[derive(Debug)]
pub(super) struct Kept {
    key: Key,
    pub(super) tokens: Vec<Token>,
    /// Its id in the KV cache, if it is there.
    pub(super) seq: Option<SeqId>,
    /// Its copy in ordinary memory.
    pub(super) copy: Option<Copied>,
    last_used: u64,
    /// Whether it is in the KV cache and may be swapped out; not where that was tried in vain.
    may_leave: bool,
}

impl Kept {
    /// How many tokens come back into the KV cache for its first `n`; 0 if it is there.
    pub(super) fn n_coming_back(&self, n: usize) -> usize {
        let copy = self.copy.as_ref().filter(|_| self.seq.is_none());
        copy.map_or(0, |copy| copy.reach(n))
    }
}

/// The kept sequences.
#[derive(Debug)]
pub(super) struct PrefixCache {
    kept: Vec<Kept>,
    free: Vec<SeqId>,
    /// Sum of the lengths in the KV cache; a prefix that two share is counted twice.
    n_tokens: usize,
    /// How many have a copy in ordinary memory, and the bytes of these.
    copied: (usize, usize),
    /// Most bytes of copies.
    cache_ram_bytes: usize,
    clock: u64,
}

impl PrefixCache {
    /// A cache that may use the sequence ids of `ids`, and `cache_ram_bytes` of ordinary memory.
    pub(super) fn new(ids: std::ops::Range<SeqId>, cache_ram_bytes: usize) -> Self {
        let (kept, free) = (Vec::new(), ids.rev().collect());
        Self { kept, free, n_tokens: 0, copied: (0, 0), cache_ram_bytes, clock: 0 }
    }

    /// Tokens that are kept in the KV cache; a prefix that two share is counted twice.
    pub(super) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// How many sequences have a copy in ordinary memory, and the bytes of these.
    pub(super) fn copied(&self) -> (usize, usize) {
        self.copied
    }

    /// The kept sequence with the longest common beginning with `prompt`, and its length. Of
    /// several one in the KV cache, where it costs nothing to share. `is_usable` is told how much
    /// would be shared; those of which it says no are left out.
    pub(super) fn longest(
        &self,
        prompt: &[Token],
        is_usable: impl Fn(&Kept, usize) -> bool,
    ) -> Option<(Key, usize)> {
        self.kept
            .iter()
            .map(|kept| (kept, common_prefix(&kept.tokens, prompt)))
            .filter(|&(kept, n)| n > 0 && is_usable(kept, n))
            .max_by_key(|&(kept, n)| (n, kept.seq.is_some()))
            .map(|(kept, n)| (kept.key, n))
    }

    /// The entry `key`, which is marked as just used.
    pub(super) fn get(&mut self, key: Key) -> Option<&Kept> {
        self.clock += 1;
        let kept = self.kept.iter_mut().find(|kept| kept.key == key)?;
        kept.last_used = self.clock;
        Some(kept)
    }

    /// Gives up the entry `key`. An id that it returns must be emptied.
    pub(super) fn remove(&mut self, key: Key) -> Option<SeqId> {
        let i = self.kept.iter().position(|kept| kept.key == key)?;
        self.remove_at(i)
    }

    /// Enters `tokens` and says which id shall hold them: `None` where another entry holds them
    /// already or there are no ids. Call [`Self::make_way_for`] first.
    pub(super) fn park(&mut self, tokens: &[Token]) -> Option<SeqId> {
        if let Some(key) = self.holder(tokens) {
            self.get(key);
            return None;
        }
        let seq = self.free.pop()?;
        self.clock += 1;
        self.n_tokens += tokens.len();
        let (key, last_used, may_leave) = (self.clock, self.clock, self.cache_ram_bytes > 0);
        let tokens = tokens.to_vec();
        self.kept.push(Kept { key, tokens, seq: Some(seq), copy: None, last_used, may_leave });
        Some(seq)
    }

    /// The entry that holds all of `tokens`, if there is one.
    fn holder(&self, tokens: &[Token]) -> Option<Key> {
        self.kept.iter().find(|kept| kept.tokens.starts_with(tokens)).map(|kept| kept.key)
    }

    /// Gives up the entries that `tokens` makes superfluous, and the least recently used one if
    /// they need an id and none is free otherwise. The ids it returns must be emptied.
    pub(super) fn make_way_for(&mut self, tokens: &[Token]) -> Vec<SeqId> {
        let mut evicted: Vec<SeqId> = Vec::new();
        while let Some(i) = self
            .kept
            .iter()
            .position(|kept| kept.tokens.len() < tokens.len() && tokens.starts_with(&kept.tokens))
        {
            evicted.extend(self.remove_at(i));
        }
        if self.free.is_empty() && self.holder(tokens).is_none() {
            let oldest = self.in_cache().first().copied();
            evicted.extend(oldest.and_then(|(key, _)| self.remove(key)));
        }
        evicted
    }

    /// What is kept in the KV cache, least recently used first.
    pub(super) fn in_cache(&self) -> Vec<(Key, SeqId)> {
        let mut found: Vec<_> = self
            .kept
            .iter()
            .filter_map(|kept| Some((kept.last_used, kept.key, kept.seq?)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, key, seq)| (key, seq)).collect()
    }

    /// What is kept in the KV cache, may be swapped out, and was used longest ago. Those whose tokens
    /// are `in_use` stay.
    pub(super) fn next_to_leave(&self, in_use: impl Fn(&[Token]) -> bool) -> Option<(Key, SeqId)> {
        let may_leave = self.kept.iter().filter(|kept| kept.may_leave && !in_use(&kept.tokens));
        let oldest = may_leave.min_by_key(|kept| kept.last_used)?;
        Some((oldest.key, oldest.seq?))
    }

    /// What is kept in the KV cache, may be swapped out, and has no copy yet: the entry that was used
    /// longest ago.
    pub(super) fn next_to_copy(&self) -> Option<(Key, SeqId)> {
        self.in_cache().into_iter().find(|&(key, _)| {
            self.look_at(key).is_some_and(|kept| kept.may_leave && kept.copy.is_none())
                && !self.is_nearly_held(key)
        })
    }

    /// Whether the entry `key` is not worth a copy of its own: one that was used later has all of it
    /// but a little of its end.
    pub(super) fn is_nearly_held(&self, key: Key) -> bool {
        let Some(kept) = self.look_at(key) else { return false };
        let is_short = self.copied.1 > self.cache_ram_bytes / 2;
        let few = if is_short { usize::MAX } else { FEW_TOKENS };
        let most = kept.tokens.len() - few.min(kept.tokens.len() / SMALL_PART);
        self.kept.iter().any(|other| {
            other.last_used > kept.last_used && common_prefix(&other.tokens, &kept.tokens) >= most
        })
    }

    /// The entry `key`, for a look at it that is no use.
    pub(super) fn look_at(&self, key: Key) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.key == key)
    }

    /// Notes that the entry `key` cannot be swapped out.
    pub(super) fn stays(&mut self, key: Key) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == key) {
            kept.may_leave = false;
        }
    }

    /// Most bytes an entry may have to be swapped out.
    pub(super) fn cache_ram_bytes(&self) -> usize {
        self.cache_ram_bytes
    }

    /// Whether one more copy of `bytes` has room beside the others.
    pub(super) fn has_swap_room(&self, bytes: usize) -> bool {
        let (n, held) = self.copied;
        n < MOST_COPIED && held.saturating_add(bytes) <= self.cache_ram_bytes
    }

    /// Gives up copies, those of the least recently used entries first, until one more of `bytes`
    /// has room beside the others. Entries that are nowhere else go with them; `spared` stays.
    pub(super) fn make_swap_room(&mut self, bytes: usize, spared: Option<Key>) {
        while !self.has_swap_room(bytes) {
            let may_go = |kept: &Kept| kept.copy.is_some() && spared != Some(kept.key);
            let copied = (0..self.kept.len()).filter(|&i| may_go(&self.kept[i]));
            let Some(oldest) = copied.min_by_key(|&i| self.kept[i].last_used) else { break };
            if self.kept[oldest].seq.is_some() {
                self.drop_copy(oldest);
            } else {
                self.remove_at(oldest);
            }
        }
    }

    /// Notes that `copy`, for which there is room, is one of the entry `key`.
    pub(super) fn hold_copy(&mut self, key: Key, copy: Copied) {
        debug_assert!(self.has_swap_room(copy.bytes()), "room was to be made for it");
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == key) {
            self.copied = (self.copied.0 + 1, self.copied.1 + copy.bytes());
            kept.copy = Some(copy);
        }
    }

    /// Has the entry `key` leave the KV cache for its copy, if there is one. An id that it returns
    /// must be emptied.
    pub(super) fn leave(&mut self, key: Key) -> Option<SeqId> {
        let kept = self.kept.iter_mut().find(|kept| kept.key == key && kept.copy.is_some())?;
        let seq = kept.seq.take()?;
        kept.may_leave = false;
        self.n_tokens -= kept.tokens.len();
        self.free.push(seq);
        Some(seq)
    }

    fn drop_copy(&mut self, i: usize) {
        if let Some(copy) = self.kept[i].copy.take() {
            self.copied = (self.copied.0 - 1, self.copied.1 - copy.bytes());
        }
    }

    fn remove_at(&mut self, i: usize) -> Option<SeqId> {
        self.drop_copy(i);
        let kept = self.kept.swap_remove(i);
        if kept.seq.is_some() {
            self.n_tokens -= kept.tokens.len();
        }
        self.free.extend(kept.seq);
        kept.seq
    }
}

/// Length of the common beginning of two token sequences.
pub(super) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests;
