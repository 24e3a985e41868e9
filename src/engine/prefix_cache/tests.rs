//! The records of cached sequences.

use super::cache::MAX_COPIES;
use super::*;
use crate::domain::Token;
use crate::engine::model::SeqId;

fn longest(cache: &PrefixCache, prompt: &[Token]) -> Option<(CacheKey, usize)> {
    cache.longest_prefix(prompt, |_, _| true)
}

fn host_copy(bytes: Vec<u8>) -> HostCopy {
    let mut copy = HostCopy::default();
    copy.push(bytes.len(), bytes);
    copy
}

/// Attaches a copy of these bytes, after other copies were dropped for it.
fn mirror(cache: &mut PrefixCache, key: CacheKey, bytes: Vec<u8>) {
    cache.evict_copies_for(bytes.len(), None);
    cache.attach_copy(key, host_copy(bytes));
}

fn swap_out(cache: &mut PrefixCache, key: CacheKey, bytes: Vec<u8>) {
    mirror(cache, key, bytes);
    assert!(cache.swap_out(key).is_some());
}

fn key_of(cache: &PrefixCache, seq: SeqId) -> CacheKey {
    cache.resident_by_age().into_iter().find(|&(_, id)| id == seq).unwrap().0
}

#[test]
fn longest_common_prefix_is_found() {
    let mut cache = PrefixCache::new(4..8, 0);
    let short = cache.insert(&[1, 2, 3]).unwrap();
    let long = cache.insert(&[1, 2, 9, 9]).unwrap();
    assert_ne!(short, long);
    let (short, long) = (key_of(&cache, short), key_of(&cache, long));
    assert_eq!(longest(&cache, &[1, 2, 9, 8]), Some((long, 3)));
    assert_eq!(longest(&cache, &[1, 2, 3, 4]), Some((short, 3)));
    assert_eq!(longest(&cache, &[7]), None);
    let only_long = |cached: &CachedSequence, _| cached.tokens.len() > 3;
    assert_eq!(cache.longest_prefix(&[1, 2, 3], only_long), Some((long, 2)));
}

#[test]
fn sequence_is_removed_when_a_longer_one_contains_it() {
    let mut cache = PrefixCache::new(4..8, 10);
    let short = cache.insert(&[1, 2]).unwrap();
    assert_eq!(cache.evict_for(&[1, 2, 3]), [short]);
    cache.insert(&[1, 2, 3]).unwrap();
    assert_eq!(cache.resident_tokens(), 3);
    assert_eq!(cache.insert(&[1, 2, 3]), None, "it is cached already");
    let oldest = cache.resident_by_age()[0].0;
    swap_out(&mut cache, oldest, vec![0; 3]);
    assert_eq!(cache.evict_for(&[1, 2, 3, 4]), [0; 0], "it is in no sequence of the KV cache");
    assert_eq!(cache.host_copies(), (0, 0));
}

#[test]
fn least_recently_used_sequence_is_evicted_first() {
    let mut cache = PrefixCache::new(0..2, 0);
    let (a, b) = (cache.insert(&[1]).unwrap(), cache.insert(&[2]).unwrap());
    cache.touch(key_of(&cache, a));
    assert_eq!(cache.evict_for(&[3]), [b]);
}

#[test]
fn cache_without_ids_holds_nothing() {
    let mut cache = PrefixCache::new(4..4, 0);
    assert_eq!(cache.evict_for(&[1]), [0; 0]);
    assert_eq!(cache.insert(&[1]), None);
}

#[test]
fn swapped_out_sequence_frees_its_id_and_copies_stay_within_their_limit() {
    let mut cache = PrefixCache::new(0..1, 10);
    for first in [1, 2, 3] {
        cache.insert(&[first, 0]).unwrap();
        assert_eq!(cache.resident_tokens(), 2);
        let oldest = cache.resident_by_age()[0].0;
        swap_out(&mut cache, oldest, vec![0; 4]);
        assert_eq!(cache.resident_tokens(), 0);
    }
    assert_eq!(cache.host_copies(), (2, 8), "the first was evicted");
    assert_eq!(longest(&cache, &[1]), None);
    let (second, _) = longest(&cache, &[2]).unwrap();
    cache.touch(second);
    cache.insert(&[4]).unwrap();
    let oldest = cache.resident_by_age()[0].0;
    swap_out(&mut cache, oldest, vec![0; 4]);
    assert!(longest(&cache, &[2]).is_some() && longest(&cache, &[3]).is_none());
}

