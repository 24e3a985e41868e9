//! Sizes of steps on machines of several speeds, and how readers share them.

use super::*;

const TARGET: Duration = Duration::from_millis(100);

/// A step at the beginning of prompts.
fn step(decoding: usize, prompt: usize, guessed: usize) -> Tokens {
    Tokens { decoding, prompt, guessed, depth: 0 }
}

#[test]
fn a_step_fills_the_batch_when_nobody_streams_and_the_model_is_fast() {
    let mut budget = StepBudget::new(TARGET, 512);
    assert_eq!(budget.prompt_tokens(0, false, &[2000]), SOLO_ROWS, "not before that is known");
    budget.observe(step(0, SOLO_ROWS, 0), Duration::from_millis(10));
    assert_eq!(budget.prompt_tokens(0, false, &[2000]), 512);
}

#[test]
fn a_step_shrinks_to_the_target_while_others_stream_or_read() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(1, 99, 0), Duration::from_millis(100));
    // A thousand tokens a second, of which 100 ms have a hundred.
    assert_eq!(budget.prompt_tokens(2, false, &[900]), 94);
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 96);
    assert_eq!(budget.prompt_tokens(0, false, &[900]), 256, "alone, a quarter of a second");
    assert_eq!(budget.prompt_tokens(0, false, &[400]), 400, "and what would leave a short rest");
}

#[test]
fn short_prompts_are_read_in_larger_steps_while_everybody_has_just_begun() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(1, 15, 0), Duration::from_millis(80));
    assert_eq!(budget.prompt_tokens(2, false, &[17, 17]), 14);
    // 47 tokens take a quarter of a second, and steps are of multiples of 16.
    assert_eq!(budget.prompt_tokens(2, true, &[17, 17, 17, 17]), 46);
    assert_eq!(budget.prompt_tokens(2, true, &[17, 900]), 14, "a long one has to wait");
}

#[test]
fn a_slow_machine_still_reads_a_little() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(0, 64, 0), Duration::from_secs(60));
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15);
    assert_eq!(budget.prompt_tokens(16, false, &[900]), 16);
    assert_eq!(budget.prompt_tokens(20, false, &[900]), 12);
    for decoding in 0..40 {
        assert!(budget.prompt_tokens(decoding, false, &[900, 900]) >= 8, "{decoding}");
    }
}

#[test]
fn where_the_smallest_steps_are_slow_they_become_smaller_while_somebody_reads() {
    let mut budget = StepBudget::new(TARGET, 512);
    let slow = TARGET * SLOW_PERCENT / 100 + Duration::from_millis(1);
    budget.observe(step(1, 15, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15, "once is not often");
    budget.observe(step(1, 15, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 7);
    budget.observe(step(1, 7, 0), slow);
    budget.observe(step(1, 7, 0), slow / 2);
    budget.observe(step(1, 7, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 7, "not two in a row");
    for _ in 0..9 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), slow);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2, "and no less");
    assert_eq!(budget.prompt_tokens(9, false, &[900]), 3);
    budget.observe(step(1, 1, 0), slow / 4);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2, "a step for a short prompt says nothing");
    budget.observe(step(1, 2, 0), slow / 4);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 3, "and larger again");
    budget.observe(step(1, 0, 0), TARGET / 10);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15, "nobody was reading");
    for _ in 0..4 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), slow);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 3);
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 16, "nobody is streaming");
}

#[test]
fn steps_of_a_model_that_is_slow_for_a_single_token_stay_as_large() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), 2 * TARGET);
    for _ in 0..9 {
        budget.observe(step(1, 15, 0), 2 * STEPS_OF_A_SLOW_MODEL * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15);
}

/// A processor on which a step takes `weights`, and for each token of it `each`; in wide steps a
/// thirtieth of that.
fn elapsed(prompt: usize, weights: u64, each: u64) -> Duration {
    let is_wide = prompt + 1 >= SOLO_ROWS;
    let each = Duration::from_millis(each) * (1 + prompt as u32);
    Duration::from_millis(weights) + if is_wide { each / 30 } else { each }
}

