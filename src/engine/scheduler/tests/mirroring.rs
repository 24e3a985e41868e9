//! Cached sequences that are mirrored while the engine is idle.

use super::swapping::swapping;
use super::*;
use crate::engine::scheduler::swap::IDLE_BEFORE_MIRRORING;

#[test]
fn mirrored_sequence_is_swapped_out_at_once_for_a_request() {
    let mut rig = swapping(4000);
    rig.ask("the first conversation");
    assert_eq!(rig.wait_limit(), WaitLimit::AtMost(IDLE_BEFORE_MIRRORING));
    rig.iterate();
    let residency = |rig: &Rig| (rig.n_copies(), rig.kv_used());
    assert_eq!(residency(&rig), (0, 22), "an immediate follow-up would not be delayed");
    rig.rest();
    assert_eq!(residency(&rig), (1, 22), "it is in the KV cache and in host RAM");
    rig.set_copy_limits(1);
    let running = rig.submit("loop", Params::default());
    rig.iterate();
    assert_eq!(rig.n_swapped_out(), 1, "one byte per iteration suffices");
    assert_eq!(residency(&rig), (1, 4));
    rig.cancel(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!(rig.n_swapped_in(), 1);
}

#[test]
fn copy_begun_while_idle_is_completed_while_requests_run() {
    let mut rig = swapping(4000);
    rig.set_copy_limits(80);
    rig.ask("the first conversation");
    rig.wait_for_mirroring();
    assert_eq!(rig.iterate(), None);
    assert_eq!((rig.n_copies(), rig.kv_used()), (0, 22), "forty of 88 bytes");
    rig.set_copy_limits(6);
    let running = rig.submit("loop", Params::default());
    rig.iterate();
    assert_eq!((rig.n_copies(), rig.kv_used()), (1, 4), "48 bytes were left");
    rig.cancel(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn mirrored_sequence_is_continued_in_the_kv_cache() {
    let mut rig = swapping(4000);
    rig.ask("the first conversation");
    rig.rest();
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!(rig.n_swapped_in(), 0);
    assert_eq!(rig.copy_bytes(), 0, "the copy of the shorter sequence is dropped");
    rig.rest();
    assert_eq!(rig.copy_bytes(), 4 * 30);
}

#[test]
fn mirroring_drops_no_other_copy() {
    let mut rig = swapping(100);
    rig.ask("the first conversation");
    rig.ask("another text");
    assert_eq!(rig.n_copies(), 1);
    rig.rest();
    assert_eq!(rig.n_copies(), 1, "both would be more than a hundred bytes");
    assert_eq!(rig.ask("the first conversation").cached_tokens, 21);
}

#[test]
fn sequence_that_may_stay_in_the_kv_cache_is_not_mirrored() {
    let limits = Limits { n_ubatch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 };
    let mut rig = Rig::with_cache(120, 4000, limits, 60);
    rig.ask("the first conversation");
    rig.rest();
    assert_eq!((rig.n_copies(), rig.kv_used()), (0, 22));
}

#[test]
fn mirrored_copy_is_dropped_like_any_other_when_it_is_the_oldest() {
    let mut rig = swapping(150);
    rig.ask("the first conversation");
    rig.rest();
    assert_eq!(rig.copy_bytes(), 88);
    rig.ask("and then another text");
    assert_eq!((rig.n_copies(), rig.kv_used()), (1, 21), "the first is swapped out");
    rig.ask("something else");
    assert_eq!(rig.copy_bytes(), 84, "the copy of the second");
}
