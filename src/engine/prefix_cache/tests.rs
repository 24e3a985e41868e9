//! The books of what is kept.

use super::*;

fn longest(cache: &PrefixCache, prompt: &[Token]) -> Option<(Key, usize)> {
    cache.longest(prompt, |_, _| true)
}

fn copy(bytes: Vec<u8>) -> Copied {
    let mut copy = Copied::default();
    copy.push(bytes.len(), bytes);
    copy
}

fn hold_copy(cache: &mut PrefixCache, key: Key, bytes: Vec<u8>) {
    cache.make_swap_room(bytes.len(), None);
    cache.hold_copy(key, copy(bytes));
}

fn swap_out(cache: &mut PrefixCache, key: Key, bytes: Vec<u8>) {
    hold_copy(cache, key, bytes);
    assert!(cache.leave(key).is_some());
}

fn key_of(cache: &PrefixCache, seq: SeqId) -> Key {
    cache.in_cache().into_iter().find(|&(_, id)| id == seq).unwrap().0
}

#[test]
fn the_longest_common_beginning_wins() {
    let mut cache = PrefixCache::new(4..8, 0);
    let short = cache.park(&[1, 2, 3]).unwrap();
    let long = cache.park(&[1, 2, 9, 9]).unwrap();
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
    let short = cache.park(&[1, 2]).unwrap();
    assert_eq!(cache.make_way_for(&[1, 2, 3]), [short]);
    cache.park(&[1, 2, 3]).unwrap();
    assert_eq!(cache.n_tokens(), 3);
    assert_eq!(cache.park(&[1, 2, 3]), None, "it is held already");
    let oldest = cache.in_cache()[0].0;
    swap_out(&mut cache, oldest, vec![0; 3]);
    assert_eq!(cache.make_way_for(&[1, 2, 3, 4]), [0; 0], "which is in no sequence");
    assert_eq!(cache.copied(), (0, 0));
}

#[test]
fn the_least_recently_used_entry_goes_first() {
    let mut cache = PrefixCache::new(0..2, 0);
    let (a, b) = (cache.park(&[1]).unwrap(), cache.park(&[2]).unwrap());
    cache.get(key_of(&cache, a));
    assert_eq!(cache.make_way_for(&[3]), [b]);
}

#[test]
fn without_ids_nothing_is_kept() {
    let mut cache = PrefixCache::new(4..4, 0);
    assert_eq!(cache.make_way_for(&[1]), [0; 0]);
    assert_eq!(cache.park(&[1]), None);
}

#[test]
fn what_is_swapped_out_frees_its_id_and_takes_no_more_than_its_share_of_memory() {
    let mut cache = PrefixCache::new(0..1, 10);
    for first in [1, 2, 3] {
        cache.park(&[first, 0]).unwrap();
        assert_eq!(cache.n_tokens(), 2);
        let oldest = cache.in_cache()[0].0;
        swap_out(&mut cache, oldest, vec![0; 4]);
        assert_eq!(cache.n_tokens(), 0);
    }
    assert_eq!(cache.copied(), (2, 8), "the first gave way");
    assert_eq!(longest(&cache, &[1]), None);
    let (second, _) = longest(&cache, &[2]).unwrap();
    cache.get(second);
    cache.park(&[4]).unwrap();
    let oldest = cache.in_cache()[0].0;
    swap_out(&mut cache, oldest, vec![0; 4]);
    assert!(longest(&cache, &[2]).is_some() && longest(&cache, &[3]).is_none());
}

#[test]
fn nothing_is_given_up_for_what_is_held_already() {
    let mut cache = PrefixCache::new(0..2, 0);
    cache.park(&[1, 2]).unwrap();
    cache.park(&[3]).unwrap();
    assert_eq!((cache.make_way_for(&[3]), cache.park(&[3])), (vec![], None));
    assert!(longest(&cache, &[1]).is_some());
}

#[test]
fn what_cannot_be_swapped_out_is_not_tried_again() {
    let mut cache = PrefixCache::new(0..4, 10);
    let first = cache.park(&[1, 2, 3]).unwrap();
    let second = cache.park(&[4]).unwrap();
    let (key, seq) = cache.next_to_leave(|_| false).unwrap();
    assert_eq!(seq, first);
    cache.stays(key);
    assert_eq!(cache.next_to_leave(|tokens| tokens == [4]), None, "it is in use");
    assert_eq!(cache.next_to_leave(|_| false).unwrap().1, second);
    let key = key_of(&cache, second);
    swap_out(&mut cache, key, vec![0; 4]);
    assert_eq!(cache.next_to_leave(|_| false), None);
    assert_eq!(cache.in_cache().len(), 1, "though it is still there");
}

#[test]
fn what_a_newer_one_has_but_for_a_little_is_not_worth_a_copy_nor_more_while_memory_is_short() {
    let mut cache = PrefixCache::new(0..6, 1000);
    let like = |end: Token, n: usize| [vec![7; 400], vec![end; n]].concat();
    let mut park = |tokens: Vec<Token>| {
        let seq = cache.park(&tokens).unwrap();
        key_of(&cache, seq)
    };
    let (few, more, new) = (park(like(1, 16)), park(like(2, 17)), park(like(3, 17)));
    let half = park([vec![7; 20], vec![9; 20]].concat());
    assert!(cache.is_nearly_held(few) && !cache.is_nearly_held(more));
    assert!(!cache.is_nearly_held(new) && !cache.is_nearly_held(half));
    hold_copy(&mut cache, new, vec![0; 501]);
    assert!(cache.is_nearly_held(more) && !cache.is_nearly_held(half));
}

#[test]
fn of_two_equally_long_ones_that_in_the_cache_is_shared() {
    let mut cache = PrefixCache::new(0..4, 10);
    cache.park(&[1, 2, 3]).unwrap();
    cache.park(&[1, 2, 4]).unwrap();
    let newer = cache.in_cache()[1];
    swap_out(&mut cache, newer.0, vec![0; 3]);
    assert_eq!(longest(&cache, &[1, 2]), Some((cache.in_cache()[0].0, 2)));
    assert_eq!(longest(&cache, &[1, 2, 4]), Some((newer.0, 3)));
}

#[test]
fn what_is_in_the_cache_too_gives_up_its_copy_alone() {
    let mut cache = PrefixCache::new(0..4, 10);
    let old = cache.park(&[1, 2, 3]).unwrap();
    let new = cache.park(&[4, 5]).unwrap();
    let (old, new) = (key_of(&cache, old), key_of(&cache, new));
    assert_eq!(cache.next_to_copy().unwrap().0, old);
    hold_copy(&mut cache, old, vec![0; 6]);
    assert_eq!(cache.next_to_copy().unwrap().0, new);
    assert!(!cache.has_swap_room(6), "without giving up the other");
    hold_copy(&mut cache, new, vec![0; 6]);
    assert_eq!(cache.copied(), (1, 6));
    assert_eq!(cache.leave(old), None, "for what?");
    assert_eq!((cache.leave(new).is_some(), cache.n_tokens()), (true, 3));
    assert_eq!(longest(&cache, &[1, 2]), Some((old, 2)));
}

#[test]
fn many_small_ones_that_are_swapped_out_have_a_bound_too() {
    let mut cache = PrefixCache::new(0..1, usize::MAX);
    for first in 0..MOST_COPIED + 5 {
        cache.park(&[first as Token]).unwrap();
        let oldest = cache.in_cache()[0].0;
        swap_out(&mut cache, oldest, vec![0]);
    }
    assert_eq!(cache.copied().0, MOST_COPIED);
}
