//! Delivery of text to clients that read fast or slowly.

use futures_util::FutureExt;

use super::*;

#[test]
fn first_text_is_notified_urgently_and_later_text_is_coalesced() {
    let mut rig = Rig::with_slots(1);
    let client = rig.submit("loop", Params::default());
    let mut notified = || {
        rig.iterate();
        let Client { notifier, .. } = &client;
        (notifier.urgent().now_or_never().is_some(), notifier.coalesced().now_or_never().is_some())
    };
    // The start is reported without haste, in the same iteration as the first text.
    assert_eq!(notified(), (true, true));
    assert_eq!((notified(), notified()), ((false, true), (false, true)));
}

#[test]
fn slow_client_is_paused_and_then_dropped_without_delaying_others() {
    let mut rig =
        Rig::new(Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 20_000, n_draft: 0 }, 40_000);
    let mut slow = rig.submit("loop", Params::default());
    let mut fast = rig.submit("loop", at_most(16_600));
    while fast.outcomes.is_empty() {
        rig.iterate();
        fast.read();
    }
    rig.iterate();
    let limit = rig.wait_limit();
    assert!(matches!(limit, WaitLimit::AtMost(left) if left <= GRACE));
    assert_eq!(rig.iterate(), None, "a paused slot takes no part in steps");
    rig.now += GRACE;
    rig.iterate();
    slow.read();
    assert_eq!(slow.outcomes, [Outcome::Failed(Failure::SlowClient { grace: GRACE })]);
    assert_eq!(rig.wait_limit(), WaitLimit::Unlimited);
}

#[test]
fn paused_client_that_reads_again_gets_all_text() {
    let mut rig =
        Rig::new(Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 40_000, n_draft: 0 }, 40_000);
    let mut client = rig.submit("loop", at_most(20_000));
    while rig.iterate().is_some() {}
    assert!(!rig.scheduler.is_idle());
    client.read();
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text.len(), 20_000);
}

#[test]
fn generation_time_excludes_the_step_of_the_end_token() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("abc", Params::default());
    rig.drive(&mut [&mut client]);
    let Usage { tokens, generation, .. } = client.usage();
    assert_eq!((tokens, generation), (3, Duration::from_millis(20)), "two steps after the first");
}

#[test]
fn time_of_each_step_is_divided_among_its_requests() {
    let mut rig = Rig::with_slots(2);
    rig.per_token = Duration::from_millis(1);
    let mut one = rig.submit_as(1, "abcdefgh", at_most(1));
    let mut two = rig.submit_as(2, "abcd", at_most(2));
    let began = rig.now;
    rig.drive(&mut [&mut one, &mut two]);
    let computing = [one.usage().computing, two.usage().computing];
    // The first step has twelve tokens, the second one.
    assert_eq!(computing[0], Duration::from_millis(22).mul_f64(8.0 / 12.0));
    assert_eq!(computing.iter().sum::<Duration>().as_micros(), (rig.now - began).as_micros());
}

#[test]
fn connection_with_a_paused_slot_gets_no_further_slots() {
    let mut rig =
        Rig::new(Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 40_000, n_draft: 0 }, 40_000);
    let mut slow = rig.submit("loop", Params::default());
    while rig.iterate().is_some() {}
    let mut next = rig.submit("loop", at_most(3));
    let mut other = rig.submit_as(2, "loop", at_most(3));
    while rig.iterate().is_some() {}
    [&mut slow, &mut next, &mut other].into_iter().for_each(Client::read);
    assert_eq!((next.text.as_str(), other.text.as_str()), ("", "loo"));
    rig.iterate();
    slow.cancel.set();
    rig.drive(&mut [&mut slow, &mut next]);
    assert_eq!(next.text, "loo");
}

#[test]
fn waiting_requests_of_a_slow_client_end_with_its_running_one() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 40_000, n_draft: 0 };
    let mut rig = Rig::new(limits, 40_000);
    let mut stuck = [rig.submit("loop", Params::default()), rig.submit("loop", Params::default())];
    let mut other = rig.submit_as(2, "loop", at_most(3));
    while rig.iterate().is_some() {}
    rig.now += GRACE;
    rig.iterate();
    stuck.iter_mut().for_each(Client::read);
    let slow = [Outcome::Failed(Failure::SlowClient { grace: GRACE })];
    assert!(stuck.iter().all(|client| client.outcomes == slow));
    rig.drive(&mut [&mut other]);
    assert_eq!(other.text, "loo");
}

#[test]
fn waiting_request_is_admitted_before_the_last_outcome_is_read() {
    let mut rig = Rig::with_slots(1);
    let _unread = rig.submit("loop", at_most(1));
    let mut waiting = rig.submit("loop", at_most(1));
    rig.iterate();
    assert_eq!(rig.wait_limit(), WaitLimit::NoWait);
    rig.iterate();
    waiting.read();
    assert_eq!(waiting.text, "l");
    assert_eq!(rig.wait_limit(), WaitLimit::Unlimited);
}