#[test]
fn tokens_that_are_cached_already_evict_nothing() {
    let mut cache = PrefixCache::new(0..2, 0);
    cache.insert(&[1, 2]).unwrap();
    cache.insert(&[3]).unwrap();
    assert_eq!((cache.evict_for(&[3]), cache.insert(&[3])), (vec![], None));
    assert!(longest(&cache, &[1]).is_some());
}

#[test]
fn failed_swap_out_is_not_tried_again() {
    let mut cache = PrefixCache::new(0..4, 10);
    let first = cache.insert(&[1, 2, 3]).unwrap();
    let second = cache.insert(&[4]).unwrap();
    let (key, seq) = cache.next_to_swap_out(|_| false).unwrap();
    assert_eq!(seq, first);
    cache.keep_resident(key);
    assert_eq!(cache.next_to_swap_out(|tokens| tokens == [4]), None, "it is in use");
    assert_eq!(cache.next_to_swap_out(|_| false).unwrap().1, second);
    let key = key_of(&cache, second);
    swap_out(&mut cache, key, vec![0; 4]);
    assert_eq!(cache.next_to_swap_out(|_| false), None);
    assert_eq!(cache.resident_by_age().len(), 1, "the first is still there");
}

#[test]
fn near_duplicate_may_differ_more_while_host_ram_is_scarce() {
    let mut cache = PrefixCache::new(0..6, 1000);
    let like = |end: Token, n: usize| [vec![7; 400], vec![end; n]].concat();
    let mut insert = |tokens: Vec<Token>| {
        let seq = cache.insert(&tokens).unwrap();
        key_of(&cache, seq)
    };
    let (few, more, new) = (insert(like(1, 16)), insert(like(2, 17)), insert(like(3, 17)));
    let half = insert([vec![7; 20], vec![9; 20]].concat());
    assert!(cache.is_nearly_duplicate(few) && !cache.is_nearly_duplicate(more));
    assert!(!cache.is_nearly_duplicate(new) && !cache.is_nearly_duplicate(half));
    mirror(&mut cache, new, vec![0; 501]);
    assert!(cache.is_nearly_duplicate(more) && !cache.is_nearly_duplicate(half));
}

#[test]
fn sequence_in_the_kv_cache_is_preferred_among_equal_prefixes() {
    let mut cache = PrefixCache::new(0..4, 10);
    cache.insert(&[1, 2, 3]).unwrap();
    cache.insert(&[1, 2, 4]).unwrap();
    let newer = cache.resident_by_age()[1];
    swap_out(&mut cache, newer.0, vec![0; 3]);
    assert_eq!(longest(&cache, &[1, 2]), Some((cache.resident_by_age()[0].0, 2)));
    assert_eq!(longest(&cache, &[1, 2, 4]), Some((newer.0, 3)));
}

#[test]
fn mirrored_sequence_loses_only_its_copy() {
    let mut cache = PrefixCache::new(0..4, 10);
    let old = cache.insert(&[1, 2, 3]).unwrap();
    let new = cache.insert(&[4, 5]).unwrap();
    let (old, new) = (key_of(&cache, old), key_of(&cache, new));
    assert_eq!(cache.next_to_mirror().unwrap().0, old);
    mirror(&mut cache, old, vec![0; 6]);
    assert_eq!(cache.next_to_mirror().unwrap().0, new);
    assert!(!cache.has_space_for_copy(6), "the other copy would have to go");
    mirror(&mut cache, new, vec![0; 6]);
    assert_eq!(cache.host_copies(), (1, 6));
    assert_eq!(cache.swap_out(old), None, "it has no copy any more");
    assert_eq!((cache.swap_out(new).is_some(), cache.resident_tokens()), (true, 3));
    assert_eq!(longest(&cache, &[1, 2]), Some((old, 2)));
}

#[test]
fn number_of_swapped_out_sequences_is_bounded() {
    let mut cache = PrefixCache::new(0..1, usize::MAX);
    for first in 0..MAX_COPIES + 5 {
        cache.insert(&[first as Token]).unwrap();
        let oldest = cache.resident_by_age()[0].0;
        swap_out(&mut cache, oldest, vec![0]);
    }
    assert_eq!(cache.host_copies().0, MAX_COPIES);
}
