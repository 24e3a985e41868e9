//! What becomes of a suspended request.

use super::*;
use crate::scripted::ScriptedCuts;

/// A rig with one slot of 600 tokens.
fn rig(cache_ram_bytes: usize) -> Rig {
    let limits = Limits { n_ubatch: 64, n_slots: 1, slot_tokens: 600, n_draft: 0 };
    Rig::with_cache(cache_ram_bytes, limits, 600)
}

/// Runs an endless request for `n` steps, then suspends it for one of another connection, which is
/// returned as well.
fn suspended_after(rig: &mut Rig, n: usize, params: Params) -> (Client, Client) {
    let mut client = rig.submit_as(1, "loop and so on: ", params);
    for _ in 0..n {
        rig.iterate();
        client.read();
    }
    let other = rig.submit_as(2, "loop", at_most(40));
    rig.iterate();
    assert_eq!((rig.n_suspended(), rig.n_active()), (1, 1));
    (client, other)
}

/// The first `n` bytes of the answer to the request of [`suspended_after`].
fn answer(n: usize) -> String {
    "loop and so on: ".repeat(n.div_ceil(16))[..n].to_owned()
}

/// Suspends a request, lets it go on, and returns the number of prompt tokens that were computed
/// for it again.
fn n_computed_again(rig: &mut Rig, params: Params) -> usize {
    let (mut client, mut other) =
        suspended_after(rig, 50, Params { max_tokens: Some(90), ..params });
    let n_before = rig.prompt_tokens();
    rig.drive(&mut [&mut client, &mut other]);
    assert_eq!(client.text, answer(90));
    assert_eq!((other.text.len(), rig.n_suspended()), (40, 0));
    let usage = client.usage();
    assert_eq!((usage.prompt_tokens, usage.prefilled_tokens, usage.tokens), (16, 16, 90));
    rig.prompt_tokens() - n_before
}

#[test]
fn suspended_request_goes_on_from_its_copy() {
    assert_eq!(n_computed_again(&mut rig(4000), Params::default()), 0);
}

#[test]
fn request_without_a_copy_is_prefilled_again() {
    // The prompt and fifty tokens, and the last one of them.
    assert_eq!(n_computed_again(&mut rig(0), Params::default()), 66);
    assert_eq!(n_computed_again(&mut rig(100), Params::default()), 66);
}

#[test]
fn copy_that_cannot_be_imported_is_prefilled_again() {
    let mut rig = rig(4000);
    let mut client = rig.submit_as(1, "lost", Params { ignore_eos: true, ..at_most(90) });
    for _ in 0..50 {
        rig.iterate();
    }
    let mut other = rig.submit_as(2, "loop", at_most(40));
    rig.drive(&mut [&mut client, &mut other]);
    assert_eq!((client.text, rig.n_suspensions()), ("lost".repeat(23)[..90].to_owned(), 1));
}

#[test]
fn models_that_cannot_cut_sequences_go_on_from_the_end() {
    for cuts in [ScriptedCuts::Nowhere, ScriptedCuts::NearEnd(4)] {
        assert_eq!(n_computed_again(&mut rig(4000).with_cuts(cuts), Params::default()), 0);
        assert_eq!(n_computed_again(&mut rig(0).with_cuts(cuts), Params::default()), 66);
    }
}

#[test]
fn sequence_that_may_not_be_cached_is_kept_for_its_request_alone() {
    let uncached = Params { cache_prompt: false, ..Params::default() };
    assert_eq!(n_computed_again(&mut rig(4000), uncached.clone()), 0);
    let mut rig = rig(4000);
    let (client, mut other) = suspended_after(&mut rig, 50, uncached);
    rig.scheduler.sweep(rig.now);
    let mut same = rig.submit_as(3, "loop and so on: ", at_most(1));
    while same.outcomes.is_empty() {
        rig.iterate();
        same.read();
        other.read();
    }
    assert_eq!(same.usage().cached_tokens, 0);
    client.cancel.set();
    rig.drive(&mut [&mut other]);
    let next = rig.ask("loop and so on: loop and so on: !");
    assert_eq!(next.cached_tokens, 0, "the sequence is dropped");
}

#[test]
fn suspended_request_shares_its_prefix() {
    let mut rig = rig(4000);
    let (mut client, mut other) = suspended_after(&mut rig, 50, Params::default());
    rig.drive(&mut [&mut other]);
    let mut same = rig.submit_as(3, "loop and so on: the end", at_most(1));
    while same.outcomes.is_empty() {
        rig.iterate();
        same.read();
        client.read();
    }
    assert_eq!(same.usage().cached_tokens, 16);
}

