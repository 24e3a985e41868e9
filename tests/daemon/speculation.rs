//! Guessing ahead changes when tokens come, not which.

use inference_core::domain::{Params, Speculation};
use inference_core::llama::ModelSource;

use crate::fixture::Gguf;
use crate::harness::{Answer, Harness, NEAR_TIE, assert_same_greedy, greedy};
use crate::process::failure;

/// The model goes on with the list, which its prompt has taught it.
const LIST: &str = "The dog was happy. The cat was happy. The dog was happy. The cat was happy. \
                    The dog was happy. The cat was happy. The dog was";

fn with(speculative: Speculation, params: Params) -> Params {
    Params { speculative: Some(speculative), logprobs: 2, ..params }
}

/// A long greedy answer, which comes to repeat itself.
fn repetitive() -> Params {
    Params { ignore_eos: true, ..greedy(200) }
}

fn assert_same(harness: &Harness, speculative: Speculation, params: &Params) -> Answer {
    let plain = harness.generate(LIST, with(Speculation::Off, params.clone()));
    assert_eq!((plain.usage.drafted, plain.usage.accepted), (0, 0));
    let guessed = harness.generate(LIST, with(speculative, params.clone()));
    assert_same_greedy(LIST, &plain, &guessed.text, NEAR_TIE);
    assert!(guessed.usage.accepted <= guessed.usage.drafted);
    guessed
}

#[test]
fn greedy_text_is_the_same_with_guesses_from_the_text() {
    let harness = Harness::exact(1);
    let guessed = assert_same(&harness, Speculation::Ngram, &repetitive());
    assert!(guessed.usage.accepted > 0, "{:?}", guessed.usage);
}

#[test]
fn a_model_that_drafts_for_itself_is_right() {
    let harness = Harness::drafted(ModelSource::Demo, 2, ModelSource::Demo);
    let story = "Tell me a story about a dog";
    let plain = harness.generate(story, with(Speculation::Off, greedy(200)));
    let guessed = harness.generate(story, with(Speculation::Auto, greedy(200)));
    assert_same_greedy(story, &plain, &guessed.text, NEAR_TIE);
    let usage = guessed.usage;
    // Not always: now and then the text itself guesses first.
    assert!(usage.drafted > 20 && usage.accepted * 5 >= usage.drafted * 4, "{usage:?}");
}

#[test]
fn a_seed_draws_the_same_text_with_guesses() {
    let harness = Harness::drafted(ModelSource::Demo, 1, ModelSource::Demo);
    let mut accepted = 0;
    let same = (0..120).filter(|&seed| {
        let params = Params { seed: Some(seed), max_tokens: Some(24), ..Params::default() };
        let plain = harness.generate(LIST, with(Speculation::Off, params.clone()));
        let guessed = harness.generate(LIST, with(Speculation::Auto, params));
        accepted += guessed.usage.accepted;
        plain.text == guessed.text
    });
    // Now and then a draw falls between the numbers of two batch shapes, which llama.cpp's kernels
    // round differently.
    let same = same.count();
    assert!(same >= 108, "{same} of 120 are the same");
    assert!(accepted > 100, "{accepted} tokens were accepted");
}

/// Tokens of the demo model's vocabulary.
const N_TOKENS: i32 = 2048;

/// A model and itself as its draft, of which one or the other has tokens more that mean nothing.
fn padded(pad_model: bool, n: usize) -> Harness {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, is_padded: bool| {
        let mut model = Gguf::random("llama", 1);
        if is_padded {
            // In the draft they are what it would guess, in the model what it would not say by itself.
            model.pad_vocabulary(n, if pad_model { 0.0 } else { 3.0 });
        }
        ModelSource::File(model.write(folder.path(), name))
    };
    let (model, draft) = (write("model.gguf", pad_model), write("draft.gguf", !pad_model));
    Harness::drafted(model, 1, draft)
}

#[test]
fn a_draft_with_more_tokens_than_the_model_guesses_those_that_both_have() {
    let harness = padded(false, 128);
    let params = Params { ignore_eos: true, ..greedy(100) };
    let plain = harness.generate("Once", with(Speculation::Off, params.clone()));
    let guessed = harness.generate("Once", with(Speculation::Auto, params));
    assert_same_greedy("Once", &plain, &guessed.text, NEAR_TIE);
    let usage = guessed.usage;
    assert!(usage.drafted > 20 && usage.accepted * 5 >= usage.drafted * 4, "{usage:?}");
}

#[test]
fn a_token_that_the_draft_does_not_have_ends_its_guesses_and_nothing_else() {
    let harness = padded(true, 100);
    let logit_bias = vec![(N_TOKENS + 50, 1000.0)];
    let params = Params { ignore_eos: true, logit_bias, ..greedy(20) };
    let answer = harness.generate("Once", with(Speculation::Auto, params));
    assert_eq!(answer.usage.tokens, 20);
    let usage = harness.generate("Once", with(Speculation::Auto, repetitive())).usage;
    assert!(usage.accepted > 20, "{usage:?}");
}

#[test]
fn a_draft_model_with_another_vocabulary_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Gguf::random("llama", 1);
    other.change_tokens(|tokens| tokens.swap(300, 301));
    let other = other.write(folder.path(), "other.gguf");
    let (code, error) = failure(&["--demo", "0", "--draft", other.to_str().unwrap()]);
    assert!(error.contains("other.gguf") && error.lines().count() == 1, "{error}");
    assert_eq!(code, Some(64));
    let (code, error) = failure(&["--demo", "0", "--draft", "nowhere.gguf"]);
    assert!(error.contains("--draft: cannot read nowhere.gguf"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(code, Some(66));
}
