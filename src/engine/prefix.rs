//! Which finished sequences are still held, so that a new request can share their beginning.
//!
//! They are in the KV cache, or were swapped out of it into ordinary memory, where they slow down
//! nobody. Bookkeeping only: the scheduler moves the sequences in the model as it is told here.
//! llama.cpp has 256 sequence ids in all and those swapped out have a bound, so looking at each is
//! cheaper than keeping a tree of them (`docs/ARCHITECTURE.md` has the figures).

use crate::domain::Token;

use super::model::SeqId;

/// Sequences that may be swapped out at a time, however small. Each is looked at for every request.
const MOST_SWAPPED: usize = 1024;

/// A copy is not made for what is one part in so many of a sequence.
const SMALL_PART: usize = 8;

/// Names an entry for as long as it is held.
pub(super) type Key = u64;

/// Where a kept sequence is.
#[derive(Debug)]
pub(super) enum Home {
    /// In the KV cache.
    Cache(SeqId),
    /// In ordinary memory, as the model gave it out.
    Swapped(Vec<u8>),
}

/// A finished sequence that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    key: Key,
    pub(super) tokens: Vec<Token>,
    pub(super) home: Home,
    last_used: u64,
    /// Whether it is in the KV cache and may be swapped out; not where that was tried in vain.
    may_leave: bool,
}

impl Kept {
    fn seq(&self) -> Option<SeqId> {
        match self.home {
            Home::Cache(seq) => Some(seq),
            Home::Swapped(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.home {
            Home::Cache(_) => 0,
            Home::Swapped(bytes) => bytes.len(),
        }
    }
}

/// The kept sequences.
#[derive(Debug)]
pub(super) struct PrefixCache {
    kept: Vec<Kept>,
    free: Vec<SeqId>,
    /// Sum of the lengths in the KV cache; a prefix that two share is counted twice.
    n_tokens: usize,
    /// How many are swapped out, and their bytes.
    swapped: (usize, usize),
    /// Most bytes that may be swapped out.
    swap_bytes: usize,
    clock: u64,
}

impl PrefixCache {
    /// A cache that may use the sequence ids of `ids`, and `swap_bytes` of ordinary memory.
    pub(super) fn new(ids: std::ops::Range<SeqId>, swap_bytes: usize) -> Self {
        let (kept, free) = (Vec::new(), ids.rev().collect());
        Self { kept, free, n_tokens: 0, swapped: (0, 0), swap_bytes, clock: 0 }
    }

    /// Tokens that are kept in the KV cache; a prefix that two share is counted twice.
    pub(super) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// How many sequences are swapped out, and their bytes.
    pub(super) fn swapped(&self) -> (usize, usize) {
        self.swapped
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
            .max_by_key(|&(kept, n)| (n, kept.seq().is_some()))
            .map(|(kept, n)| (kept.key, n))
    }

    /// How many tokens the entry `key` has, if it is swapped out; 0 otherwise.
    pub(super) fn n_swapped_tokens(&self, key: Key) -> usize {
        let swapped = self.kept.iter().filter(|kept| kept.seq().is_none());
        swapped.filter(|kept| kept.key == key).map(|kept| kept.tokens.len()).sum()
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
    /// already or there are no ids. Call [`Self::make_room`] first.
    pub(super) fn park(&mut self, tokens: Vec<Token>) -> Option<SeqId> {
        let holder = self.kept.iter().find(|kept| kept.tokens.starts_with(&tokens));
        if let Some(key) = holder.map(|kept| kept.key) {
            self.get(key);
            return None;
        }
        let seq = self.free.pop()?;
        self.clock += 1;
        let home = Home::Cache(seq);
        self.n_tokens += tokens.len();
        let (key, last_used, may_leave) = (self.clock, self.clock, self.swap_bytes > 0);
        self.kept.push(Kept { key, tokens, home, last_used, may_leave });
        Some(seq)
    }

    /// Gives up the entries that `tokens` makes superfluous, and the least recently used one if
    /// no id is free otherwise. The ids it returns must be emptied.
    pub(super) fn make_room(&mut self, tokens: &[Token]) -> Vec<SeqId> {
        let mut evicted: Vec<SeqId> = Vec::new();
        while let Some(i) = self
            .kept
            .iter()
            .position(|kept| kept.tokens.len() < tokens.len() && tokens.starts_with(&kept.tokens))
        {
            evicted.extend(self.remove_at(i));
        }
        if self.free.is_empty() {
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
            .filter_map(|kept| Some((kept.last_used, kept.key, kept.seq()?)))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, key, seq)| (key, seq)).collect()
    }

    /// What is kept in the KV cache, may be swapped out, and was used longest ago. Those whose tokens
    /// are `in_use` stay.
    pub(super) fn next_to_leave(&self, in_use: impl Fn(&[Token]) -> bool) -> Option<(Key, SeqId)> {
        let may_leave = self.kept.iter().filter(|kept| kept.may_leave && !in_use(&kept.tokens));
        let oldest = may_leave.min_by_key(|kept| kept.last_used)?;
        Some((oldest.key, oldest.seq()?))
    }

    /// Whether the entry `key` is not worth a copy of its own: one that was used later has all of it
    /// but a small part of its end.
    pub(super) fn is_nearly_held(&self, key: Key) -> bool {
        let Some(kept) = self.kept.iter().find(|kept| kept.key == key) else { return false };
        let most = kept.tokens.len() - kept.tokens.len() / SMALL_PART;
        self.kept.iter().any(|other| {
            other.last_used > kept.last_used && common_prefix(&other.tokens, &kept.tokens) >= most
        })
    }

    /// Notes that the entry `key` cannot be swapped out.
    pub(super) fn stays(&mut self, key: Key) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == key) {
            kept.may_leave = false;
        }
    }

