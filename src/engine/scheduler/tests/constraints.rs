//! Answers with a constraint: how they end, which tokens are drafted, and what else goes on.

use super::*;
use crate::domain::{Code, Constraint, JsonText};

/// A rig with one slot of 400 tokens.
fn rig() -> Rig {
    Rig::new(Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 400, n_draft: 15 }, 400)
}

/// Parameters for one of `choices`.
fn one_of(choices: &[&str]) -> Params {
    let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
    Params { constraint: Some(Box::new(Constraint::Choice(choices))), ..Params::default() }
}

/// Runs a request alone. Returns its text, why it ended, its usage and the number of steps.
fn run(prompt: &str, params: Params) -> (String, FinishReason, Usage, usize) {
    let mut rig = rig();
    let mut client = rig.submit(prompt, params);
    let mut n_steps = 0;
    while rig.iterate().is_some() {
        n_steps += 1;
        client.read();
    }
    client.read();
    match client.outcomes[..] {
        [Outcome::Finished { reason, usage, .. }] => (client.text, reason, usage, n_steps),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn complete_answer_ends_without_an_end_token() {
    for ignore_eos in [false, true] {
        let (text, reason, usage, _) = run("x", Params { ignore_eos, ..one_of(&["yes", "no"]) });
        // Neither begins as the script goes on, so the first one is taken.
        assert_eq!((text.as_str(), reason, usage.tokens), ("no", FinishReason::Stop, 2));
    }
    let (text, reason, ..) = run("yes", Params { max_tokens: Some(3), ..one_of(&["yes", "no"]) });
    assert_eq!((text.as_str(), reason), ("yes", FinishReason::Stop));
}

#[test]
fn answer_cut_by_max_tokens_says_so() {
    let (text, reason, ..) = run("yes", Params { max_tokens: Some(2), ..one_of(&["yes", "no"]) });
    assert_eq!((text.as_str(), reason), ("ye", FinishReason::MaxTokens));
}

#[test]
fn stop_string_ends_an_answer_with_a_constraint() {
    let stop = vec!["l".to_owned()];
    let (text, reason, ..) = run("x", Params { stop, ..one_of(&["hello"]) });
    assert_eq!((text.as_str(), reason), ("he", FinishReason::Stop));
}

#[test]
fn forced_tokens_are_drafted_and_all_accepted() {
    let long = "a text that has to be written as it is, without any choice";
    let (text, _, usage, n_steps) = run("x", one_of(&[long]));
    assert_eq!(text, long);
    // The last token ends the answer, and so does not count as a draft that was accepted.
    assert_eq!((usage.drafted, usage.tokens), (usage.accepted + 1, long.len()));
    assert!(n_steps < 8 && usage.drafted > 50, "{n_steps} {usage:?}");
    let off = Params { speculative: Some(Speculation::Off), ..one_of(&[long]) };
    let (text, _, usage, n_steps) = run("x", off);
    assert_eq!((text.as_str(), usage.drafted, n_steps), (long, 0, long.len()));
}

#[test]
fn drafts_of_other_drafters_are_accepted_only_where_they_are_allowed() {
    let regex = Constraint::Regex("(abcdefgh){3}abXY".to_owned());
    let params = Params {
        constraint: Some(Box::new(regex)),
        speculative: Some(Speculation::Ngram),
        ..Params::default()
    };
    let (text, reason, ..) = run("abcdefghabcdefghabcdefgh", params);
    assert_eq!((text.as_str(), reason), ("abcdefghabcdefghabcdefghabXY", FinishReason::Stop));
}

#[test]
fn constraint_that_cannot_go_on_is_the_fault_of_the_request() {
    let endless = Constraint::Lark("start: /[ab]/ x\nx: \"c\" x".to_owned());
    let mut rig = rig();
    let params = Params { constraint: Some(Box::new(endless)), ..Params::default() };
    let mut client = rig.submit("x", params);
    while rig.iterate().is_some() {}
    client.read();
    let reason = "it prescribes too much text in one piece, or text without end".to_owned();
    let failure = Failure::ConstraintFailed { field: "format".to_owned(), reason };
    assert_eq!(failure.code(), Code::InvalidParams);
    assert_eq!(client.outcomes, [Outcome::Failed(failure)]);
}

#[test]
fn other_stream_gets_a_token_in_each_step_beside_a_hostile_constraint() {
    let deep = format!("{}{{}}{}", "{\"items\":".repeat(90), "}".repeat(90));
    let schema = |text: &str| Constraint::JsonSchema(JsonText(text.to_owned()));
    for constraint in [
        Constraint::Regex("(a|b)*a(a|b){2000}".to_owned()),
        Constraint::Regex("(x+x+)+y".to_owned()),
        Constraint::Lark("start: start start | \"a\" | \"b\"".to_owned()),
        Constraint::Gbnf("root ::= root root | [a-z]".to_owned()),
        schema(r#"{"type": "string", "pattern": "(.*a.*b.*c.*)+d"}"#),
        schema(&deep),
    ] {
        let limits = Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 400, n_draft: 15 };
        let mut rig = Rig::new(limits, 800);
        let off = Params { speculative: Some(Speculation::Off), ..at_most(150) };
        let mut stream = rig.submit("loop", off);
        let params = Params { constraint: Some(Box::new(constraint.clone())), ..at_most(100) };
        let mut hostile = rig.submit_as(2, "abc", params);
        while stream.text.is_empty() {
            rig.iterate();
            stream.read();
        }
        for n_steps in 1..=60 {
            let n_before = stream.text.len();
            rig.iterate();
            stream.read();
            hostile.read();
            assert!(stream.text.len() > n_before, "{constraint:.99?}: nothing in step {n_steps}");
        }
    }
}

#[test]
fn suspended_answer_goes_on_in_its_constraint() {
    let digits = Constraint::Regex("[0-9]{100}".to_owned());
    let params = Params { constraint: Some(Box::new(digits)), ..Params::default() };
    let limits = Limits { n_ubatch: 64, n_slots: 1, slot_tokens: 600, n_draft: 0 };
    for cache_ram_bytes in [0, 4000] {
        let mut rig = Rig::with_cache(cache_ram_bytes, limits, 600);
        let mut client = rig.submit_as(1, "loop 12", params.clone());
        for _ in 0..50 {
            rig.iterate();
            client.read();
        }
        let mut other = rig.submit_as(2, "loop", at_most(40));
        rig.drive(&mut [&mut client, &mut other]);
        assert_eq!((rig.n_suspensions(), client.usage().tokens), (1, 100));
        assert!(client.text.bytes().all(|byte| byte.is_ascii_digit()), "{}", client.text);
    }
}

#[test]
fn request_without_a_constraint_goes_on_beside_one_with_a_constraint() {
    let mut rig = Rig::with_slots(2);
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let constraint = Constraint::JsonSchema(JsonText(schema.to_owned()));
    let params = Params { constraint: Some(Box::new(constraint)), ..Params::default() };
    let mut clients = [rig.submit("abc", params), rig.submit_as(2, "abc", Params::default())];
    let [a, b] = &mut clients;
    rig.drive(&mut [a, b]);
    assert!(a.text.starts_with("{\"a\": \""), "{}", a.text);
    assert_eq!(b.text, "abc");
}
