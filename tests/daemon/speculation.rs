//! Guessing ahead changes when tokens come, not which.

use inference_core::domain::{Params, Speculation};
use inference_core::llama::Source;

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
    let harness = Harness::drafted(2, Source::Demo);
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
    let harness = Harness::drafted(1, Source::Demo);
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
    // On a busy machine, where steps take what they like, guesses are shorter.
    assert!(accepted > 100, "{accepted} tokens were accepted");
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