    /// Most bytes an entry may have to be swapped out.
    pub(super) fn swap_bytes(&self) -> usize {
        self.swap_bytes
    }

    /// Gives up the least recently used entries that are swapped out, until one more of `bytes` has
    /// room beside the others.
    pub(super) fn make_swap_room(&mut self, bytes: usize) {
        while {
            let (n, held) = self.swapped;
            n > 0 && (n >= MOST_SWAPPED || held + bytes > self.swap_bytes)
        } {
            let swapped = (0..self.kept.len()).filter(|&i| self.kept[i].seq().is_none());
            let Some(oldest) = swapped.min_by_key(|&i| self.kept[i].last_used) else { break };
            self.remove_at(oldest);
        }
    }

    /// Notes that the entry `key` is swapped out as `bytes`, no more than [`Self::swap_bytes`], and
    /// makes room for it. The id of `key` must be emptied.
    pub(super) fn swap_out(&mut self, key: Key, bytes: Vec<u8>) {
        debug_assert!(bytes.len() <= self.swap_bytes, "it was to be no larger");
        self.make_swap_room(bytes.len());
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.key == key) {
            self.free.extend(kept.seq());
            self.n_tokens -= kept.tokens.len();
            self.swapped = (self.swapped.0 + 1, self.swapped.1 + bytes.len());
            kept.home = Home::Swapped(bytes);
            kept.may_leave = false;
        }
    }

    fn remove_at(&mut self, i: usize) -> Option<SeqId> {
        let kept = self.kept.swap_remove(i);
        let seq = kept.seq();
        if seq.is_some() {
            self.n_tokens -= kept.tokens.len();
        } else {
            self.swapped = (self.swapped.0 - 1, self.swapped.1 - kept.bytes());
        }
        self.free.extend(seq);
        seq
    }
}

