//! Requests that take turns in a slot get the same text as without interruption.

use inference_core::domain::{Params, Speculation};
use inference_core::llama::ModelSource;

use crate::fixture::Shape;
use crate::harness::{Answer, Harness, NEAR_TIE, assert_same_greedy_text, greedy};

const PROMPTS: [&str; 4] = [
    "Tell me a story about a dog",
    "Había una vez un perro pequeño que vivía cerca del río",
    "The girl went to the sea with her mother and a small boat, and there they saw a bird",
    "user: Tell me a story about a cat and a tree.\nassistant: ",
];

/// Parameters that use all of the sampler's state.
fn random(max_tokens: u32) -> Params {
    Params {
        temp: 1.0,
        seed: Some(7),
        repeat_penalty: 1.3,
        frequency_penalty: 0.1,
        repeat_last_n: None,
        max_tokens: Some(max_tokens),
        ..Params::default()
    }
}

/// All answers one after the other, and in turns in the only slot of `harness`, with at least
/// `n_suspensions` suspensions.
fn alone_and_in_turns(
    harness: &Harness,
    params: &Params,
    n_suspensions: u64,
) -> (Vec<Answer>, Vec<Answer>) {
    let params = Params { ignore_eos: true, cache_prompt: false, logprobs: 2, ..params.clone() };
    let n_so_far = || harness.handle().snapshot().numbers.suspensions_total;
    let alone = PROMPTS.iter().map(|prompt| harness.generate(prompt, params.clone())).collect();
    assert_eq!(n_so_far(), 0);
    let in_turns = harness.generate_for_each(&PROMPTS, &params);
    assert!(n_so_far() >= n_suspensions, "{} suspensions", n_so_far());
    (alone, in_turns)
}

/// Asserts that texts and log probabilities are the same in turns as alone.
fn check_same_answers(harness: &Harness, params: &Params) {
    let (alone, in_turns) = alone_and_in_turns(harness, params, 4);
    for ((prompt, one), other) in PROMPTS.iter().zip(&alone).zip(&in_turns) {
        assert_eq!(one.text, other.text, "{prompt}");
        assert!(one.logprobs == other.logprobs, "{prompt}: log probabilities differ");
    }
}

/// Asserts that texts are the same in turns as alone, but for near ties.
fn check_alike_answers(harness: &Harness, params: &Params, n_suspensions: u64) {
    let (alone, in_turns) = alone_and_in_turns(harness, params, n_suspensions);
    for ((prompt, one), other) in PROMPTS.iter().zip(&alone).zip(&in_turns) {
        assert_same_greedy_text(prompt, other, &one.text, NEAR_TIE);
    }
}

#[test]
fn greedy_answers_in_turns_are_the_same() {
    check_same_answers(&Harness::demo(1), &greedy(300));
}

#[test]
fn random_answers_with_penalties_in_turns_are_the_same() {
    check_same_answers(&Harness::demo(1), &random(300));
}

#[test]
fn answers_in_turns_are_the_same_without_flash_attention() {
    check_same_answers(&Harness::without_flash_attention(1), &greedy(300));
}

/// llama.cpp imports a window into other cells than it was in, which changes the order of sums.
#[test]
fn answers_of_a_sliding_window_model_in_turns_are_the_same_but_for_near_ties() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(64), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    check_alike_answers(&Harness::file(&path, 1), &greedy(300), 4);
}

#[test]
fn answers_in_turns_are_the_same_but_for_near_ties_if_they_are_prefilled_again() {
    check_alike_answers(&Harness::without_cache_ram(1), &greedy(100), 2);
}

#[test]
fn answers_with_drafts_in_turns_are_the_same_but_for_near_ties() {
    let harness = Harness::with_draft_model(ModelSource::Demo, 1, ModelSource::Demo);
    let params = Params { speculative: Some(Speculation::Auto), ..greedy(200) };
    check_alike_answers(&harness, &params, 4);
    let numbers = harness.handle().snapshot().numbers;
    assert!(numbers.accepted_total > 0, "no draft token was accepted");
}
