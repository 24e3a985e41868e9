//! Cached sequences that are swapped out for other requests, and imported again.

use super::*;

/// A rig in which no cached sequence may stay in the KV cache while another request runs.
pub(super) fn swapping(cache_ram_bytes: usize) -> Rig {
    let limits = Limits { n_ubatch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 };
    Rig::with_cache(0, cache_ram_bytes, limits, 60)
}

#[test]
fn swapped_out_sequence_is_imported_when_it_is_asked_for() {
    let mut rig = swapping(4000);
    rig.ask("the first conversation");
    assert_eq!((rig.n_copies(), rig.kv_used()), (0, 22), "it stays until another request comes");
    rig.ask("another text altogether");
    assert_eq!((rig.n_copies(), rig.kv_used()), (1, 23));
    let back = rig.ask("the first conversation goes on");
    assert_eq!((back.cached_tokens, back.prefilled_tokens), (22, 8));
    assert_eq!((rig.n_copies(), rig.kv_used()), (1, 30), "the other one is swapped out instead");
    assert_eq!(rig.n_swapped_in(), 1);
}

#[test]
fn import_of_a_prefix_keeps_the_whole_swapped_out_sequence() {
    let mut rig = swapping(4000);
    rig.ask("instructions for all: the first question");
    rig.ask("another text altogether");
    let branch = rig.ask("instructions for all: a second one");
    assert_eq!(branch.cached_tokens, "instructions for all: ".len());
    let first = rig.ask("instructions for all: the first question?");
    assert_eq!(first.cached_tokens, "instructions for all: the first question".len());
}

#[test]
fn sequence_that_cannot_be_swapped_out_stays_until_its_cells_are_needed() {
    let mut rig = swapping(10);
    rig.ask("the first conversation");
    rig.ask("another text altogether");
    assert_eq!((rig.n_copies(), rig.kv_used()), (0, 45));
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    let mut large = [rig.submit("loop", Params::default()), rig.submit("loop", Params::default())];
    let [a, b] = &mut large;
    rig.drive(&mut [a, b]);
    assert_eq!(rig.ask("another text altogether").cached_tokens, 0, "its cells were needed");
}

#[test]
fn sequence_too_long_to_import_while_requests_run_is_prefilled_again() {
    let text = "a text of forty-two letters, no less, here";
    // The running request reserves sixty tokens, and the text is imported as a whole.
    for (kv_tokens, prompt, cached) in
        [(120, format!("{text} and more"), 42), (100, text[..19].to_owned(), 0)]
    {
        let limits = Limits { n_ubatch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens, n_draft: 0 };
        let mut rig = Rig::with_cache(0, 4000, limits, 60);
        rig.ask(text);
        let mut running = rig.submit("loop", Params::default());
        rig.iterate();
        let mut asking = rig.submit(&prompt, at_most(1));
        rig.iterate();
        running.cancel.set();
        rig.drive(&mut [&mut running, &mut asking]);
        assert_eq!(asking.usage().cached_tokens, cached, "of {kv_tokens}");
    }
}

#[test]
fn sequence_that_fails_to_import_is_prefilled_again_and_removed() {
    let mut rig = swapping(4000);
    rig.ask("lost, this conversation");
    rig.ask("another text altogether");
    let again = rig.ask("lost, this conversation goes on");
    assert_eq!((again.cached_tokens, again.prefilled_tokens), (0, 31));
    assert_eq!(rig.n_swapped_in(), 0);
    assert_eq!(rig.n_copies(), 1, "the other text");
}

#[test]
fn two_long_conversations_alternate_in_a_cache_for_one() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, n_cache_seqs: 4, kv_tokens: 60, n_draft: 0 };
    for cacheable_tokens in [0, 60] {
        let mut rig = Rig::with_cache(cacheable_tokens, 4000, limits, 60);
        rig.ask("the first of them, which has some forty letters");
        rig.ask("and this is the second one, just as long as it");
        let back = rig.ask("the first of them, which has some forty letters more");
        assert_eq!(back.cached_tokens, 47, "it is imported although the other was there");
        let back = rig.ask("and this is the second one, just as long as it is");
        assert_eq!(back.cached_tokens, 46);
    }
}

