//! How many are guessed for whom.

use super::*;

/// Costs of a machine on which a step of n tokens takes 1 + n / 10, in parts of 1,024 of a second.
fn speculator() -> Speculator {
    let mut speculator = Speculator::new(105);
    for n in 1..80 {
        measure(&mut speculator, Drafter::Ngram, n, (1.0 + n as f64 / 10.0) / 1024.0);
    }
    speculator
}

/// Two steps of `n` tokens.
fn measure(speculator: &mut Speculator, guesser: Drafter, n: usize, seconds: f64) {
    speculator.observe(guesser, n, seconds);
    speculator.observe(guesser, n, seconds);
}

/// What is guessed for these of `streams` texts, at most 15 tokens.
fn choose_for(texts: &[Candidate], streams: usize) -> Vec<usize> {
    let mut outlook = Outlook::without_guesses(streams);
    let chosen = speculator().choose(Drafter::Ngram, texts, 15, &mut outlook);
    assert_eq!(outlook.tokens, streams + chosen.iter().sum::<usize>());
    chosen
}

fn choose(chance: f64, most: usize, streams: usize) -> usize {
    choose_for(&[Candidate { chance, most }], streams)[0]
}

#[test]
fn the_surer_the_text_the_longer_the_guess() {
    assert_eq!(choose(0.05, 15, 1), 0);
    assert_eq!(choose(0.6, 15, 1), 3);
    assert_eq!(choose(0.8, 15, 1), 7);
    assert_eq!(choose(0.98, 15, 1), 15);
    assert_eq!(choose(0.98, 10, 1), 7, "as far as there is room");
}

#[test]
fn in_a_full_step_guesses_do_not_pay() {
    assert_ne!(choose(0.6, 15, 1), 0);
    assert_eq!(choose(0.6, 15, 60), 0);
}

#[test]
fn guesses_for_one_stream_hold_up_the_others_little() {
    // The step of two takes 1.2; three more tokens are a quarter of that.
    assert_eq!(choose(0.98, 15, 2), 3);
    assert_eq!(choose(0.98, 15, 6), 0, "for which a sixteenth is too little");
    assert_eq!(choose(0.98, 15, 1), 15, "who is alone");
}

#[test]
fn streams_that_all_repeat_themselves_guess_together() {
    let sure = Candidate { chance: 0.95, most: 15 };
    assert_eq!(choose_for(&[sure; 4], 4), [3; 4], "of 15 guesses");
    assert_eq!(choose_for(&[sure; 8], 8), [1; 8]);
    assert_eq!(choose_for(&[sure; 7], 8), [0; 7], "the eighth would wait");
    let short = Candidate { most: 2, ..sure };
    assert_eq!(choose_for(&[sure, short, sure, sure], 4), [3, 1, 3, 3], "as far as there is room");
}

#[test]
fn the_surest_texts_guess_and_of_equals_the_first() {
    let text = |chance| Candidate { chance, most: 15 };
    assert_eq!(choose_for(&[0.1, 0.9, 0.85].map(text), 3), [0, 1, 1]);
    let mut outlook = Outlook::without_guesses(2);
    let equal = [text(0.87), text(0.92)];
    let chosen = speculator().choose(Drafter::Ngram, &equal, 3, &mut outlook);
    assert_eq!(chosen, [3, 0]);
}

#[test]
fn sizes_are_tried_one_at_a_time_from_the_smallest_each_twice() {
    let mut speculator = Speculator::new(105);
    measure(&mut speculator, Drafter::Ngram, 1, 0.1);
    let mut tried = Vec::new();
    for _ in 0..2 * SIZES.len() {
        let mut outlook = Outlook::without_guesses(1);
        let text = Candidate { chance: 0.95, most: 15 };
        let n = speculator.choose(Drafter::Draft, &[text], 15, &mut outlook)[0];
        tried.push(n);
        // The first step of each takes five times as long.
        let slow = if tried.len() % 2 == 1 { 5.0 } else { 1.0 };
        speculator.observe(Drafter::Draft, 1 + n, slow * (0.1 + 0.01 * n as f64));
    }
    assert_eq!(tried, SIZES.map(|n| [n, n]).concat());
}

#[test]
fn a_draft_that_was_measured_in_a_bad_moment_gets_another_chance() {
    let mut speculator = speculator();
    let choose = |speculator: &Speculator| {
        let mut outlook = Outlook::without_guesses(1);
        let text = Candidate { chance: 0.9, most: 15 };
        speculator.choose(Drafter::Draft, &[text], 15, &mut outlook)[0]
    };
    for n in SIZES {
        measure(&mut speculator, Drafter::Draft, 1 + n, 0.1);
    }
    assert_eq!(choose(&speculator), 0);
    for _ in 0..20_000 {
        speculator.observe(Drafter::Ngram, 1, 0.0011);
    }
    assert_ne!(choose(&speculator), 0);
}

#[test]
fn a_draft_that_is_seldom_wrong_is_not_given_up_for_one_bad_guess() {
    // Only the longest guesses of the draft pay, as measured with a 1B model.
    let mut speculator = Speculator::new(105);
    measure(&mut speculator, Drafter::Ngram, 1, 0.014);
    for (tokens, seconds) in [(2, 0.027), (4, 0.049), (8, 0.085), (16, 0.123)] {
        measure(&mut speculator, Drafter::Draft, tokens, seconds);
    }
    let mut settle = |guesses: &mut Guesses, right| {
        let fate = Fate { guessed: 15, right, price: 7.8, is_over: false };
        speculator.settle(guesses, Some(Drafter::Draft), fate);
    };
    let mut others = Guesses::default();
    (0..4).for_each(|_| settle(&mut others, 15));
    settle(&mut others, 12);
    let mut guesses = Guesses::default();
    settle(&mut guesses, 4);
    let chance = speculator.chance(Drafter::Draft, &guesses);
    let text = Candidate { chance, most: 15 };
    let mut outlook = Outlook::without_guesses(1);
    assert_eq!(speculator.choose(Drafter::Draft, &[text], 15, &mut outlook), [15], "{chance}");
}

#[test]
fn guesses_cost_what_the_step_could_have_made_without_them() {
    // Steps of 1 and of 4 tokens take 1.1 and 1.4.
    let price = speculator().price(Drafter::Ngram, 1, 3, 0);
    assert!((price - 0.1 / 1.1).abs() < 1e-9, "{price}");
    assert_eq!(speculator().price(Drafter::Draft, 1, 0, 3), 0.0, "who knows");
}

#[test]
fn who_guesses_from_the_text_does_not_pay_for_the_draft_model() {
    let mut speculator = speculator();
    // Two streams, for one of which the text guesses three and for one the draft model three more.
    measure(&mut speculator, Drafter::Draft, 8, 3.6 / 1024.0);
    let price = |guesser| speculator.price(guesser, 2, 3, 3) * 1.2;
    assert!((price(Drafter::Ngram) - 0.1 * 2.0).abs() < 1e-9);
    assert!((price(Drafter::Draft) - 0.7 * 2.0).abs() < 1e-9, "(3.6 - 1.5) / 3");
}

#[test]
fn before_any_step_was_measured_nothing_is_guessed() {
    let mut outlook = Outlook::without_guesses(1);
    let text = Candidate { chance: 0.99, most: 15 };
    let chosen = Speculator::new(105).choose(Drafter::Ngram, &[text], 15, &mut outlook);
    assert_eq!((chosen[0], outlook.tokens), (0, 1));
}
