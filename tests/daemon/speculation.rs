//! Speculation makes tokens come sooner and changes no text.

use inference_core::domain::{Params, Speculation};
use inference_core::llama::ModelSource;

use crate::fixture::Gguf;
use crate::harness::{Harness, NEAR_TIE, assert_same_greedy_text, greedy};
use crate::refusals::refusal;

/// A list that the model continues, because it repeats itself.
const LIST: &str = "The dog was happy. The cat was happy. The dog was happy. The cat was happy. \
                    The dog was happy. The cat was happy. The dog was";

/// Tokens in the demo model's vocabulary.
const N_VOCAB: i32 = 2048;

fn with_speculation(speculative: Speculation, params: Params) -> Params {
    Params { speculative: Some(speculative), logprobs: 2, ..params }
}

/// Parameters for a long greedy answer, which begins to repeat itself.
fn repetitive() -> Params {
    Params { ignore_eos: true, ..greedy(200) }
}

/// The demo model, which is its own draft model.
fn demo_drafting_for_itself(slots: u32) -> Harness {
    Harness::with_draft_model(ModelSource::Demo, slots, ModelSource::Demo)
}

#[test]
fn ngram_drafts_do_not_change_greedy_text() {
    let harness = Harness::without_flash_attention(1);
    let plain = harness.generate(LIST, with_speculation(Speculation::Off, repetitive()));
    assert_eq!((plain.usage.drafted, plain.usage.accepted), (0, 0));
    let drafted = harness.generate(LIST, with_speculation(Speculation::Ngram, repetitive()));
    assert_same_greedy_text(LIST, &plain, &drafted.text, NEAR_TIE);
    let usage = drafted.usage;
    assert!(usage.accepted > 0 && usage.accepted <= usage.drafted, "{usage:?}");
}

#[test]
fn drafts_of_the_model_itself_are_accepted() {
    let harness = demo_drafting_for_itself(2);
    let story = "Tell me a story about a dog";
    let plain = harness.generate(story, with_speculation(Speculation::Off, greedy(200)));
    let drafted = harness.generate(story, with_speculation(Speculation::Auto, greedy(200)));
    assert_same_greedy_text(story, &plain, &drafted.text, NEAR_TIE);
    let usage = drafted.usage;
    // Some drafts come from the n-gram lookup and are rejected.
    assert!(usage.drafted > 20 && usage.accepted * 5 >= usage.drafted * 4, "{usage:?}");
}

#[test]
fn drafts_do_not_change_text_sampled_with_a_seed() {
    let harness = demo_drafting_for_itself(1);
    let mut accepted = 0;
    let same = (0..120).filter(|&seed| {
        let params = Params { seed: Some(seed), max_tokens: Some(24), ..Params::default() };
        let plain = harness.generate(LIST, with_speculation(Speculation::Off, params.clone()));
        let drafted = harness.generate(LIST, with_speculation(Speculation::Auto, params));
        accepted += drafted.usage.accepted;
        plain.text == drafted.text
    });
    // llama.cpp's kernels round differently for different batch sizes, and a random draw may fall
    // between the two results.
    let n_same = same.count();
    assert!(n_same >= 108, "{n_same} of 120 texts are the same");
    assert!(accepted > 100, "{accepted} tokens were accepted");
}

/// A random model that is its own draft model. `n` tokens without meaning are added to the model
/// if `pads_model` is set, and to the draft model otherwise.
fn with_padded_vocabulary(pads_model: bool, n: usize) -> Harness {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, is_padded: bool| {
        let mut model = Gguf::random("llama", 1);
        if is_padded {
            // The draft model would draft the added tokens. The model would not generate them
            // without a bias.
            model.pad_vocabulary(n, if pads_model { 0.0 } else { 3.0 });
        }
        ModelSource::File(model.write(folder.path(), name))
    };
    let (model, draft) = (write("model.gguf", pads_model), write("draft.gguf", !pads_model));
    Harness::with_draft_model(model, 1, draft)
}

#[test]
fn draft_model_with_additional_tokens_drafts_only_common_ones() {
    let harness = with_padded_vocabulary(false, 128);
    let params = Params { ignore_eos: true, ..greedy(100) };
    let plain = harness.generate("Once", with_speculation(Speculation::Off, params.clone()));
    let drafted = harness.generate("Once", with_speculation(Speculation::Auto, params));
    assert_same_greedy_text("Once", &plain, &drafted.text, NEAR_TIE);
    let usage = drafted.usage;
    assert!(usage.drafted > 20 && usage.accepted * 5 >= usage.drafted * 4, "{usage:?}");
}

#[test]
fn token_unknown_to_the_draft_model_stops_drafts_only() {
    let harness = with_padded_vocabulary(true, 100);
    let logit_bias = vec![(N_VOCAB + 50, 1000.0)];
    let params = Params { ignore_eos: true, logit_bias, ..greedy(20) };
    let answer = harness.generate("Once", with_speculation(Speculation::Auto, params));
    assert_eq!(answer.usage.tokens, 20);
    let params = with_speculation(Speculation::Auto, repetitive());
    let usage = harness.generate("Once", params).usage;
    assert!(usage.accepted > 20, "{usage:?}");
}

#[test]
fn unusable_draft_model_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Gguf::random("llama", 1);
    other.change_tokens(|tokens| tokens.swap(300, 301));
    let other = other.write(folder.path(), "other.gguf");
    let (code, error) = refusal(&["--demo", "0", "--draft", other.to_str().unwrap()]);
    assert!(error.contains("other.gguf") && error.lines().count() == 1, "{error}");
    assert_eq!(code, Some(64));
    let (code, error) = refusal(&["--demo", "0", "--draft", "nowhere.gguf"]);
    assert!(error.contains("--draft: cannot read nowhere.gguf"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(code, Some(66));
}
