//! The KV cache with the scripted model.

use super::copy::MAX_COPIES;
use super::*;
use crate::domain::Token;
use crate::engine::model::Limits;
use crate::scripted::{ScriptedModel, StepControl};

/// A model with slots of 500 tokens, and a cache with `bytes` of host RAM.
fn model_and_cache(n_slots: usize, bytes: usize) -> (ScriptedModel, KvCache) {
    let limits = Limits { n_ubatch: 16, n_slots, slot_tokens: 500, n_draft: 0 };
    (ScriptedModel::new(limits, StepControl::free_running()), KvCache::new(bytes))
}

/// Brings `tokens` into `slot` and caches them.
fn store(model: &mut ScriptedModel, cache: &mut KvCache, slot: SeqId, tokens: &[Token]) {
    cache.leave_slot(slot);
    model.truncate(slot, 0);
    let state: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    assert!(model.import(slot, &state));
    cache.store(model, slot, tokens.to_vec(), PrefillRecord::default());
}

/// Sixty tokens like `first`, which no other text shares.
fn text(first: Token) -> Vec<Token> {
    vec![first; 60]
}

#[test]
fn request_is_placed_where_it_reuses_most() {
    let (mut model, mut cache) = model_and_cache(4, 10_000);
    for (slot, first) in [(0, 1), (2, 2)] {
        store(&mut model, &mut cache, slot, &text(first));
    }
    let place = |prompt: &[Token], free: &[SeqId], running: &[SeqId]| {
        let running: Vec<_> = running
            .iter()
            .map(|&slot| RunningSequence { slot, tokens: &[], record: PrefillRecord::default() })
            .collect();
        let placement = cache.place(&model, prompt, free, &running).unwrap();
        (placement.slot, placement.n_reused)
    };
    let going_on = [text(2), vec![9; 5]].concat();
    assert_eq!(place(&going_on, &[0, 1, 2, 3], &[]), (2, 60), "in its slot");
    assert_eq!(place(&[7; 20], &[0, 1, 2, 3], &[]), (1, 0), "an empty slot");
    assert_eq!(place(&[7; 20], &[0, 2], &[]), (0, 0), "the least recently used");
    assert_eq!(place(&[7; 20], &[0, 1, 2], &[3]), (1, 0), "a neighbour");
    assert_eq!(place(&[], &[0, 2], &[]), (0, 0), "nothing to reuse");
    assert!(cache.place(&model, &going_on, &[], &[]).is_none());
}

#[test]
fn sequence_is_removed_when_a_longer_one_contains_it() {
    let (mut model, mut cache) = model_and_cache(3, 10_000);
    store(&mut model, &mut cache, 0, &[1, 2]);
    store(&mut model, &mut cache, 1, &[1, 2, 3]);
    assert_eq!((cache.slots(), model.n_tokens_of(0)), (vec![1], 0));
    store(&mut model, &mut cache, 2, &[1, 2]);
    assert_eq!((cache.slots(), model.n_tokens_of(2)), (vec![1], 0), "it is cached already");
}

#[test]
fn copies_stay_within_their_limit_and_the_oldest_are_dropped() {
    let (mut model, mut cache) = model_and_cache(1, 500);
    for first in 1..=4 {
        store(&mut model, &mut cache, 0, &text(first));
        let placement = cache.place(&model, &[], &[0], &[]).unwrap();
        assert!(cache.prepare(&mut model, &placement, &mut { usize::MAX }));
    }
    assert_eq!(cache.copies(), (2, 480));
    let reused = |first| cache.place(&model, &text(first), &[0], &[]).unwrap().n_reused;
    assert_eq!([1, 2, 3, 4].map(reused), [0, 0, 59, 59]);
}

#[test]
fn failed_copy_is_not_tried_again() {
    let (mut model, mut cache) = model_and_cache(1, 100);
    store(&mut model, &mut cache, 0, &text(1));
    let placement = cache.place(&model, &[], &[0], &[]).unwrap();
    assert!(placement.to_copy.is_some());
    assert!(cache.prepare(&mut model, &placement, &mut { usize::MAX }), "240 bytes do not fit");
    assert_eq!(cache.place(&model, &[], &[0], &[]).unwrap().to_copy, None);
    assert_eq!(cache.copies(), (0, 0));
}

#[test]
fn near_duplicate_may_differ_more_while_host_ram_is_scarce() {
    let (mut model, mut cache) = model_and_cache(4, 5000);
    let like = |end: Token, n: usize| [vec![7; 400], vec![end; n]].concat();
    for (slot, tokens) in
        [like(1, 16), like(2, 17), like(3, 17), [vec![7; 20], vec![9; 20]].concat()]
            .iter()
            .enumerate()
    {
        store(&mut model, &mut cache, slot as SeqId, tokens);
    }
    let is_duplicate = |cache: &KvCache| {
        [0, 1, 2, 3].map(|slot| cache.is_nearly_duplicate(&model, cache.in_slot(slot).unwrap()))
    };
    assert_eq!(is_duplicate(&cache), [true, false, false, false]);
    let newest = cache.in_slot(2).unwrap().key;
    let i = cache.sequences.iter().position(|cached| cached.key == newest).unwrap();
    cache.change(i, |residency| Some(residency.mirror(vec![0; 2501])));
    assert_eq!(is_duplicate(&cache), [true, true, false, false]);
}

#[test]
fn number_of_copies_is_bounded() {
    let (mut model, mut cache) = model_and_cache(1, usize::MAX);
    for first in 0..MAX_COPIES as Token + 5 {
        store(&mut model, &mut cache, 0, &[first; 20]);
        let placement = cache.place(&model, &[], &[0], &[]).unwrap();
        cache.prepare(&mut model, &placement, &mut { usize::MAX });
    }
    assert_eq!(cache.copies().0, MAX_COPIES);
}
