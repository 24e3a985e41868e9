//! Sizes of prefill steps on machines of different speeds.

use std::time::Duration;

use super::pace::{MIN_SLOW_DECODE_STEPS, SLOW_PERCENT};
use super::*;

const TARGET: Duration = Duration::from_millis(100);

/// A step at the start of prompts.
fn step(n_decoding: usize, n_prompt: usize, n_drafted: usize) -> StepTokens {
    StepTokens { n_decoding, n_prompt, n_drafted, depth: 0 }
}

#[test]
fn step_fills_the_batch_without_streams_on_a_fast_machine() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    assert_eq!(budget.prompt_tokens(0, false, &[2000]), TILE_TOKENS, "nothing is measured yet");
    budget.observe(step(0, TILE_TOKENS, 0), Duration::from_millis(10));
    assert_eq!(budget.prompt_tokens(0, false, &[2000]), 512);
}

#[test]
fn step_shrinks_to_the_target_while_others_decode_or_prefill() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 99, 0), Duration::from_millis(100));
    // A thousand tokens per second are a hundred in 100 ms.
    assert_eq!(budget.prompt_tokens(2, false, &[900]), 94);
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 96);
    assert_eq!(budget.prompt_tokens(0, false, &[900]), 256, "a quarter of a second when alone");
    assert_eq!(budget.prompt_tokens(0, false, &[400]), 400, "a short rest joins the step");
}

#[test]
fn short_prompts_get_longer_steps_while_all_streams_are_new() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 15, 0), Duration::from_millis(80));
    assert_eq!(budget.prompt_tokens(2, false, &[17, 17]), 14);
    // 47 tokens take a quarter of a second, and steps are multiples of 16.
    assert_eq!(budget.prompt_tokens(2, true, &[17, 17, 17, 17]), 46);
    assert_eq!(budget.prompt_tokens(2, true, &[17, 900]), 14, "a long prompt has to wait");
}

#[test]
fn slow_machine_still_prefills_a_little() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(0, 64, 0), Duration::from_secs(60));
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15);
    assert_eq!(budget.prompt_tokens(16, false, &[900]), 16);
    assert_eq!(budget.prompt_tokens(20, false, &[900]), 12);
    for decoding in 0..40 {
        assert!(budget.prompt_tokens(decoding, false, &[900, 900]) >= 8, "{decoding}");
    }
}

#[test]
fn slow_steps_shrink_and_grow_again_when_they_are_fast() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    let slow = TARGET * SLOW_PERCENT / 100 + Duration::from_millis(1);
    budget.observe(step(1, 15, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15, "one slow step is not enough");
    budget.observe(step(1, 15, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 7);
    budget.observe(step(1, 7, 0), slow);
    budget.observe(step(1, 7, 0), slow / 2);
    budget.observe(step(1, 7, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 7, "not two slow steps in a row");
    for _ in 0..9 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), slow);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2, "the smallest size of all");
    assert_eq!(budget.prompt_tokens(9, false, &[900]), 3);
    budget.observe(step(1, 1, 0), slow / 4);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2, "a step with less than that is ignored");
    budget.observe(step(1, 2, 0), slow / 4);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 3, "larger again after a fast step");
    budget.observe(step(1, 0, 0), TARGET / 10);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15, "prefill had ended");
    for _ in 0..4 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), slow);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 3);
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 16, "there is no stream");
}

#[test]
fn steps_stay_large_if_a_single_token_is_slow_already() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), 2 * TARGET);
    for _ in 0..9 {
        budget.observe(step(1, 15, 0), 2 * MIN_SLOW_DECODE_STEPS * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 15);
}

/// Duration of a step on a CPU that takes `weights` ms for any step and `each` ms for each token,
/// in wide steps a thirtieth of that.
fn elapsed(prompt: usize, weights: u64, each: u64) -> Duration {
    let is_wide = prompt + 1 >= TILE_TOKENS;
    let each = Duration::from_millis(each) * (1 + prompt as u32);
    Duration::from_millis(weights) + if is_wide { each / 30 } else { each }
}

/// Prefills a long prompt on such a CPU while another slot decodes. Returns the largest number of
/// prompt tokens in one of the last ten of thirty steps.
fn prefill_while_decoding(
    budget: &mut PrefillBudget,
    depth: usize,
    weights: u64,
    each: u64,
) -> usize {
    budget.observe(step(1, 0, 0), Duration::from_millis(weights));
    let mut prompts = [0; 30];
    for prompt in &mut prompts {
        *prompt = budget.prompt_tokens(1, false, &[9000]);
        let tokens = StepTokens { depth, ..step(1, *prompt, 0) };
        budget.observe(tokens, elapsed(*prompt, weights, each));
    }
    prompts[20..].iter().copied().max().unwrap()
}

