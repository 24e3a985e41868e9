//! Which finished sequences are still in the KV cache, so that a new request can share their
//! beginning.
//!
//! Bookkeeping only: the scheduler moves the sequences in the model as it is told here. llama.cpp
//! has 256 sequence ids in all, so there are never more entries than that, and looking at each is
//! cheaper than keeping a tree of them (`docs/ARCHITECTURE.md` has the figures).

use crate::domain::Token;

use super::model::SeqId;

/// A finished sequence that is kept.
#[derive(Debug)]
struct Parked {
    seq: SeqId,
    tokens: Vec<Token>,
    last_used: u64,
}

/// The kept sequences.
#[derive(Debug)]
pub(super) struct PrefixCache {
    parked: Vec<Parked>,
    free: Vec<SeqId>,
    /// Sum of the lengths; a prefix that two share is counted twice.
    n_tokens: usize,
    clock: u64,
}

impl PrefixCache {
    /// A cache that may use the sequence ids of `ids`.
    pub(super) fn new(ids: std::ops::Range<SeqId>) -> Self {
        Self { parked: Vec::new(), free: ids.rev().collect(), n_tokens: 0, clock: 0 }
    }

    /// Tokens that are kept.
    pub(super) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The kept sequence with the longest common beginning with `prompt`, and its length.
    pub(super) fn longest(&self, prompt: &[Token]) -> Option<(SeqId, usize)> {
        self.parked
            .iter()
            .map(|parked| (parked.seq, common_prefix(&parked.tokens, prompt)))
            .max_by_key(|&(_, n)| n)
            .filter(|&(_, n)| n > 0)
    }

    /// Marks a sequence as just used.
    pub(super) fn touch(&mut self, seq: SeqId) {
        self.clock += 1;
        if let Some(parked) = self.parked.iter_mut().find(|parked| parked.seq == seq) {
            parked.last_used = self.clock;
        }
    }

    /// Enters `tokens` and says which id shall hold them: `None` where another entry holds them
    /// already or there are no ids. Call [`Self::make_room`] first.
    pub(super) fn park(&mut self, tokens: Vec<Token>) -> Option<SeqId> {
        let holder = self.parked.iter().find(|parked| parked.tokens.starts_with(&tokens));
        if let Some(seq) = holder.map(|parked| parked.seq) {
            self.touch(seq);
            return None;
        }
        let seq = self.free.pop()?;
        self.clock += 1;
        self.n_tokens += tokens.len();
        self.parked.push(Parked { seq, tokens, last_used: self.clock });
        Some(seq)
    }

    /// Gives up the entries that `tokens` makes superfluous, and the least recently used one if
    /// no id is free otherwise. The ids it returns must be emptied.
    pub(super) fn make_room(&mut self, tokens: &[Token]) -> Vec<SeqId> {
        let mut evicted: Vec<SeqId> = Vec::new();
        while let Some(i) = self.parked.iter().position(|parked| {
            parked.tokens.len() < tokens.len() && tokens.starts_with(&parked.tokens)
        }) {
            evicted.push(self.remove(i));
        }
        if self.free.is_empty() {
            evicted.extend(self.evict());
        }
        evicted
    }

    /// Gives up the least recently used entry; its id must be emptied.
    pub(super) fn evict(&mut self) -> Option<SeqId> {
        let oldest = (0..self.parked.len()).min_by_key(|&i| self.parked[i].last_used)?;
        Some(self.remove(oldest))
    }

    fn remove(&mut self, i: usize) -> SeqId {
        let Parked { seq, tokens, .. } = self.parked.swap_remove(i);
        self.n_tokens -= tokens.len();
        self.free.push(seq);
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

    #[test]
    fn the_longest_common_beginning_wins() {
        let mut cache = PrefixCache::new(4..8);
        let short = cache.park(vec![1, 2, 3]).unwrap();
        let long = cache.park(vec![1, 2, 9, 9]).unwrap();
        assert_ne!(short, long);
        assert_eq!(cache.longest(&[1, 2, 9, 8]), Some((long, 3)));
        assert_eq!(cache.longest(&[1, 2, 3, 4]), Some((short, 3)));
        assert_eq!(cache.longest(&[7]), None);
    }

    #[test]
    fn an_entry_that_a_longer_one_contains_is_given_up() {
        let mut cache = PrefixCache::new(4..8);
        let short = cache.park(vec![1, 2]).unwrap();
        assert_eq!(cache.make_room(&[1, 2, 3]), [short]);
        cache.park(vec![1, 2, 3]).unwrap();
        assert_eq!(cache.n_tokens(), 3);
        assert_eq!(cache.park(vec![1, 2, 3]), None, "it is held already");
    }

    #[test]
    fn the_least_recently_used_entry_goes_first() {
        let mut cache = PrefixCache::new(0..2);
        let (a, b) = (cache.park(vec![1]).unwrap(), cache.park(vec![2]).unwrap());
        cache.touch(a);
        assert_eq!(cache.make_room(&[3]), [b]);
    }

    #[test]
    fn without_ids_nothing_is_kept() {
        let mut cache = PrefixCache::new(4..4);
        assert_eq!(cache.make_room(&[1]), Vec::<u32>::new());
        assert_eq!(cache.park(vec![1]), None);
    }
}
