//! Admission while the KV cache is full of cached sequences.

use super::*;

const FIRST: &str = "the first conversation";
const OTHER: &str = "another text altogether";

/// A rig in which cached sequences stay in the KV cache until their cells are needed, and an
/// iteration copies sixteen bytes for the next request while a slot decodes.
fn full_cache() -> Rig {
    let limits = Limits { n_ubatch: 32, n_slots: 2, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 };
    let mut rig = Rig::with_cache(120, 4000, limits, 60);
    rig.set_copy_limits(1);
    rig
}

/// Such a rig in which `text` is cached, one request streams, and the next one has `prompt`.
/// Returns the rig, the stream and the next request.
fn full_cache_with_stream(text: &str, prompt: &str) -> (Rig, Client, Client) {
    let mut rig = full_cache();
    rig.ask(text);
    let running = rig.submit("loop", Params::default());
    rig.iterate();
    let next = rig.submit(prompt, Params::default());
    (rig, running, next)
}

#[test]
fn cached_sequence_makes_space_over_several_iterations_while_others_run() {
    let (mut rig, mut running, mut next) = full_cache_with_stream(FIRST, OTHER);
    // Sixteen of 88 bytes per iteration.
    for i in 0..5 {
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
fn partial_copy_is_dropped_when_the_request_it_was_for_is_cancelled() {
    let (mut rig, running, next) = full_cache_with_stream(FIRST, OTHER);
    rig.iterate();
    assert!(rig.is_copying());
    next.cancel.set();
    rig.iterate();
    assert!(!rig.is_copying());
    rig.cancel(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn cancelled_request_does_not_wait_until_space_is_made_for_another() {
    let (mut rig, mut running, mut next) = full_cache_with_stream(FIRST, OTHER);
    rig.iterate_with(|| running.cancel.set());
    let copying = rig.scheduler.swap.copying.as_ref();
    assert!(copying.is_some_and(|partial| partial.copy.n_tokens() == 0));
    rig.drive(&mut [&mut running, &mut next]);
    assert_eq!(next.usage().tokens, OTHER.len());
}

#[test]
fn space_is_made_in_one_iteration_while_no_slot_decodes() {
    let mut rig = full_cache();
    rig.ask(FIRST);
    let mut long = rig.submit(&"a long prompt ".repeat(4), Params::default());
    rig.iterate();
    let mut next = rig.submit(OTHER, Params::default());
    rig.iterate();
    assert_eq!(rig.n_active(), 2, "88 bytes at once");
    rig.drive(&mut [&mut long, &mut next]);
}

#[test]
fn requests_admitted_together_share_the_allowance_of_an_iteration() {
    let limits = Limits { n_ubatch: 32, n_slots: 3, n_cache_seqs: 4, kv_tokens: 180, n_draft: 0 };
    let mut rig = Rig::with_cache(180, 4000, limits, 60);
    let texts = [FIRST, "and then another text"];
    for text in texts {
        rig.ask(text);
    }
    rig.set_copy_limits(6);
    let mut running = rig.submit("loop", Params::default());
    rig.iterate();
    let mut both = texts.map(|_| rig.submit("something else altogether", Params::default()));
    rig.iterate();
    // The first text takes 88 of 96 bytes.
    assert_eq!((rig.n_copies(), rig.n_active()), (1, 2));
    rig.iterate();
    assert_eq!((rig.n_copies(), rig.n_active()), (2, 3));
    let [a, b] = &mut both;
    rig.drive(&mut [&mut running, a, b]);
}

#[test]
fn request_that_shares_a_prefix_waits_until_the_rest_has_a_copy() {
    let (mut rig, mut running, mut next) = full_cache_with_stream(
        "instructions for all: the first question",
        "instructions for all: a second one",
    );
    for _ in 0..9 {
        rig.iterate();
    }
    assert_eq!(rig.n_active(), 1, "sixteen of 160 bytes per iteration");
    rig.iterate();
    assert_eq!((rig.n_copies(), rig.n_active()), (1, 2));
    rig.drive(&mut [&mut running, &mut next]);
    assert_eq!(next.usage().cached_tokens, "instructions for all: ".len());
    let first = rig.ask("instructions for all: the first question?");
    assert_eq!(first.cached_tokens, "instructions for all: the first question".len());
}