/// Reads a long prompt beside a stream in steps that take so long; the prompt tokens of the largest
/// of the last.
fn read_beside(budget: &mut StepBudget, depth: usize, weights: u64, each: u64) -> usize {
    budget.observe(step(1, 0, 0), Duration::from_millis(weights));
    let mut prompts = [0; 30];
    for prompt in &mut prompts {
        *prompt = budget.prompt_tokens(1, false, &[9000]);
        let tokens = Tokens { depth, ..step(1, *prompt, 0) };
        budget.observe(tokens, elapsed(*prompt, weights, each));
    }
    prompts[20..].iter().copied().max().unwrap()
}

#[test]
fn where_the_smallest_steps_are_long_a_wide_one_is_tried_and_kept_if_it_is_worth_it() {
    let mut budget = StepBudget::new(TARGET, 512);
    assert_eq!(read_beside(&mut budget, 3000, 30, 80), 63);
    budget.observe(step(1, 0, 0), TARGET);
    assert!(budget.prompt_tokens(1, false, &[900]) < 63, "until nobody reads");
    assert_eq!(read_beside(&mut budget, 3000, 30, 80), 63);
    budget.observe(step(1, 63, 0), TARGET);
    assert!(budget.prompt_tokens(1, false, &[900]) < 63, "or somebody begins");
    let mut narrow = StepBudget::new(TARGET, 32);
    assert_eq!(read_beside(&mut narrow, 3000, 30, 80), 2, "there are no wide ones");
}

#[test]
fn a_wide_step_is_tried_where_only_the_beginnings_of_prompts_were_read_alone() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(0, 64, 0), 4 * TARGET);
    assert_eq!(read_beside(&mut budget, 3000, 30, 80), 63);
}

#[test]
fn small_steps_that_are_short_enough_stay() {
    let mut budget = StepBudget::new(TARGET, 512);
    assert_eq!(read_beside(&mut budget, 3000, 30, 30), 2, "of 120 ms");
}

#[test]
fn a_wide_step_that_is_not_worth_it_is_tried_once() {
    let mut budget = StepBudget::new(TARGET, 512);
    let mut n_wide = 0;
    budget.observe(step(1, 0, 0), TARGET / 4);
    for i in 0..100 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        n_wide += usize::from(prompt == 63);
        // As long for each token as in small steps.
        let elapsed = TARGET * 7 / 10 * (1 + prompt as u32);
        budget.observe(Tokens { depth: 3000 + i, ..step(1, prompt, 0) }, elapsed);
    }
    assert_eq!((n_wide, budget.prompt_tokens(1, false, &[9000])), (1, 2));
}

#[test]
fn wide_steps_that_were_as_deep_need_not_be_tried() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(Tokens { depth: 3000, ..step(0, 64, 0) }, elapsed(64, 30, 80));
    budget.observe(step(0, 64, 0), 9 * TARGET);
    budget.observe(step(1, 0, 0), TARGET / 4);
    for _ in 0..2 {
        budget.observe(Tokens { depth: 1000, ..step(1, 15, 0) }, 3 * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 63, "0.2 s for 63 tokens, 0.3 for 15");
    budget.observe(Tokens { depth: 1063, ..step(1, 63, 0) }, 8 * TARGET);
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 7, "which was believed too early");
}

#[test]
fn a_step_full_of_guesses_does_not_say_that_the_model_is_slow() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), TARGET / 3);
    budget.observe(step(1, 0, 15), 2 * TARGET);
    for _ in 0..9 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), TARGET * 14 / 10);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2);
}

#[test]
fn a_step_never_exceeds_the_batch() {
    let budget = StepBudget::new(TARGET, 16);
    assert_eq!(budget.prompt_tokens(12, false, &[900]), 4);
    assert_eq!(budget.prompt_tokens(16, false, &[900]), 0);
}

