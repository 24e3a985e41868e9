//! Every sampling parameter has its documented effect.

use std::collections::HashSet;
use std::fs;

use inference_core::domain::{FinishReason, Params, Token};

use crate::fixture::value_type::{ARRAY, I32};
use crate::fixture::{Gguf, array_value};
use crate::harness::{Answer, Harness, greedy};

const PROMPT: &str = "Tell me a story about a dog";

fn sampled(seed: u32) -> Params {
    Params { seed: Some(seed), max_tokens: Some(50), temp: 1.0, ..Params::default() }
}

/// The different texts for twelve seeds.
fn texts_of_seeds(harness: &Harness, params: &Params) -> HashSet<String> {
    (0..12)
        .map(|seed| harness.generate(PROMPT, Params { seed: Some(seed), ..params.clone() }).text)
        .collect()
}

fn tokens(answer: &Answer) -> Vec<Token> {
    answer.logprobs.iter().map(|logprobs| logprobs.chosen.token).collect()
}

#[test]
fn seed_determines_the_text() {
    let harness = Harness::demo(2);
    let text = harness.generate(PROMPT, sampled(1)).text;
    assert_eq!(harness.generate(PROMPT, sampled(1)).text, text);
    assert!(texts_of_seeds(&harness, &sampled(0)).len() > 6);
}

#[test]
fn answer_without_a_seed_is_random() {
    let harness = Harness::demo(2);
    let params = Params { seed: None, temp: 1.5, ..sampled(0) };
    let texts: HashSet<String> =
        (0..6).map(|_| harness.generate(PROMPT, params.clone()).text).collect();
    assert!(texts.len() > 1);
}

#[test]
fn temperature_0_is_greedy_and_a_higher_one_varies_more() {
    let harness = Harness::demo(2);
    let cold = Params { temp: 0.0, ..sampled(0) };
    assert_eq!(texts_of_seeds(&harness, &cold).len(), 1);
    let unfiltered = Params { top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens: Some(6), ..sampled(0) };
    let cool = Params { temp: 0.1, ..unfiltered.clone() };
    let hot = Params { temp: 2.0, ..unfiltered };
    assert!(texts_of_seeds(&harness, &cool).len() < texts_of_seeds(&harness, &hot).len());
}

#[test]
fn filter_that_leaves_one_token_is_greedy() {
    let harness = Harness::demo(2);
    let expected = harness.generate(PROMPT, greedy(50)).text;
    let unfiltered = Params { top_k: 0, top_p: 1.0, min_p: 0.0, ..sampled(3) };
    let table = [
        ("top_k", Params { top_k: 1, ..unfiltered.clone() }),
        ("top_p", Params { top_p: 0.0, ..unfiltered.clone() }),
        ("min_p", Params { min_p: 1.0, ..unfiltered.clone() }),
    ];
    assert_ne!(
        harness.generate(PROMPT, unfiltered).text,
        expected,
        "unfiltered text is not greedy"
    );
    for (name, params) in table {
        assert_eq!(harness.generate(PROMPT, params).text, expected, "{name}");
    }
}

#[test]
fn typical_p_reduces_the_variety() {
    let harness = Harness::demo(2);
    let unfiltered = Params { top_k: 0, top_p: 1.0, min_p: 0.0, temp: 1.5, ..sampled(0) };
    let narrow = Params { typical_p: 0.05, ..unfiltered.clone() };
    assert!(texts_of_seeds(&harness, &narrow).len() < texts_of_seeds(&harness, &unfiltered).len());
}

#[test]
fn penalties_reduce_repetition_within_their_window() {
    let harness = Harness::demo(2);
    let base = Params { logprobs: 1, ignore_eos: true, ..greedy(150) };
    let n_distinct = |params: Params| {
        tokens(&harness.generate(PROMPT, params)).into_iter().collect::<HashSet<_>>().len()
    };
    let plain = n_distinct(base.clone());
    let table = [
        ("repeat_penalty", Params { repeat_penalty: 1.8, repeat_last_n: None, ..base.clone() }),
        ("presence_penalty", Params { presence_penalty: 5.0, repeat_last_n: None, ..base.clone() }),
        (
            "frequency_penalty",
            Params { frequency_penalty: 3.0, repeat_last_n: None, ..base.clone() },
        ),
    ];
    for (name, params) in table {
        assert!(n_distinct(params.clone()) > plain, "{name}");
        let without_window = Params { repeat_last_n: Some(0), ..params };
        assert_eq!(n_distinct(without_window), plain, "{name} with an empty window");
    }
}