/// Submits a prompt of `n` tokens, and after some steps a request of another connection. Runs both,
/// and returns how many of the tokens were prefilled before the other request had its first text.
fn n_prefilled_before_another(n: usize) -> usize {
    let limits = Limits { n_ubatch: 64, n_slots: 1, slot_tokens: 2000, n_draft: 0 };
    let mut rig = Rig::with_cache(1 << 20, limits, 2000);
    rig.per_token = Duration::from_millis(1);
    let prompt = "a prompt that takes several steps ".repeat(60)[..n].to_owned();
    let mut client = rig.submit_as(1, &prompt, Params { progress: true, ..at_most(20) });
    while rig.prompt_tokens() < 200 {
        rig.iterate();
    }
    let mut other = rig.submit_as(2, "loop", at_most(10));
    while other.text.is_empty() {
        rig.iterate();
        other.read();
    }
    let n_before = rig.prompt_tokens() - 4;
    rig.drive(&mut [&mut client, &mut other]);
    assert_eq!((client.text.as_str(), client.usage().prefilled_tokens), (&prompt[..20], n));
    assert_eq!(rig.prompt_tokens(), n + 4, "nothing is computed again");
    n_before
}

#[test]
fn long_prompt_is_suspended_and_a_short_one_keeps_its_slot_until_its_first_token() {
    assert!(n_prefilled_before_another(1500) < 400);
    assert_eq!(n_prefilled_before_another(500), 500);
}

#[test]
fn paused_slot_goes_to_another_connection_at_once() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 40_000, n_draft: 0 };
    for cache_ram_bytes in [0, 1 << 20] {
        let mut rig = Rig::with_cache(cache_ram_bytes, limits, 40_000);
        let mut slow = rig.submit_as(1, "loop", at_most(20_000));
        while rig.iterate().is_some() {}
        let mut other = rig.submit_as(2, "loop", at_most(3));
        assert!(rig.iterate().is_some());
        other.read();
        assert_eq!(other.text, "l");
        rig.drive_ended(&mut [&mut other]);
        assert_eq!((rig.n_suspended(), rig.n_active()), (1, 0));
        assert!(matches!(rig.wait_limit(), WaitLimit::AtMost(left) if left <= GRACE));
        slow.read();
        rig.drive(&mut [&mut slow]);
        assert_eq!(slow.text.len(), 20_000);
    }
}

#[test]
fn client_that_does_not_read_in_four_slots_delays_nobody() {
    let limits = Limits { n_ubatch: 16, n_slots: 4, slot_tokens: 40_000, n_draft: 0 };
    let mut rig = Rig::with_cache(1 << 20, limits, 40_000);
    let _slow = [(); 4].map(|()| rig.submit_as(1, "loop", Params::default()));
    while rig.iterate().is_some() {}
    let mut others = [2, 3, 4, 5].map(|connection| rig.submit_as(connection, "loop", at_most(3)));
    rig.iterate();
    others.iter_mut().for_each(Client::read);
    assert!(others.iter().all(|client| client.text == "l"));
}

#[test]
fn slow_client_is_dropped_while_its_request_is_suspended() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 40_000, n_draft: 0 };
    let mut rig = Rig::with_cache(1 << 20, limits, 40_000);
    let mut slow = rig.submit_as(1, "loop", Params::default());
    while rig.iterate().is_some() {}
    let mut waiting = rig.submit_as(1, "loop", Params::default());
    let mut other = rig.submit_as(2, "loop", at_most(3));
    rig.drive_ended(&mut [&mut other]);
    rig.now += GRACE;
    rig.iterate();
    slow.read();
    waiting.read();
    let expected = [Outcome::Failed(Failure::SlowClient { grace: GRACE })];
    assert_eq!(
        (slow.outcomes.as_slice(), waiting.outcomes.as_slice()),
        (&expected[..], &expected[..])
    );
    assert_eq!(rig.n_suspended(), 0);
    assert!(rig.scheduler.is_idle());
}

#[test]
fn cancelled_request_ends_while_it_is_suspended_and_is_cached() {
    let mut rig = rig(4000);
    let (mut client, mut other) = suspended_after(&mut rig, 50, Params::default());
    client.cancel.set();
    rig.iterate();
    client.read();
    assert!(matches!(
        client.outcomes.as_slice(),
        [Outcome::Finished { reason: FinishReason::Abort, usage, .. }] if usage.tokens == 50
    ));
    assert_eq!(rig.n_suspended(), 0);
    rig.drive(&mut [&mut other]);
    assert_eq!(rig.ask("loop and so on: loop and so on: !").cached_tokens, 32);
}

#[test]
fn draining_lets_suspended_requests_finish() {
    let mut rig = rig(4000);
    let (mut client, mut other) = suspended_after(&mut rig, 50, at_most(90));
    rig.scheduler.refuse_waiting(rig.now);
    rig.drive(&mut [&mut client, &mut other]);
    assert_eq!(client.usage().tokens, 90);
}

#[test]
fn shutdown_ends_suspended_requests_once() {
    let mut rig = rig(4000);
    let (mut client, mut other) = suspended_after(&mut rig, 50, Params::default());
    rig.scheduler.end_all(rig.now);
    client.read();
    other.read();
    let expected = [Outcome::Failed(Failure::ShuttingDown)];
    assert_eq!(
        (client.outcomes.as_slice(), other.outcomes.as_slice()),
        (&expected[..], &expected[..])
    );
    assert_eq!((rig.n_suspended(), rig.n_active(), rig.n_queued()), (0, 0, 0));
    assert!(rig.scheduler.is_idle());
}
