//! Guesses: who gets them, and when they end.

use super::*;

/// Steps of an answer of `n` tokens that does not repeat anything, and what was guessed.
fn walk(draft: ScriptedDraft, speculative: Speculation, prompt: &str, n: u32) -> (usize, Usage) {
    let mut rig = Rig::with_slots(1).with_draft(draft);
    let params = Params { speculative: Some(speculative), ..at_most(n) };
    let mut client = rig.submit(prompt, params);
    let mut steps = 0;
    while rig.turn().is_some() {
        steps += 1;
    }
    client.read();
    let usage = client.usage();
    assert_eq!(usage.tokens, n as usize);
    (steps, usage)
}

#[test]
fn a_draft_model_that_is_right_saves_steps_where_a_text_repeats_nothing() {
    let (steps, usage) = walk(ScriptedDraft::Correct, Speculation::Auto, "walk", 90);
    assert!(steps < 30, "{steps}");
    assert!(usage.accepted > 60, "{usage:?}");
}

#[test]
fn a_draft_model_that_is_wrong_is_soon_left_alone() {
    let (steps, usage) = walk(ScriptedDraft::Wrong, Speculation::Auto, "walk", 90);
    assert_eq!((steps, usage.accepted), (90, 0));
    assert!((1..20).contains(&usage.drafted), "{usage:?}");
}

#[test]
fn a_draft_model_guesses_for_nobody_who_wants_the_texts_own_guesses_alone() {
    for speculative in [Speculation::Ngram, Speculation::Off] {
        let (steps, usage) = walk(ScriptedDraft::Correct, speculative, "walk", 90);
        assert_eq!((steps, usage.drafted), (90, 0));
    }
}

#[test]
fn a_draft_model_is_not_asked_of_a_text_with_a_token_that_it_does_not_have() {
    let drafted = |prompt| walk(ScriptedDraft::AsciiOnly, Speculation::Auto, prompt, 10).1.drafted;
    assert!(drafted("walk") > 0);
    assert_eq!(drafted("walk é"), 0);
}

#[test]
fn a_long_prompt_is_not_read_a_second_time_for_a_short_answer() {
    let prompt = format!("walk{}", "x".repeat(66));
    let (_, usage) = walk(ScriptedDraft::Correct, Speculation::Auto, &prompt, 20);
    assert_eq!(usage.drafted, 0);
}

#[test]
fn how_long_an_answer_may_become_says_little_of_how_long_it_will_be() {
    let limits = Limits { n_batch: 16, n_slots: 1, n_cache_seqs: 4, kv_tokens: 240, n_draft: 15 };
    let mut rig = Rig::new(limits, 240).with_draft(ScriptedDraft::Correct);
    for _ in 0..20 {
        let mut client = rig.submit("walk", at_most(5));
        rig.drive(&mut [&mut client]);
    }
    let mut client = rig.submit(&format!("walk{}", "x".repeat(66)), Params::default());
    let at =
        |rig: &Rig| rig.scheduler.slots[0].as_ref().map(|slot| (slot.n_generated(), slot.drafted));
    while at(&rig).is_none_or(|(tokens, _)| tokens < 65) {
        rig.turn();
        client.read();
    }
    assert_eq!(at(&rig).unwrap().1, 0, "answers are short, and it pays for no reading");
    while at(&rig).is_some_and(|(tokens, _)| tokens < 140) {
        rig.turn();
        client.read();
    }
    assert!(at(&rig).unwrap().1 > 20, "this one is as long as its prompt, and may be longer");
}

#[test]
fn streams_that_all_repeat_themselves_guess_in_the_same_steps() {
    let mut rig = Rig::with_slots(4).with_draft(ScriptedDraft::Wrong);
    let mut clients = ["ab", "abc", "abcd", "abcde"].map(|turns| {
        let params = Params { speculative: Some(Speculation::Ngram), ..at_most(60) };
        rig.submit(&format!("loop{turns}"), params)
    });
    let mut steps = 0;
    while rig.turn().is_some() {
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
