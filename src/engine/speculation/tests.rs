//! Draft lengths as measurements of step costs arrive, and after drafts were rejected.

use super::drafter::Drafter;
use super::policy::{DRAFT_LENGTHS, DraftCandidate, StepForecast};
use super::*;
use crate::domain::Speculation;
use crate::engine::model::{CancelFlag, Limits, StopFlag};
use crate::scripted::{ScriptedDraft, ScriptedModel, StepControl};

/// Index of n-gram lookup in the list of drafters.
const NGRAM: usize = 0;

/// Index of the draft model in the list of drafters.
const MODEL: usize = 1;

fn new_speculator() -> Speculator<ScriptedModel> {
    Speculator::new(105, 128)
}

/// Observes a step with drafts of the given drafter.
fn observe(speculator: &mut Speculator<ScriptedModel>, drafter: usize, n: usize, seconds: f64) {
    let cost = DraftingCost { drafter, ..DraftingCost::default() };
    speculator.observe_step(cost, n, seconds);
}

/// Observes two steps of `n` tokens.
fn measure(speculator: &mut Speculator<ScriptedModel>, drafter: usize, n: usize, seconds: f64) {
    (0..2).for_each(|_| observe(speculator, drafter, n, seconds));
}

/// The length that is chosen for a draft of the draft model, in a step with one stream.
fn choose(speculator: &Speculator<ScriptedModel>, acceptance: f64) -> usize {
    let mut forecast = StepForecast::without_drafts(1);
    let text = DraftCandidate { acceptance, max_tokens: 15 };
    let so_far = DraftingCost::default();
    let n = speculator.choose_lengths(MODEL, &[text], 15, so_far, &mut forecast)[0];
    assert_eq!(forecast.n_tokens, 1 + n);
    n
}

#[test]
fn unmeasured_lengths_are_tried_from_the_smallest_each_twice() {
    let mut speculator = new_speculator();
    measure(&mut speculator, NGRAM, 1, 0.1);
    let mut tried = Vec::new();
    for _ in 0..2 * DRAFT_LENGTHS.len() {
        let n = choose(&speculator, 0.95);
        tried.push(n);
        // The first step of each size takes five times as long.
        let factor = if tried.len() % 2 == 1 { 5.0 } else { 1.0 };
        observe(&mut speculator, MODEL, 1 + n, factor * (0.1 + 0.01 * n as f64));
    }
    assert_eq!(tried, DRAFT_LENGTHS.map(|n| [n, n]).concat());
}

#[test]
fn draft_model_is_tried_again_after_its_measurements_expire() {
    let mut speculator = new_speculator();
    measure(&mut speculator, NGRAM, 1, 0.0011);
    for n in DRAFT_LENGTHS {
        measure(&mut speculator, MODEL, 1 + n, 0.1);
    }
    assert_eq!(choose(&speculator, 0.9), 0);
    (0..20_000).for_each(|_| observe(&mut speculator, NGRAM, 1, 0.0011));
    assert_ne!(choose(&speculator, 0.9), 0);
}

#[test]
fn nothing_is_drafted_before_the_first_step_is_measured() {
    assert_eq!(choose(&new_speculator(), 0.99), 0);
}

#[test]
fn step_in_which_the_draft_model_prefilled_is_not_measured() {
    let mut speculator = new_speculator();
    measure(&mut speculator, NGRAM, 1, 0.1);
    let cost = DraftingCost { drafter: MODEL, has_prefill: true, ..DraftingCost::default() };
    (0..2).for_each(|_| speculator.observe_step(cost, 2, 9.0));
    assert_eq!(choose(&speculator, 0.9), 1, "the smallest length is still tried");
}

#[test]
fn good_draft_model_is_not_disabled_by_one_rejected_draft() {
    let limits = Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 64, n_draft: 15 };
    let model = ScriptedModel::new(limits, StepControl::free_running());
    let model = model.with_draft(ScriptedDraft::Correct);
    let mut drafter = draft_model::ModelDrafter::new(128);
    let acceptance = |drafter: &mut draft_model::ModelDrafter, seq| {
        let text = DecodingText {
            forced: &[],
            seq,
            tokens: &[1, 2, 3],
            n_prompt: 2,
            max_tokens: 60,
            cancel: &CancelFlag::default(),
            speculation: &mut TextSpeculation::new(drafters(None, Speculation::Auto)),
        };
        drafter.acceptance(&text, &model).unwrap()
    };
    acceptance(&mut drafter, 0);
    let settle = |drafter: &mut draft_model::ModelDrafter, seq, n_accepted| {
        Drafter::<ScriptedModel>::settle(drafter, seq, n_accepted, 15);
    };
    (0..4).for_each(|_| settle(&mut drafter, 0, 15));
    settle(&mut drafter, 0, 12);
    acceptance(&mut drafter, 1);
    settle(&mut drafter, 1, 4);

    // Only the longest drafts pay, as measured with a 1B model.
    let mut speculator = new_speculator();
    measure(&mut speculator, NGRAM, 1, 0.014);
    for (tokens, seconds) in [(2, 0.027), (4, 0.049), (8, 0.085), (16, 0.123)] {
        measure(&mut speculator, MODEL, tokens, seconds);
    }
    let acceptance = acceptance(&mut drafter, 1);
    assert_eq!(choose(&speculator, acceptance), 15, "{acceptance}");
}

#[test]
fn fewer_forced_tokens_are_drafted_beside_a_text_without_any() {
    let limits = Limits { n_ubatch: 64, n_slots: 2, slot_tokens: 400, n_draft: 48 };
    let mut model = ScriptedModel::new(limits, StepControl::free_running());
    let long = [7; 100];
    for (other, expected) in [(&[][..], [15, 0]), (&[7; 5][..], [48, 0])] {
        let modes = drafters(None, Speculation::Auto);
        let mut states = [TextSpeculation::new(modes), TextSpeculation::new(modes)];
        let cancel = CancelFlag::default();
        let mut texts: Vec<DecodingText<'_>> = (0..)
            .zip([&long[..], other])
            .zip(&mut states)
            .map(|((seq, forced), speculation)| DecodingText {
                forced,
                seq,
                tokens: &[1, 2, 3],
                n_prompt: 2,
                max_tokens: 300,
                cancel: &cancel,
                speculation,
            })
            .collect();
        let mut speculator = new_speculator();
        // The second step begins with the first text.
        speculator.propose(&mut model, &mut texts, 48, &StopFlag::default());
        let (drafts, _) = speculator.propose(&mut model, &mut texts, 48, &StopFlag::default());
        let lengths = drafts.iter().map(|draft| draft.tokens.len());
        assert_eq!(lengths.collect::<Vec<_>>(), expected);
    }
}