#[test]
fn wide_steps_replace_long_small_ones_until_prefill_ends() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    assert_eq!(prefill_while_decoding(&mut budget, 3000, 30, 80), 63);
    budget.observe(step(1, 0, 0), TARGET);
    assert!(budget.prompt_tokens(1, false, &[900]) < 63, "prefill has ended");
    assert_eq!(prefill_while_decoding(&mut budget, 3000, 30, 80), 63);
    budget.observe(step(1, 63, 0), TARGET);
    assert!(budget.prompt_tokens(1, false, &[900]) < 63, "another prompt starts");
    let mut narrow = PrefillBudget::new(TARGET, 32);
    assert_eq!(prefill_while_decoding(&mut narrow, 3000, 30, 80), 2, "the batch is too small");
}

#[test]
fn wide_step_is_tried_if_only_shallow_ones_were_measured() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(0, 64, 0), 4 * TARGET);
    assert_eq!(prefill_while_decoding(&mut budget, 3000, 30, 80), 63);
}

#[test]
fn small_steps_stay_if_they_are_short_enough() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    assert_eq!(prefill_while_decoding(&mut budget, 3000, 30, 30), 2, "they take 120 ms");
}

#[test]
fn wide_step_that_is_worth_less_is_tried_once() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    let mut n_wide = 0;
    budget.observe(step(1, 0, 0), TARGET / 4);
    for i in 0..100 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        n_wide += usize::from(prompt == 63);
        // Each token takes as long as in small steps.
        let elapsed = TARGET * 7 / 10 * (1 + prompt as u32);
        budget.observe(StepTokens { depth: 3000 + i, ..step(1, prompt, 0) }, elapsed);
    }
    assert_eq!((n_wide, budget.prompt_tokens(1, false, &[9000])), (1, 2));
}

#[test]
fn wide_steps_measured_at_the_same_depth_need_no_trial() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(StepTokens { depth: 3000, ..step(0, 64, 0) }, elapsed(64, 30, 80));
    budget.observe(step(0, 64, 0), 9 * TARGET);
    budget.observe(step(1, 0, 0), TARGET / 4);
    for _ in 0..2 {
        budget.observe(StepTokens { depth: 1000, ..step(1, 15, 0) }, 3 * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 63, "0.2 s for 63 tokens, 0.3 for 15");
    budget.observe(StepTokens { depth: 1063, ..step(1, 63, 0) }, 8 * TARGET);
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 7, "the wide step was worth less");
}

#[test]
fn step_with_draft_tokens_does_not_make_the_model_look_slow() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), TARGET / 3);
    budget.observe(step(1, 0, 15), 2 * TARGET);
    for _ in 0..9 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), TARGET * 14 / 10);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2);
}

#[test]
fn step_never_exceeds_the_batch() {
    let budget = PrefillBudget::new(TARGET, 16);
    assert_eq!(budget.prompt_tokens(12, false, &[900]), 4);
    assert_eq!(budget.prompt_tokens(16, false, &[900]), 0);
}

#[test]
fn small_steps_are_tried_again_after_some_wide_ones() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), TARGET / 4);
    let mut n_small = 0;
    for i in 0..60 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        // The machine is slow in the first ten steps only.
        let elapsed = match prompt {
            63 => 4 * TARGET,
            _ if i < 10 => 3 * TARGET,
            _ => TARGET,
        };
        n_small = if prompt == 63 { 0 } else { n_small + 1 };
        budget.observe(StepTokens { depth: 3000 + i, ..step(1, prompt, 0) }, elapsed);
    }
    assert!(n_small > 20, "{n_small}");
}

#[test]
fn next_prompt_starts_with_steps_of_full_size() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 0, 0), TARGET / 4);
    for _ in 0..8 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        budget.observe(StepTokens { depth: 2000, ..step(1, prompt, 0) }, TARGET * 13 / 10);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 2);
    budget.observe(step(1, 2, 0), TARGET);
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 15);
}

#[test]
fn pause_of_the_machine_does_not_count_against_wide_steps() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(StepTokens { depth: 3000, ..step(0, 64, 0) }, 2 * TARGET);
    budget.observe(StepTokens { depth: 3064, ..step(0, 64, 0) }, 40 * TARGET);
    budget.observe(step(1, 0, 0), TARGET / 4);
    for _ in 0..2 {
        budget.observe(StepTokens { depth: 3000, ..step(1, 15, 0) }, 4 * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 63);
}

/// The durations are those of ADR-0010: at a depth of 3,000 tokens, and of 4,500 for three tokens.
#[test]
fn small_steps_stay_small_on_the_measured_machine() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    let at = |n_decoding, n_prompt| StepTokens { depth: 3000, ..step(n_decoding, n_prompt, 0) };
    budget.observe(at(0, 64), Duration::from_millis(994));
    budget.observe(step(1, 0, 0), Duration::from_millis(20));
    for _ in 0..40 {
        let prompt = budget.prompt_tokens(1, false, &[9000]);
        let elapsed = match prompt + 1 {
            3 => 119,
            4 => 122,
            8 => 221,
            16 => 377,
            tokens => panic!("a step of {tokens} tokens"),
        };
        budget.observe(at(1, prompt), Duration::from_millis(elapsed));
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 2);
}
