//! Every sampling parameter acts as documented.

use std::collections::HashSet;
use std::fs;

use inference_core::domain::{FinishReason, Params, Token};

use crate::fixture::Gguf;
use crate::harness::{Answer, Harness, greedy};

const PROMPT: &str = "Tell me a story about a dog";

fn sampled(seed: u32) -> Params {
    Params { seed: Some(seed), max_tokens: Some(50), temp: 1.0, ..Params::default() }
}

/// The different texts that `params` gives with twelve seeds.
fn variety(harness: &Harness, params: &Params) -> HashSet<String> {
    (0..12)
        .map(|seed| harness.generate(PROMPT, Params { seed: Some(seed), ..params.clone() }).text)
        .collect()
}

fn tokens(answer: &Answer) -> Vec<Token> {
    answer.logprobs.iter().map(|logprobs| logprobs.chosen.token).collect()
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_seed_another() {
    let harness = Harness::demo(2);
    let text = harness.generate(PROMPT, sampled(1)).text;
    assert_eq!(harness.generate(PROMPT, sampled(1)).text, text);
    assert!(variety(&harness, &sampled(0)).len() > 6);
}

#[test]
fn without_a_seed_every_answer_is_drawn_anew() {
    let harness = Harness::demo(2);
    let params = Params { seed: None, temp: 1.5, ..sampled(0) };
    let texts: HashSet<String> =
        (0..6).map(|_| harness.generate(PROMPT, params.clone()).text).collect();
    assert!(texts.len() > 1);
}

#[test]
fn temperature_zero_is_greedy_and_a_higher_one_varies_more() {
    let harness = Harness::demo(2);
    let cold = Params { temp: 0.0, ..sampled(0) };
    assert_eq!(variety(&harness, &cold).len(), 1);
    let open = Params { top_k: 0, top_p: 1.0, min_p: 0.0, max_tokens: Some(6), ..sampled(0) };
    let cool = Params { temp: 0.1, ..open.clone() };
    let hot = Params { temp: 2.0, ..open };
    assert!(variety(&harness, &cool).len() < variety(&harness, &hot).len());
}

#[test]
fn a_filter_that_leaves_one_token_is_greedy() {
    let harness = Harness::demo(2);
    let expected = harness.generate(PROMPT, greedy(50)).text;
    let open = Params { top_k: 0, top_p: 1.0, min_p: 0.0, ..sampled(3) };
    let table = [
        ("top_k", Params { top_k: 1, ..open.clone() }),
        ("top_p", Params { top_p: 0.0, ..open.clone() }),
        ("min_p", Params { min_p: 1.0, ..open.clone() }),
    ];
    assert_ne!(harness.generate(PROMPT, open).text, expected, "without a filter it is not");
    for (name, params) in table {
        assert_eq!(harness.generate(PROMPT, params).text, expected, "{name}");
    }
}

#[test]
fn typical_p_narrows_the_choice() {
    let harness = Harness::demo(2);
    let open = Params { top_k: 0, top_p: 1.0, min_p: 0.0, temp: 1.5, ..sampled(0) };
    let narrow = Params { typical_p: 0.05, ..open.clone() };
    assert!(variety(&harness, &narrow).len() < variety(&harness, &open).len());
}

#[test]
fn penalties_make_repetition_rarer_within_their_window() {
    let harness = Harness::demo(2);
    let base = Params { logprobs: 1, ignore_eos: true, ..greedy(150) };
    let distinct = |params: Params| {
        tokens(&harness.generate(PROMPT, params)).into_iter().collect::<HashSet<_>>().len()
    };
    let plain = distinct(base.clone());
    let table = [
        ("repeat_penalty", Params { repeat_penalty: 1.8, repeat_last_n: None, ..base.clone() }),
        ("presence_penalty", Params { presence_penalty: 5.0, repeat_last_n: None, ..base.clone() }),
        (
            "frequency_penalty",
            Params { frequency_penalty: 3.0, repeat_last_n: None, ..base.clone() },
        ),
    ];
    for (name, params) in table {
        assert!(distinct(params.clone()) > plain, "{name}");
        let off = Params { repeat_last_n: Some(0), ..params };
        assert_eq!(distinct(off), plain, "{name} with a window of nothing");
    }
}

#[test]
fn a_bias_forces_a_token_or_forbids_it() {
    let harness = Harness::demo(2);
    let base = Params { logprobs: 1, ..greedy(5) };
    let plain = tokens(&harness.generate(PROMPT, base.clone()));
    let forbidden = Params { logit_bias: vec![(plain[0], -100.0)], ..base.clone() };
    assert!(!tokens(&harness.generate(PROMPT, forbidden)).contains(&plain[0]));
    let forced = Params { logit_bias: vec![(plain[1], 100.0)], ..base };
    assert_eq!(tokens(&harness.generate(PROMPT, forced)), [plain[1]; 5]);
}

#[test]
fn a_bias_on_a_token_that_does_not_exist_is_refused() {
    let harness = Harness::demo(1);
    for token in [-1, 1_000_000] {
        let params = Params { logit_bias: vec![(token, 1.0)], ..greedy(1) };
        let prompt = inference_core::domain::Prompt::Text(PROMPT.to_owned());
        let refusal = harness.submit(prompt, params).map(|_| ()).unwrap_err();
        assert!(refusal.to_string().contains(&token.to_string()), "{refusal}");
    }
}

#[test]
fn ignore_eos_goes_on_where_the_model_would_end() {
    let harness = Harness::demo(2);
    let ends = harness.generate(PROMPT, greedy(400));
    assert_eq!(ends.reason, FinishReason::Stop);
    let goes_on = harness.generate(PROMPT, Params { ignore_eos: true, ..greedy(400) });
    assert_eq!((goes_on.reason, goes_on.usage.tokens), (FinishReason::Length, 400));
    assert!(goes_on.text.starts_with(&ends.text));
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let harness = Harness::demo(2);
    let whole = harness.generate(PROMPT, greedy(60)).text;
    let stop: String = whole.chars().skip(10).take(6).collect();
    let params = Params { stop: vec!["never".to_owned(), stop.clone()], ..greedy(60) };
    let cut = harness.generate(PROMPT, params);
    assert_eq!(cut.text, whole[..whole.find(&stop).unwrap()]);
    assert_eq!(cut.reason, FinishReason::Stop);
}

#[test]
fn max_tokens_counts_tokens() {
    let harness = Harness::demo(2);
    for n in [0, 1, 7] {
        let answer = harness.generate(PROMPT, greedy(n));
        assert_eq!((answer.usage.tokens, answer.reason), (n as usize, FinishReason::Length));
    }
}

#[test]
fn logprobs_are_the_models_own_and_in_order() {
    let harness = Harness::demo(2);
    let answer = harness.generate(PROMPT, Params { logprobs: 5, ..greedy(10) });
    assert_eq!(answer.logprobs.len(), 10);
    let bytes: Vec<u8> =
        answer.logprobs.iter().flat_map(|logprobs| logprobs.chosen.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), answer.text);
    for logprobs in &answer.logprobs {
        assert_eq!(logprobs.chosen, logprobs.top[0], "greedy takes the likeliest");
        assert!(logprobs.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
        let sum: f32 = logprobs.top.iter().map(|l| l.logprob.exp()).sum();
        assert!(sum > 0.0 && sum <= 1.0001, "{sum}");
    }
    let biased = Params { logprobs: 5, logit_bias: vec![(5, 50.0)], ..greedy(1) };
    let first = &harness.generate(PROMPT, biased).logprobs[0];
    assert_eq!(first.top, answer.logprobs[0].top, "parameters do not change what the model thinks");
}

#[test]
fn a_conversation_is_rendered_with_the_models_own_template() {
    let harness = Harness::demo(2);
    let answer = harness.chat("Hola, ¿cómo estás?", greedy(60)).unwrap();
    assert_eq!(answer.reason, FinishReason::Stop);
    assert!(!answer.text.is_empty());
}

#[test]
fn a_model_without_a_template_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = Gguf::random("llama", 3).without("tokenizer.chat_template");
    let harness = Harness::file(&gguf.write(folder.path(), "plain.gguf"), 1);
    let refusal = harness.chat("Hello", greedy(5)).unwrap_err();
    assert!(refusal.to_string().contains("no chat template"), "{refusal}");
}