/// Length of the common beginning of two token sequences.
pub(super) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(cache: &PrefixCache, prompt: &[Token]) -> Option<(Key, usize)> {
        cache.longest(prompt, |_, _| true)
    }

    fn key_of(cache: &PrefixCache, seq: SeqId) -> Key {
        cache.in_cache().into_iter().find(|&(_, id)| id == seq).unwrap().0
    }

    #[test]
    fn the_longest_common_beginning_wins() {
        let mut cache = PrefixCache::new(4..8, 0);
        let short = cache.park(vec![1, 2, 3]).unwrap();
        let long = cache.park(vec![1, 2, 9, 9]).unwrap();
        assert_ne!(short, long);
        let (short, long) = (key_of(&cache, short), key_of(&cache, long));
        assert_eq!(longest(&cache, &[1, 2, 9, 8]), Some((long, 3)));
        assert_eq!(longest(&cache, &[1, 2, 3, 4]), Some((short, 3)));
        assert_eq!(longest(&cache, &[7]), None);
        assert_eq!(cache.longest(&[1, 2, 3], |kept, _| kept.tokens.len() > 3), Some((long, 2)));
    }

    #[test]
    fn an_entry_that_a_longer_one_contains_is_given_up() {
        let mut cache = PrefixCache::new(4..8, 10);
        let short = cache.park(vec![1, 2]).unwrap();
        assert_eq!(cache.make_room(&[1, 2, 3]), [short]);
        cache.park(vec![1, 2, 3]).unwrap();
        assert_eq!(cache.n_tokens(), 3);
        assert_eq!(cache.park(vec![1, 2, 3]), None, "it is held already");
        cache.swap_out(cache.in_cache()[0].0, vec![0; 3]);
        assert_eq!(cache.make_room(&[1, 2, 3, 4]), [0; 0], "which is in no sequence");
        assert_eq!(cache.swapped(), (0, 0));
    }

    #[test]
    fn the_least_recently_used_entry_goes_first() {
        let mut cache = PrefixCache::new(0..2, 0);
        let (a, b) = (cache.park(vec![1]).unwrap(), cache.park(vec![2]).unwrap());
        cache.get(key_of(&cache, a));
        assert_eq!(cache.make_room(&[3]), [b]);
    }

    #[test]
    fn without_ids_nothing_is_kept() {
        let mut cache = PrefixCache::new(4..4, 0);
        assert_eq!(cache.make_room(&[1]), [0; 0]);
        assert_eq!(cache.park(vec![1]), None);
    }

    #[test]
    fn what_is_swapped_out_frees_its_id_and_takes_no_more_than_its_share_of_memory() {
        let mut cache = PrefixCache::new(0..1, 10);
        for first in [1, 2, 3] {
            cache.park(vec![first, 0]).unwrap();
            assert_eq!(cache.n_tokens(), 2);
            cache.swap_out(cache.in_cache()[0].0, vec![0; 4]);
            assert_eq!(cache.n_tokens(), 0);
        }
        assert_eq!(cache.swapped(), (2, 8), "the first gave way");
        assert_eq!(longest(&cache, &[1]), None);
        let (second, _) = longest(&cache, &[2]).unwrap();
        cache.get(second);
        cache.park(vec![4]).unwrap();
        cache.swap_out(cache.in_cache()[0].0, vec![0; 4]);
        assert!(longest(&cache, &[2]).is_some() && longest(&cache, &[3]).is_none());
    }

    #[test]
    fn what_cannot_be_swapped_out_is_not_tried_again() {
        let mut cache = PrefixCache::new(0..4, 10);
        let first = cache.park(vec![1, 2, 3]).unwrap();
        let second = cache.park(vec![4]).unwrap();
        let (key, seq) = cache.next_to_leave(|_| false).unwrap();
        assert_eq!(seq, first);
        cache.stays(key);
        assert_eq!(cache.next_to_leave(|tokens| tokens == [4]), None, "it is in use");
        assert_eq!(cache.next_to_leave(|_| false).unwrap().1, second);
        cache.swap_out(key_of(&cache, second), vec![0; 4]);
        assert_eq!(cache.next_to_leave(|_| false), None);
        assert_eq!(cache.in_cache().len(), 1, "though it is still there");
    }

    #[test]
    fn what_a_newer_one_has_but_for_its_end_is_not_worth_a_copy() {
        let mut cache = PrefixCache::new(0..4, 1000);
        let like = |end: Token| [vec![7; 16], vec![end]].concat();
        let old = cache.park(like(1)).unwrap();
        let new = cache.park(like(2)).unwrap();
        let (old, new) = (key_of(&cache, old), key_of(&cache, new));
        assert!(cache.is_nearly_held(old) && !cache.is_nearly_held(new));
        let half = cache.park([vec![7; 8], vec![9; 8]].concat()).unwrap();
        cache.park(like(3)).unwrap();
        assert!(!cache.is_nearly_held(key_of(&cache, half)));
    }

    #[test]
    fn of_two_equally_long_ones_that_in_the_cache_is_shared() {
        let mut cache = PrefixCache::new(0..4, 10);
        cache.park(vec![1, 2, 3]).unwrap();
        cache.park(vec![1, 2, 4]).unwrap();
        let newer = cache.in_cache()[1];
        cache.swap_out(newer.0, vec![0; 3]);
        assert_eq!(longest(&cache, &[1, 2]), Some((cache.in_cache()[0].0, 2)));
        assert_eq!(longest(&cache, &[1, 2, 4]), Some((newer.0, 3)));
    }

    #[test]
    fn many_small_ones_that_are_swapped_out_have_a_bound_too() {
        let mut cache = PrefixCache::new(0..1, usize::MAX);
        for first in 0..MOST_SWAPPED + 5 {
            cache.park(vec![first as Token]).unwrap();
            cache.swap_out(cache.in_cache()[0].0, vec![0]);
        }
        assert_eq!(cache.swapped().0, MOST_SWAPPED);
    }
}