#[test]
fn sequence_that_is_asked_for_is_not_dropped_for_the_copy_of_another() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, n_cache_seqs: 4, kv_tokens: 60, n_draft: 0 };
    // At four bytes per token one copy fits into host RAM, but not both.
    for cache_ram_bytes in [200, 370] {
        let mut rig = Rig::with_cache(0, cache_ram_bytes, limits, 60);
        rig.ask("the first of them, which has some forty letters");
        rig.ask("and this is the second one, just as long as it");
        let back = rig.ask("the first of them, which has some forty letters more");
        assert_eq!(back.cached_tokens, 47, "with {cache_ram_bytes} bytes");
    }
}

#[test]
fn long_sequence_is_not_imported_for_a_short_prefix() {
    let limits = Limits { n_ubatch: 64, n_slots: 1, n_cache_seqs: 4, kv_tokens: 400, n_draft: 0 };
    let mut rig = Rig::with_cache(0, 4000, limits, 200);
    rig.ask(&format!("beginning {}", "and a long text ".repeat(11)));
    rig.ask("another text altogether");
    assert_eq!(rig.ask("beginning of something else").cached_tokens, 0);
    assert_eq!(rig.ask("beginning and a long text").cached_tokens, 24);
}

#[test]
fn shared_prefix_is_not_swapped_out_while_in_use_nor_copied_twice() {
    let mut rig = swapping(4000);
    for question in ["one", "two", "six"] {
        let usage = rig.ask(&format!("instructions that all of them share: {question}"));
        assert!(usage.cached_tokens >= 37 || question == "one");
    }
    assert_eq!(rig.n_swapped_out(), 0);
    rig.ask("another text altogether");
    assert_eq!(rig.n_copies(), 1, "the others differed in three letters only");
    let again = rig.ask("instructions that all of them share: one");
    assert_eq!(again.cached_tokens, 37);
}

#[test]
fn long_sequence_is_copied_over_several_iterations() {
    let mut rig = swapping(4000);
    rig.set_copy_limits(8);
    rig.ask("the first conversation");
    let running = rig.submit("loop", Params::default());
    // Eight times as much in the first iteration, in which no slot decodes.
    for copied in [0, 64, 72, 80] {
        assert_eq!(rig.n_copies(), 0, "{copied} of 88 bytes, for 22 tokens");
        assert!(rig.iterate().is_some(), "the running request goes on");
    }
    assert_eq!(rig.n_copies(), 1);
    rig.cancel(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn cancelled_request_does_not_wait_for_excess_to_be_swapped_out() {
    let mut rig = swapping(4000);
    rig.set_copy_limits(1);
    rig.ask("the first conversation");
    let running = ["loop", "loop too"].map(|prompt| rig.submit(prompt, at_most(12)));
    rig.iterate();
    assert!(rig.is_copying() && rig.scheduler.swap.check_excess);
    rig.iterate_with(|| running[0].cancel.set());
    assert!(rig.is_copying() && rig.scheduler.swap.check_excess, "it goes on later");
    running[1].cancel.set();
    rig.drive(&mut []);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn sequence_that_is_asked_for_while_being_copied_stays() {
    let mut rig = swapping(4000);
    rig.set_copy_limits(8);
    rig.ask("the first conversation");
    let mut running = rig.submit("loop", Params::default());
    rig.iterate();
    assert!(rig.is_copying());
    let mut back = rig.submit("the first conversation goes on", at_most(5));
    rig.iterate();
    assert!(!rig.is_copying());
    running.cancel.set();
    rig.drive(&mut [&mut running, &mut back]);
    assert_eq!(back.usage().cached_tokens, 22);
    assert_eq!(rig.n_swapped_in(), 0);
}

#[test]
fn older_copy_is_dropped_before_memory_is_allocated_for_the_next() {
    let mut rig = swapping(100);
    rig.set_copy_limits(8);
    rig.ask("the first conversation");
    let mut running = rig.submit("loop", at_most(16));
    rig.drive(&mut [&mut running]);
    assert_eq!(rig.copy_bytes(), 88);
    let running = rig.submit("another text", Params::default());
    rig.iterate();
    assert!(rig.is_copying());
    assert_eq!(rig.copy_bytes(), 0, "both would be more than a hundred");
    rig.cancel(running);
}