#[test]
fn a_template_that_refuses_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 3);
    gguf.set_text("tokenizer.chat_template", "{{ raise_exception('only poems') }}");
    let harness = Harness::file(&gguf.write(folder.path(), "poet.gguf"), 1);
    let refusal = harness.chat("Hello", greedy(5)).unwrap_err();
    assert!(refusal.to_string().contains("only poems"), "{refusal}");
}

#[test]
fn tokens_that_the_models_file_forbids_are_not_said() {
    let said = tokens(&Harness::demo(1).generate(PROMPT, Params { logprobs: 1, ..greedy(20) }));
    let folder = tempfile::tempdir().unwrap();
    // An array of 32-bit numbers with a sign.
    let value = [
        5_u32.to_le_bytes().to_vec(),
        1_u64.to_le_bytes().to_vec(),
        said[0].to_le_bytes().to_vec(),
    ];
    let bytes = Gguf::demo_with("tokenizer.ggml.suppress_tokens", 9, &value.concat());
    let path = folder.path().join("silent.gguf");
    fs::write(&path, bytes).unwrap();
    let harness = Harness::file(&path, 1);
    let wanted = Params { logprobs: 1, logit_bias: vec![(said[0], 100.0)], ..greedy(20) };
    let answer = harness.generate(PROMPT, wanted);
    assert!(!tokens(&answer).contains(&said[0]), "{}", answer.text);
    assert!(!answer.text.is_empty());
}
