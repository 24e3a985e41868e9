//! Draft lengths that are chosen for texts, and what drafts cost.

use super::forecast::DRAFT_LENGTHS;
use super::*;

fn new_speculator() -> Speculator {
    Speculator::new(105, 128)
}

/// A speculator for a machine on which a step of n tokens takes 1 + n / 10, in units of 1/1024 s.
fn speculator() -> Speculator {
    let mut speculator = new_speculator();
    for n in 1..80 {
        measure(&mut speculator, Drafter::Ngram, n, (1.0 + n as f64 / 10.0) / 1024.0);
    }
    speculator
}

/// Observes two steps of `n` tokens.
fn measure(speculator: &mut Speculator, drafter: Drafter, n: usize, seconds: f64) {
    speculator.observe_step(drafter, n, seconds);
    speculator.observe_step(drafter, n, seconds);
}

/// The lengths chosen for these texts out of `n_streams`, at most 15 tokens together.
fn choose_for(texts: &[DraftCandidate], n_streams: usize) -> Vec<usize> {
    let mut forecast = StepForecast::without_drafts(n_streams);
    let lengths = speculator().choose_lengths(Drafter::Ngram, texts, 15, &mut forecast);
    assert_eq!(forecast.n_tokens, n_streams + lengths.iter().sum::<usize>());
    lengths
}

fn choose(acceptance: f64, max_tokens: usize, n_streams: usize) -> usize {
    choose_for(&[DraftCandidate { acceptance, max_tokens }], n_streams)[0]
}

#[test]
fn draft_length_grows_with_acceptance() {
    assert_eq!(choose(0.05, 15, 1), 0);
    assert_eq!(choose(0.6, 15, 1), 3);
    assert_eq!(choose(0.8, 15, 1), 7);
    assert_eq!(choose(0.98, 15, 1), 15);
    assert_eq!(choose(0.98, 10, 1), 7, "at most ten tokens are allowed");
}

#[test]
fn full_step_gets_no_drafts() {
    assert_ne!(choose(0.6, 15, 1), 0);
    assert_eq!(choose(0.6, 15, 60), 0);
}

#[test]
fn draft_for_one_stream_delays_the_others_only_a_little() {
    // A step of two tokens takes 1.2; three more tokens add a quarter of that.
    assert_eq!(choose(0.98, 15, 2), 3);
    assert_eq!(choose(0.98, 15, 6), 0, "a sixteenth longer is too little for any draft");
    assert_eq!(choose(0.98, 15, 1), 15, "a lone stream delays no other");
}

#[test]
fn streams_that_all_repeat_themselves_get_drafts_together() {
    let sure = DraftCandidate { acceptance: 0.95, max_tokens: 15 };
    assert_eq!(choose_for(&[sure; 4], 4), [3; 4], "15 draft tokens are allowed");
    assert_eq!(choose_for(&[sure; 8], 8), [1; 8]);
    assert_eq!(choose_for(&[sure; 7], 8), [0; 7], "the eighth stream would wait");
    let short = DraftCandidate { max_tokens: 2, ..sure };
    assert_eq!(choose_for(&[sure, short, sure, sure], 4), [3, 1, 3, 3], "the second is limited");
}

#[test]
fn texts_with_highest_acceptance_get_drafts_and_first_among_equals() {
    let text = |acceptance| DraftCandidate { acceptance, max_tokens: 15 };
    assert_eq!(choose_for(&[0.1, 0.9, 0.85].map(text), 3), [0, 1, 1]);
    let mut forecast = StepForecast::without_drafts(2);
    let equal = [text(0.87), text(0.92)];
    let lengths = speculator().choose_lengths(Drafter::Ngram, &equal, 3, &mut forecast);
    assert_eq!(lengths, [3, 0]);
}

#[test]
fn unmeasured_lengths_are_tried_from_the_smallest_each_twice() {
    let mut speculator = new_speculator();
    measure(&mut speculator, Drafter::Ngram, 1, 0.1);
    let mut tried = Vec::new();
    for _ in 0..2 * DRAFT_LENGTHS.len() {
        let mut forecast = StepForecast::without_drafts(1);
        let text = DraftCandidate { acceptance: 0.95, max_tokens: 15 };
        let n = speculator.choose_lengths(Drafter::Model, &[text], 15, &mut forecast)[0];
        tried.push(n);
        // The first step of each size takes five times as long.
        let factor = if tried.len() % 2 == 1 { 5.0 } else { 1.0 };
        speculator.observe_step(Drafter::Model, 1 + n, factor * (0.1 + 0.01 * n as f64));
    }
    assert_eq!(tried, DRAFT_LENGTHS.map(|n| [n, n]).concat());
}

#[test]
fn draft_model_is_tried_again_after_its_measurements_expire() {
    let mut speculator = speculator();
    let choose = |speculator: &Speculator| {
        let mut forecast = StepForecast::without_drafts(1);
        let text = DraftCandidate { acceptance: 0.9, max_tokens: 15 };
        speculator.choose_lengths(Drafter::Model, &[text], 15, &mut forecast)[0]
    };
    for n in DRAFT_LENGTHS {
        measure(&mut speculator, Drafter::Model, 1 + n, 0.1);
    }
    assert_eq!(choose(&speculator), 0);
    for _ in 0..20_000 {
        speculator.observe_step(Drafter::Ngram, 1, 0.0011);
    }
    assert_ne!(choose(&speculator), 0);
}

#[test]
fn good_draft_model_is_not_disabled_by_one_rejected_draft() {
    // Only the longest drafts pay, as measured with a 1B model.
    let mut speculator = new_speculator();
    measure(&mut speculator, Drafter::Ngram, 1, 0.014);
    for (tokens, seconds) in [(2, 0.027), (4, 0.049), (8, 0.085), (16, 0.123)] {
        measure(&mut speculator, Drafter::Model, tokens, seconds);
    }
    let mut settle = |drafts: &mut SlotDrafts, n_accepted| {
        let result = DraftResult { n_drafted: 15, n_accepted, is_last: false };
        speculator.settle(drafts, Some(Drafter::Model), result);
    };
    let mut other_text = SlotDrafts::default();
    (0..4).for_each(|_| settle(&mut other_text, 15));
    settle(&mut other_text, 12);
    let mut text = SlotDrafts::default();
    settle(&mut text, 4);
    let acceptance = speculator.acceptance(Drafter::Model, &text);
    let candidate = DraftCandidate { acceptance, max_tokens: 15 };
    let mut forecast = StepForecast::without_drafts(1);
    let lengths = speculator.choose_lengths(Drafter::Model, &[candidate], 15, &mut forecast);
    assert_eq!(lengths, [15], "{acceptance}");
}

#[test]
fn nothing_is_drafted_before_the_first_step_is_measured() {
    let mut forecast = StepForecast::without_drafts(1);
    let text = DraftCandidate { acceptance: 0.99, max_tokens: 15 };
    let lengths = new_speculator().choose_lengths(Drafter::Ngram, &[text], 15, &mut forecast);
    assert_eq!((lengths[0], forecast.n_tokens), (0, 1));
}
