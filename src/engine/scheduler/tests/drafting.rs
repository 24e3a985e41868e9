//! Draft tokens: which slots get them, and when drafting stops.

use super::*;

/// Runs a request whose answer repeats its prompt. Returns the number of steps and the usage.
fn run_repetition(speculative: Speculation) -> (usize, Usage) {
    let mut rig = Rig::with_slots(1);
    let params = Params { speculative: Some(speculative), ..Params::default() };
    let prompt = "abcdefghijklmnopqrstuvwxyz abcdefghijklmnop";
    let mut client = rig.submit(prompt, params);
    let mut steps = 0;
    while rig.iterate().is_some() {
        steps += 1;
        client.read();
    }
    client.read();
    assert_eq!(client.text, prompt);
    (steps, client.usage())
}

#[test]
fn repetitive_text_takes_fewer_steps_with_drafts_and_is_the_same() {
    let (plain, usage) = run_repetition(Speculation::Off);
    assert_eq!((usage.drafted, usage.accepted), (0, 0));
    let (fewer, usage) = run_repetition(Speculation::Ngram);
    assert!(fewer + 20 < plain, "{fewer} instead of {plain}");
    assert!(usage.accepted >= 20 && usage.accepted <= usage.drafted, "{usage:?}");
}

#[test]
fn slots_take_turns_with_drafts() {
    // A step has three draft tokens, which one slot takes.
    let limits = Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 100, n_draft: 3 };
    let mut rig = Rig::new(limits, 100);
    let mut clients = [rig.submit("loop ab", at_most(90)), rig.submit("loop cd", at_most(90))];
    for _ in 0..24 {
        rig.iterate();
        clients.iter_mut().for_each(Client::read);
    }
    let [a, b] = clients.map(|client| client.text.len());
    assert!(a + b > 2 * 24 && a.abs_diff(b) <= 4, "{a} and {b}");
}

/// Runs a request for `n` tokens of a text that repeats nothing. Returns the number of steps and
/// the usage.
fn run_walk(
    draft: ScriptedDraft,
    speculative: Speculation,
    prompt: &str,
    n: u32,
) -> (usize, Usage) {
    let mut rig = Rig::with_slots(1).with_draft(draft);
    let params = Params { speculative: Some(speculative), ..at_most(n) };
    let mut client = rig.submit(prompt, params);
    let mut steps = 0;
    while rig.iterate().is_some() {
        steps += 1;
    }
    client.read();
    let usage = client.usage();
    assert_eq!(usage.tokens, n as usize);
    (steps, usage)
}

#[test]
fn correct_draft_model_saves_steps_where_a_text_repeats_nothing() {
    let (steps, usage) = run_walk(ScriptedDraft::Correct, Speculation::Auto, "walk", 90);
    assert!(steps < 30, "{steps}");
    assert!(usage.accepted > 60, "{usage:?}");
}

#[test]
fn wrong_draft_model_is_soon_not_asked_any_more() {
    let (steps, usage) = run_walk(ScriptedDraft::Wrong, Speculation::Auto, "walk", 90);
    assert_eq!((steps, usage.accepted), (90, 0));
    assert!((1..20).contains(&usage.drafted), "{usage:?}");
}

#[test]
fn draft_model_is_not_asked_for_requests_without_auto_speculation() {
    for speculative in [Speculation::Ngram, Speculation::Off] {
        let (steps, usage) = run_walk(ScriptedDraft::Correct, speculative, "walk", 90);
        assert_eq!((steps, usage.drafted), (90, 0));
    }
}

#[test]
fn draft_model_is_not_asked_for_a_text_with_tokens_it_lacks() {
    let drafted =
        |prompt| run_walk(ScriptedDraft::AsciiOnly, Speculation::Auto, prompt, 10).1.drafted;
    assert!(drafted("walk") > 0);
    assert_eq!(drafted("walk é"), 0);
}

#[test]
fn draft_model_does_not_prefill_a_long_prompt_for_a_short_answer() {
    let prompt = format!("walk{}", "x".repeat(66));
    let (_, usage) = run_walk(ScriptedDraft::Correct, Speculation::Auto, &prompt, 20);
    assert_eq!(usage.drafted, 0);
}

#[test]
fn expected_answer_follows_earlier_answers_and_the_tokens_so_far() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 240, n_draft: 15 };
    let mut rig = Rig::new(limits, 240).with_draft(ScriptedDraft::Correct);
    for _ in 0..20 {
        let mut client = rig.submit("walk", at_most(5));
        rig.drive(&mut [&mut client]);
    }
    let mut client = rig.submit(&format!("walk{}", "x".repeat(66)), Params::default());
    let progress = |rig: &Rig| {
        rig.scheduler.slots[0].as_ref().map(|slot| (slot.n_generated(), slot.speculation.n_drafted))
    };
    while progress(&rig).is_none_or(|(tokens, _)| tokens < 65) {
        rig.iterate();
        client.read();
    }
    let (_, drafted) = progress(&rig).unwrap();
    assert_eq!(drafted, 0, "answers are expected to be too short for the prefill");
    while progress(&rig).is_some_and(|(tokens, _)| tokens < 140) {
        rig.iterate();
        client.read();
    }
    let (_, drafted) = progress(&rig).unwrap();
    assert!(drafted > 20, "this answer has become as long as its prompt");
}

#[test]
fn streams_that_all_repeat_themselves_get_drafts_in_the_same_steps() {
    let mut rig = Rig::with_slots(4).with_draft(ScriptedDraft::Wrong);
    let mut clients = ["ab", "abc", "abcd", "abcde"].map(|cycle| {
        let params = Params { speculative: Some(Speculation::Ngram), ..at_most(60) };
        rig.submit(&format!("loop{cycle}"), params)
    });
    let mut steps = 0;
    while rig.iterate().is_some() {
        steps += 1;
    }
    assert!(steps < 40, "{steps}");
    for client in &mut clients {
        client.read();
        let Usage { tokens, accepted, .. } = client.usage();
        assert_eq!(tokens, 60);
        assert!(accepted > 30, "{accepted}");
    }
}
