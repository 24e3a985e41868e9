//! Sizes of prefill steps on machines of different speeds.

use std::time::Duration;

use super::budget::{MIN_SLOW_DECODE_STEPS, SLOW_PERCENT};
use super::pace::MIN_SHRUNK_TOKENS;
use super::*;

const TARGET: Duration = Duration::from_millis(100);

/// A step at the start of prompts.
fn step(n_decoding: usize, n_prompt: usize, n_drafted: usize) -> StepTokens {
    StepTokens { n_decoding, n_prompt, n_drafted, depth: 0 }
}

/// A budget after steps of two decoding slots without prompts, which took `elapsed`.
fn with_decode_time(elapsed: Duration) -> PrefillBudget {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(2, 0, 0), elapsed);
    budget.observe(step(2, 0, 0), elapsed);
    budget
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
    budget.observe(step(0, 100, 0), Duration::from_millis(100));
    // A thousand tokens per second are a hundred in 100 ms.
    assert_eq!(budget.prompt_tokens(2, false, &[900]), 96);
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 96);
    assert_eq!(budget.prompt_tokens(0, false, &[900]), 256, "a quarter of a second when alone");
    assert_eq!(budget.prompt_tokens(0, false, &[400]), 400, "a short rest joins the step");
}

#[test]
fn prompts_get_the_time_that_decoding_slots_leave() {
    let mut budget = with_decode_time(Duration::from_millis(40));
    budget.observe(step(2, 60, 0), Duration::from_millis(100));
    assert_eq!(budget.prompt_tokens(2, false, &[900]), 64, "1,000 tokens/s for 60 ms");
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 96, "1,000 tokens/s for 100 ms");
    let mut budget = with_decode_time(Duration::from_millis(400));
    budget.observe(step(2, 64, 0), Duration::from_millis(128));
    assert_eq!(budget.prompt_tokens(2, false, &[900]), 16, "no time is left");
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 96, "64 ms for 64 tokens");
}

#[test]
fn pause_of_the_machine_does_not_count_as_decode_time() {
    let mut budget = with_decode_time(Duration::from_millis(40));
    budget.observe(step(2, 0, 0), 20 * TARGET);
    budget.observe(step(2, 60, 0), Duration::from_millis(100));
    assert_eq!(budget.prompt_tokens(2, false, &[900]), 64);
}

#[test]
fn short_prompts_get_longer_steps_while_all_streams_are_new() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(1, 16, 0), Duration::from_millis(80));
    assert_eq!(budget.prompt_tokens(2, false, &[17, 17]), 16);
    assert_eq!(budget.prompt_tokens(2, true, &[17, 17, 17, 17]), 48, "50 take 250 ms");
    assert_eq!(budget.prompt_tokens(2, true, &[17, 900]), 16, "a long prompt has to wait");
}

#[test]
fn slow_machine_still_prefills_a_little() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    budget.observe(step(0, 64, 0), Duration::from_secs(60));
    for n_decoding in 1..40 {
        assert_eq!(budget.prompt_tokens(n_decoding, false, &[900]), 16, "{n_decoding}");
    }
}

#[test]
fn slow_steps_shrink_and_grow_again_when_they_are_fast() {
    let mut budget = PrefillBudget::new(TARGET, 512);
    let slow = TARGET * SLOW_PERCENT / 100 + Duration::from_millis(1);
    budget.observe(step(1, 16, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 16, "one slow step is not enough");
    budget.observe(step(1, 16, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 8);
    budget.observe(step(1, 8, 0), slow);
    budget.observe(step(1, 8, 0), slow / 2);
    budget.observe(step(1, 8, 0), slow);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 8, "not two slow steps in a row");
    for _ in 0..9 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), slow);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), MIN_SHRUNK_TOKENS);
    assert_eq!(budget.prompt_tokens(9, false, &[900]), MIN_SHRUNK_TOKENS);
    budget.observe(step(1, 1, 0), slow / 4);
    assert_eq!(
        budget.prompt_tokens(1, false, &[900]),
        MIN_SHRUNK_TOKENS,
        "a smaller one is ignored"
    );
    budget.observe(step(1, MIN_SHRUNK_TOKENS, 0), slow / 4);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 2 * MIN_SHRUNK_TOKENS, "the step was fast");
    assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 16, "there is no stream");
    budget.observe(step(1, 0, 0), TARGET / 10);
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 16, "prefill had ended");
}

#[test]
fn chunks_stay_large_if_a_single_token_is_slow_already() {
    let mut budget = with_decode_time(2 * TARGET);
    for _ in 0..9 {
        budget.observe(step(1, 16, 0), 2 * MIN_SLOW_DECODE_STEPS * TARGET);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), 16);
}

#[test]
fn step_with_draft_tokens_does_not_make_the_model_look_slow() {
    let mut budget = with_decode_time(TARGET / 3);
    budget.observe(step(1, 0, 15), 2 * TARGET);
    budget.observe(step(1, 0, 15), 2 * TARGET);
    for _ in 0..9 {
        budget.observe(step(1, budget.prompt_tokens(1, false, &[900]), 0), TARGET * 14 / 10);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[900]), MIN_SHRUNK_TOKENS);
}

#[test]
fn step_never_exceeds_the_batch() {
    let budget = PrefillBudget::new(TARGET, 16);
    assert_eq!(budget.prompt_tokens(12, false, &[900]), 4);
    assert_eq!(budget.prompt_tokens(16, false, &[900]), 0);
}

#[test]
fn next_prompt_starts_with_chunks_of_full_size() {
    let mut budget = with_decode_time(TARGET / 4);
    for _ in 0..8 {
        let n_prompt = budget.prompt_tokens(1, false, &[9000]);
        budget.observe(StepTokens { depth: 2000, ..step(1, n_prompt, 0) }, TARGET * 13 / 10);
    }
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), MIN_SHRUNK_TOKENS);
    budget.observe(step(1, MIN_SHRUNK_TOKENS, 0), TARGET);
    assert_eq!(budget.prompt_tokens(1, false, &[9000]), 16);
}
