//! Conversations that stay in their slots, and those in host RAM.

use super::*;
use crate::engine::kv::IDLE_BEFORE_MIRRORING;
use crate::engine::model::ChunkRules;

const FIRST: &str = "the first conversation";
const OTHER: &str = "another text altogether";
const THIRD: &str = "and then something else";

/// A rig with `n_slots` slots of sixty tokens and `cache_ram_bytes` of host RAM.
fn rig(n_slots: usize, cache_ram_bytes: usize) -> Rig {
    let limits = Limits { n_ubatch: 16, n_slots, slot_tokens: 60, n_draft: 0 };
    Rig::with_cache(cache_ram_bytes, limits, 60)
}

/// Copies in host RAM, and tokens in slots.
fn residency(rig: &Rig) -> (usize, usize) {
    (rig.n_copies(), rig.kv_used())
}

#[test]
fn conversations_stay_in_their_slots_while_there_are_others() {
    let mut rig = rig(2, 4000);
    assert_eq!([FIRST, OTHER].map(|text| rig.ask(text).cached_tokens), [0, 0]);
    assert_eq!(residency(&rig), (0, 22 + 23));
    assert_eq!(rig.ask("another text altogether new").cached_tokens, 23);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!((rig.n_swapped_in(), rig.n_swapped_out()), (0, 0));
}

#[test]
fn conversation_that_loses_its_slot_comes_back_from_host_ram() {
    let mut rig = rig(1, 4000);
    rig.ask(FIRST);
    rig.ask(OTHER);
    assert_eq!(residency(&rig), (1, 23));
    let back = rig.ask("the first conversation goes on");
    assert_eq!((back.cached_tokens, back.prefilled_tokens), (22, 8));
    assert_eq!((rig.n_swapped_in(), rig.n_swapped_out()), (1, 2));
    assert_eq!(rig.ask("another text altogether new").cached_tokens, 23);
}

#[test]
fn least_recently_used_conversation_loses_its_slot() {
    let mut rig = rig(2, 0);
    [FIRST, OTHER, FIRST, THIRD].iter().for_each(|text| _ = rig.ask(text));
    assert_eq!(rig.ask(FIRST).cached_tokens, 21);
    assert_eq!(rig.ask(OTHER).cached_tokens, 0, "without host RAM it is lost");
}

#[test]
fn beginning_of_a_conversation_is_reused_and_the_conversation_kept() {
    let mut rig = rig(1, 4000);
    rig.ask("instructions for all: the first long question");
    let branch = rig.ask("instructions for all: a second one");
    assert_eq!(branch.cached_tokens, "instructions for all: ".len());
    assert_eq!((rig.n_copies(), rig.n_swapped_in()), (1, 0), "it was reused in its slot");
    let first = rig.ask("instructions for all: the first long question?");
    assert_eq!(first.cached_tokens, "instructions for all: the first long question".len());
}

#[test]
fn conversation_without_a_copy_is_not_lost_for_a_short_common_beginning() {
    let mut rig = rig(2, 0);
    rig.ask("you are kind: and here is a long question");
    assert_eq!(rig.ask("you are kind: hello").cached_tokens, 14, "copied into an empty slot");
    assert_eq!(rig.ask("you are kind: and here is a long question?").cached_tokens, 41);
}

#[test]
fn long_sequence_is_not_imported_for_a_short_beginning() {
    let limits = Limits { n_ubatch: 64, n_slots: 1, slot_tokens: 200, n_draft: 0 };
    let mut rig = Rig::with_cache(4000, limits, 200);
    rig.ask(&format!("beginning {}", "and a long text ".repeat(11)));
    rig.ask(OTHER);
    assert_eq!(rig.ask("beginning of something else").cached_tokens, 0);
    assert_eq!(rig.ask("beginning and a long text").cached_tokens, 24);
}

#[test]
fn sequence_that_fails_to_import_is_prefilled_again_and_removed() {
    let mut rig = rig(1, 4000);
    rig.ask("lost, this conversation");
    rig.ask(OTHER);
    let again = rig.ask("lost, this conversation goes on");
    assert_eq!((again.cached_tokens, again.prefilled_tokens), (0, 31));
    assert_eq!(rig.n_swapped_in(), 0);
    assert_eq!(rig.n_copies(), 1, "the other text");
}

