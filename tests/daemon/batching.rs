//! Requests that are computed in one batch do not change each other's text.

use inference_core::domain::Params;

use crate::harness::{Harness, NEAR_TIE, assert_same_greedy_text, greedy};

const PROMPTS: [&str; 8] = [
    "Tell me a story about a dog",
    "Cuéntame un cuento sobre un gato",
    "Hola, ¿cómo estás?",
    "Hello!",
    "What is the opposite of hot?",
    "Once upon a time there was a bird",
    "Había una vez una niña que vivía en el bosque",
    "Explica la teoría de la relatividad",
];

#[test]
fn greedy_text_of_a_batched_request_is_that_of_the_request_alone() {
    let params = Params { logprobs: 2, cache_prompt: false, ..greedy(60) };
    let alone = Harness::without_flash_attention(1);
    let expected = PROMPTS.map(|prompt| alone.generate(prompt, params.clone()).text);
    for slots in [8, 3] {
        let together = Harness::without_flash_attention(slots).generate_all(&PROMPTS, &params);
        for ((prompt, answer), expected) in PROMPTS.iter().zip(&together).zip(&expected) {
            assert_same_greedy_text(prompt, answer, expected, NEAR_TIE);
        }
    }
}

#[test]
fn sampled_text_with_a_seed_does_not_depend_on_the_order_of_requests() {
    let params =
        Params { seed: Some(7), cache_prompt: false, max_tokens: Some(30), ..Params::default() };
    let harness = Harness::demo(1);
    let texts = |prompts: &[&str]| -> Vec<String> {
        harness.generate_all(prompts, &params).into_iter().map(|answer| answer.text).collect()
    };
    let forwards = texts(&PROMPTS);
    let reversed: Vec<&str> = PROMPTS.iter().rev().copied().collect();
    let mut backwards = texts(&reversed);
    backwards.reverse();
    assert_eq!(forwards, backwards);
}