#[test]
fn a_short_prompt_is_read_before_a_long_one_which_keeps_a_quarter() {
    assert_eq!(divide(100, &[1000, 60], &[]), [40, 60]);
    assert_eq!(divide(100, &[1000, 200], &[]), [25, 75]);
}

#[test]
fn a_short_prompt_passes_a_long_one_where_steps_are_slow() {
    let mut shares = [12, 4];
    assert!(pass(&mut shares, &[1000, 4]));
    assert_eq!(shares, [0, 4]);
    let mut shares = [200, 4];
    assert!(!pass(&mut shares, &[1000, 4]), "a fast machine reads both at once");
    let mut shares = [40, 24];
    assert!(!pass(&mut shares, &[1000, 24]), "which is not short");
    let mut shares = [2, 4];
    assert!(!pass(&mut shares, &[2, 4]), "where nobody is passed");
    let mut shares = [12, 4];
    assert!(!pass(&mut shares, &[17, 4]), "where nobody is long");
    assert_eq!(shares, [12, 4]);
}

#[test]
fn what_nobody_needs_is_not_given_out() {
    assert_eq!(divide(100, &[10, 20], &[]), [10, 20]);
    assert_eq!(divide(100, &[], &[]), [0; 0]);
}

#[test]
fn what_a_short_prompt_waits_for_is_read_as_if_it_were_its_own() {
    let short = Claim { reader: 1, upto: 30, left: 40 };
    assert_eq!(divide(100, &[500, 1000], &[]), [100, 0]);
    assert_eq!(divide(100, &[500, 1000], &[short]), [70, 30], "and no more of it");
    let long = Claim { left: 600, ..short };
    assert_eq!(divide(100, &[500, 1000], &[long]), [100, 0], "in its turn");
}

#[test]
fn small_steps_are_tried_again_after_some_wide_ones() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), TARGET / 4);
    let mut small = 0;
    for i in 0..60 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        // The machine was slow in the beginning alone.
        let elapsed = match prompt {
            63 => 4 * TARGET,
            _ if i < 10 => 3 * TARGET,
            _ => TARGET,
        };
        small = if prompt == 63 { 0 } else { small + 1 };
        budget.observe(Tokens { depth: 3000 + i, ..step(1, prompt, 0) }, elapsed);
    }
    assert!(small > 20, "{small}");
}

#[test]
fn another_prompt_begins_in_steps_of_full_size() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), TARGET / 4);
    for _ in 0..8 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        budget.observe(Tokens { depth: 2000, ..step(1, prompt, 0) }, TARGET * 13 / 10);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 2);
    budget.observe(step(1, 2, 0), TARGET);
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 15);
}

#[test]
fn a_pause_of_the_machine_says_nothing_about_wide_steps() {
    let mut budget = StepBudget::new(TARGET, 512);
    budget.observe(Tokens { depth: 3000, ..step(0, 64, 0) }, 2 * TARGET);
    budget.observe(Tokens { depth: 3064, ..step(0, 64, 0) }, 40 * TARGET);
    budget.observe(step(1, 0, 0), TARGET / 4);
    for _ in 0..2 {
        budget.observe(Tokens { depth: 3000, ..step(1, 15, 0) }, 4 * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 63);
}

/// The figures behind 3,000 tokens at [`LEAST_ROWS`], and behind 4,500 for three rows.
#[test]
fn on_the_machine_of_the_figures_small_steps_stay_small() {
    let mut budget = StepBudget::new(TARGET, 512);
    let at = |decoding, prompt| Tokens { depth: 3000, ..step(decoding, prompt, 0) };
    budget.observe(at(0, 64), Duration::from_millis(994));
    budget.observe(step(1, 0, 0), Duration::from_millis(20));
    for _ in 0..40 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        let elapsed = match prompt + 1 {
            3 => 119,
            4 => 122,
            8 => 221,
            16 => 377,
            rows => panic!("{rows}"),
        };
        budget.observe(at(1, prompt), Duration::from_millis(elapsed));
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 2);
}