#[test]
fn sequence_that_is_asked_for_is_not_dropped_for_the_copy_of_another() {
    // At four bytes per token one copy fits into host RAM, but not both.
    for cache_ram_bytes in [200, 370] {
        let mut rig = rig(1, cache_ram_bytes);
        rig.ask("the first of them, which has some forty letters");
        rig.ask("and this is the second one, just as long as it");
        let back = rig.ask("the first of them, which has some forty letters more");
        assert_eq!(back.cached_tokens, 47, "with {cache_ram_bytes} bytes");
    }
}

#[test]
fn near_duplicates_are_copied_once() {
    let mut rig = rig(1, 4000);
    for question in ["one", "two", "six"] {
        let usage = rig.ask(&format!("instructions that all of them share: {question}"));
        assert!(usage.cached_tokens >= 37 || question == "one");
    }
    rig.ask(OTHER);
    assert_eq!(rig.n_copies(), 1, "the others differed in three letters only");
    assert_eq!(rig.ask("instructions that all of them share: one").cached_tokens, 37);
}

#[test]
fn next_request_waits_until_the_sequence_in_its_slot_is_copied() {
    let mut rig = rig(2, 4000);
    rig.set_copy_limits(20);
    rig.ask(FIRST);
    let mut running = rig.submit("loop", Params::default());
    rig.iterate();
    let mut next = rig.submit(OTHER, Params::default());
    // Twenty of 88 bytes per iteration.
    for i in 0..4 {
        assert_eq!((rig.n_copies(), rig.n_active()), (0, 1), "iteration {i}");
        assert_eq!(rig.wait_limit(), WaitLimit::NoWait);
        assert_eq!(rig.iterate(), Some(1), "the stream goes on");
    }
    rig.iterate();
    assert_eq!((rig.n_copies(), rig.n_active()), (1, 2));
    rig.drive(&mut [&mut running, &mut next]);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn partial_copy_is_dropped_when_its_conversation_goes_on() {
    let mut rig = rig(2, 4000);
    rig.set_copy_limits(20);
    rig.ask(FIRST);
    let running = rig.submit("loop", Params::default());
    rig.iterate();
    let next = rig.submit(OTHER, Params::default());
    rig.iterate();
    assert!(rig.is_copying());
    next.cancel.set();
    let mut back = rig.submit("the first conversation goes on", at_most(5));
    rig.iterate();
    assert!(!rig.is_copying());
    running.cancel.set();
    rig.drive(&mut [&mut back]);
    assert_eq!(back.usage().cached_tokens, 22);
}

#[test]
fn copy_is_made_in_one_iteration_while_no_slot_decodes() {
    let mut rig = rig(2, 4000);
    rig.set_copy_limits(20);
    rig.ask(FIRST);
    let mut long = rig.submit(&"a long prompt ".repeat(4), at_most(1));
    rig.iterate();
    let mut next = rig.submit(OTHER, Params::default());
    rig.iterate();
    assert_eq!(rig.n_active(), 2, "88 bytes at once");
    rig.drive(&mut [&mut long, &mut next]);
}

#[test]
fn idle_engine_mirrors_its_conversations() {
    let mut rig = rig(1, 4000);
    rig.ask(FIRST);
    assert_eq!(rig.wait_limit(), WaitLimit::AtMost(IDLE_BEFORE_MIRRORING));
    rig.iterate();
    assert_eq!(residency(&rig), (0, 22), "an immediate follow-up would not be delayed");
    rig.rest();
    assert_eq!(residency(&rig), (1, 22), "it is in its slot and in host RAM");
    rig.set_copy_limits(1);
    let running = rig.submit("loop", Params::default());
    rig.iterate();
    assert_eq!(rig.n_swapped_out(), 1, "nothing is left to copy");
    rig.cancel(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!(rig.n_swapped_in(), 1);
}

#[test]
fn copy_that_was_begun_while_idle_is_completed_for_a_request() {
    let mut rig = rig(1, 4000);
    rig.set_copy_limits(80);
    rig.ask(FIRST);
    rig.wait_for_mirroring();
    assert_eq!(rig.iterate(), None);
    assert_eq!(residency(&rig), (0, 22), "forty of 88 bytes");
    rig.set_copy_limits(3);
    let running = rig.submit("loop", Params::default());
    rig.iterate();
    assert_eq!(rig.n_copies(), 1, "48 bytes were left");
    rig.cancel(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn mirrored_conversation_goes_on_in_its_slot() {
    let mut rig = rig(1, 4000);
    rig.ask(FIRST);
    rig.rest();
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!((rig.n_swapped_in(), rig.n_swapped_out()), (0, 0));
    assert_eq!(rig.copy_bytes(), 0, "the copy of the shorter sequence is dropped");
    rig.rest();
    assert_eq!(rig.copy_bytes(), 4 * 30);
}

#[test]
fn mirroring_drops_no_other_copy() {
    let mut rig = rig(1, 100);
    rig.ask(FIRST);
    rig.ask("another long text");
    assert_eq!(rig.n_copies(), 1);
    rig.rest();
    assert_eq!(rig.n_copies(), 1, "both would be more than a hundred bytes");
    assert_eq!(rig.ask(FIRST).cached_tokens, 21);
}

#[test]
fn request_gets_a_slot_next_to_the_running_ones() {
    let mut rig = rig(8, 4000);
    let texts = ["loop and loop", OTHER, THIRD, "xxxx", "yyyy", "zzzz", "the last slot of all"];
    let mut first = texts.map(|text| rig.submit(text, at_most(1)));
    let [a, b, c, d, e, f, last] = &mut first;
    rig.drive(&mut [a, b, c, d, e, f, last]);
    rig.rest();
    let running = rig.submit("loop and loop", Params::default());
    rig.iterate();
    let far = rig.ask_beside("the last slot of all, again");
    assert_eq!(far.cached_tokens, 20, "it is moved to a neighbour");
    assert_eq!(rig.n_swapped_in(), 1);
    rig.cancel(running);
}

#[test]
fn repeated_prompt_is_divided_as_before() {
    let rules = ChunkRules { align: 2, min_tokens: 4, tile_tokens: Some(8) };
    let limits = Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 100, n_draft: 0 };
    let mut rig = Rig::with_cache(4000, limits, 100).with_chunk_rules(rules);
    let prompt = "a prompt of thirty tokens here";
    let steps = |rig: &mut Rig| {
        let _client = rig.submit(prompt, at_most(1));
        let steps: Vec<usize> = std::iter::from_fn(|| rig.iterate()).collect();
        (steps, rig.stats.numbers.cached_tokens_total.load(Relaxed))
    };
    // The body has 24 tokens, the tail 6.
    assert_eq!(steps(&mut rig), (vec![16, 8, 6], 0));
    assert_eq!(steps(&mut rig), (vec![6], 24), "the tail is computed again");
    assert_eq!(rig.ask("a prompt of thirty tokens here and more").cached_tokens, 24);
}

#[test]
fn conversation_that_went_on_gives_another_one_only_what_was_computed_alike() {
    let rules = ChunkRules { align: 2, min_tokens: 4, tile_tokens: Some(16) };
    let limits = Limits { n_ubatch: 32, n_slots: 2, slot_tokens: 100, n_draft: 0 };
    let mut rig = Rig::with_cache(4000, limits, 100).with_chunk_rules(rules);
    // A prompt of 13 tokens has no body, and its answer repeats it.
    let mut first = rig.submit("be friendly: ", at_most(14));
    rig.drive(&mut [&mut first]);
    assert_eq!(rig.ask("be friendly: be friendly: go on, please").cached_tokens, 26);
    let other = rig.ask("be friendly: to somebody else in a new text");
    assert_eq!(other.cached_tokens, 0, "its first tokens are part of a body");
    assert_eq!(rig.ask("be friendly: be friendly: go on, please").cached_tokens, 34);
}