#[test]
fn logit_bias_forces_or_forbids_a_token() {
    let harness = Harness::demo(2);
    let base = Params { logprobs: 1, ..greedy(5) };
    let plain = tokens(&harness.generate(PROMPT, base.clone()));
    let forbidden = Params { logit_bias: vec![(plain[0], -100.0)], ..base.clone() };
    assert!(!tokens(&harness.generate(PROMPT, forbidden)).contains(&plain[0]));
    let forced = Params { logit_bias: vec![(plain[1], 100.0)], ..base };
    assert_eq!(tokens(&harness.generate(PROMPT, forced)), [plain[1]; 5]);
}

#[test]
fn logit_bias_of_an_unknown_token_is_refused() {
    let harness = Harness::demo(1);
    for token in [-1, 1_000_000] {
        let params = Params { logit_bias: vec![(token, 1.0)], ..greedy(1) };
        let prompt = inference_core::domain::Prompt::Text(PROMPT.to_owned());
        let refusal = harness.submit(prompt, params).map(|_| ()).unwrap_err();
        assert!(refusal.to_string().contains(&token.to_string()), "{refusal}");
    }
}

#[test]
fn ignore_eos_continues_after_the_end_of_the_answer() {
    let harness = Harness::demo(2);
    let ended = harness.generate(PROMPT, greedy(400));
    assert_eq!(ended.reason, FinishReason::Stop);
    let continued = harness.generate(PROMPT, Params { ignore_eos: true, ..greedy(400) });
    assert_eq!((continued.reason, continued.usage.tokens), (FinishReason::MaxTokens, 400));
    assert!(continued.text.starts_with(&ended.text));
}

#[test]
fn stop_string_ends_the_text_before_it() {
    let harness = Harness::demo(2);
    let whole = harness.generate(PROMPT, greedy(60)).text;
    let stop: String = whole.chars().skip(10).take(6).collect();
    let params = Params { stop: vec!["never".to_owned(), stop.clone()], ..greedy(60) };
    let cut = harness.generate(PROMPT, params);
    assert_eq!(cut.text, whole[..whole.find(&stop).unwrap()]);
    assert_eq!(cut.reason, FinishReason::Stop);
}

#[test]
fn max_tokens_limits_the_generated_tokens() {
    let harness = Harness::demo(2);
    for n in [0, 1, 7] {
        let answer = harness.generate(PROMPT, greedy(n));
        assert_eq!((answer.usage.tokens, answer.reason), (n as usize, FinishReason::MaxTokens));
    }
}

#[test]
fn logprobs_are_sorted_and_independent_of_parameters() {
    let harness = Harness::demo(2);
    let answer = harness.generate(PROMPT, Params { logprobs: 5, ..greedy(10) });
    assert_eq!(answer.logprobs.len(), 10);
    let bytes: Vec<u8> =
        answer.logprobs.iter().flat_map(|logprobs| logprobs.chosen.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), answer.text);
    for logprobs in &answer.logprobs {
        assert_eq!(logprobs.chosen, logprobs.top[0], "greedy sampling chooses the likeliest token");
        assert!(logprobs.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
        let sum: f32 = logprobs.top.iter().map(|l| l.logprob.exp()).sum();
        assert!(sum > 0.0 && sum <= 1.0001, "{sum}");
    }
    let biased = Params { logprobs: 5, logit_bias: vec![(5, 50.0)], ..greedy(1) };
    let first = &harness.generate(PROMPT, biased).logprobs[0];
    assert_eq!(first.top, answer.logprobs[0].top, "a bias does not change logprobs");
}

#[test]
fn token_suppressed_by_the_model_file_is_not_generated() {
    let generated =
        tokens(&Harness::demo(1).generate(PROMPT, Params { logprobs: 1, ..greedy(20) }));
    let folder = tempfile::tempdir().unwrap();
    let forbidden = generated[0];
    let suppressed = array_value(I32, [forbidden.to_le_bytes().to_vec()].into_iter());
    let bytes = Gguf::demo_with("tokenizer.ggml.suppress_tokens", ARRAY, &suppressed);
    let path = folder.path().join("silent.gguf");
    fs::write(&path, bytes).unwrap();
    let harness = Harness::file(&path, 1);
    let forced = Params { logprobs: 1, logit_bias: vec![(forbidden, 100.0)], ..greedy(20) };
    let answer = harness.generate(PROMPT, forced);
    assert!(!tokens(&answer).contains(&forbidden), "{}", answer.text);
    assert!(!answer.text.is_empty());
}