/// The answer to a prompt of `bytes`, which the model repeats, and why it ended.
fn answer(bytes: &[u8], params: Params) -> (String, FinishReason) {
    let mut rig = Rig::with_slots(1);
    let tokens = bytes.iter().copied().map(Token::from).collect();
    let mut client = rig.submit_tokens(1, tokens, params);
    rig.drive(&mut [&mut client]);
    match client.outcomes[..] {
        [Outcome::Finished { reason, .. }] => (client.text, reason),
        ref other => panic!("not finished once: {other:?}"),
    }
}

#[test]
fn cut_character_becomes_one_replacement_character_however_the_answer_finishes() {
    use FinishReason::{ContextFull, MaxTokens, Stop};
    let stop = |text: &str| Params { stop: vec![text.to_owned()], ..Params::default() };
    let mut dog = "a🐶".as_bytes().to_vec();
    for n in 2..5 {
        assert_eq!(answer(&dog, at_most(n)), ("a\u{fffd}".to_owned(), MaxTokens), "{n} tokens");
    }
    assert_eq!(answer(&dog, at_most(5)), ("a🐶".to_owned(), MaxTokens));

    // The context of 100 tokens is full after 41 tokens of the answer.
    let prompt = format!("{}é{}", "a".repeat(40), "a".repeat(17));
    let expected = "a".repeat(40) + "\u{fffd}";
    assert_eq!(answer(prompt.as_bytes(), Params::default()), (expected, ContextFull));

    dog.truncate(4);
    assert_eq!(answer(&dog, Params::default()), ("a\u{fffd}".to_owned(), Stop), "end of the model");
    let before_stop = [&dog, b"END".as_slice()].concat();
    assert_eq!(answer(&before_stop, stop("END")), ("a\u{fffd}".to_owned(), Stop));
    // Text that may be the start of a stop string is released with it.
    assert_eq!(answer(b"aEN\xc3", stop("END")), ("aEN\u{fffd}".to_owned(), Stop));
}

#[test]
fn stop_string_is_told_and_cuts_the_log_probabilities_with_the_text() {
    let with_stops = |prompt: &str| {
        let stop = vec!["END".to_owned(), "🐶!".to_owned()];
        let mut rig = Rig::with_slots(1);
        let mut client = rig.submit(prompt, Params { logprobs: 1, stop, ..Params::default() });
        rig.drive(&mut [&mut client]);
        let stop = match &client.outcomes[..] {
            [Outcome::Finished { stop, .. }] => stop.clone(),
            other => panic!("not finished once: {other:?}"),
        };
        let bytes = client.logprobs.iter().flat_map(|token| token.chosen.bytes.clone()).collect();
        (client.text, String::from_utf8(bytes).unwrap(), stop)
    };
    let expected = |text: &str, stop: Option<&str>| {
        (text.to_owned(), text.to_owned(), stop.map(str::to_owned))
    };
    assert_eq!(with_stops("abEND of it"), expected("ab", Some("END")));
    assert_eq!(with_stops("ENEND"), expected("EN", Some("END")));
    assert_eq!(with_stops("a🐶!"), expected("a", Some("🐶!")));
    assert_eq!(with_stops("END"), expected("", Some("END")));
    // Text that turns out to be none keeps its log probabilities.
    assert_eq!(with_stops("a🐶 ENV EN"), expected("a🐶 ENV EN", None));
}

#[test]
fn cut_character_of_an_aborted_answer_becomes_one_replacement_character() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("🐶 loop", Params { ignore_eos: true, ..Params::default() });
    rig.iterate();
    rig.iterate();
    client.read();
    assert_eq!(client.text, "", "an incomplete character is held back");
    client.cancel.set();
    rig.drive(&mut [&mut client]);
    assert_eq!((client.text.as_str(), client.usage().tokens), ("\u{fffd}", 2));
}

#[test]
fn failed_answer_ends_without_the_text_that_was_held_back() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 100, n_draft: 0 };
    let mut rig = Rig::new(limits, 100);
    let params = Params { stop: vec!["bX".to_owned()], ..Params::default() };
    let tokens = b"ab\xf0\x9f".iter().copied().map(Token::from).collect();
    let mut client = rig.submit_tokens(1, tokens, params);
    for _ in 0..4 {
        rig.iterate();
    }
    let step = rig.scheduler.plan(&StopFlag::default()).unwrap();
    let reason = "no memory".to_owned();
    rig.scheduler.commit(&step, DecodeOutcome::Failed(reason.clone()), rig.now, rig.now);
    client.read();
    assert_eq!(client.text, "a");
    assert_eq!(client.outcomes, [Outcome::Failed(Failure::EngineFailed { reason })]);
}
