//! Wide steps beside a stream, from what the same depth took alone.

use super::*;

/// The first step that is neither of 16 tokens nor larger because steps were fast until then, of a
/// long prompt beside a stream on a machine where small steps are slow. Before, a prompt of `alone`
/// tokens was read fast.
fn step_after_slow_ones(alone: usize) -> usize {
    let limits = Limits { n_batch: 64, n_slots: 2, n_cache_seqs: 0, kv_tokens: 4000, n_draft: 0 };
    let mut rig = Rig::new(limits, 2000);
    let mut first = rig.submit(&"x".repeat(alone), at_most(1));
    rig.drive(&mut [&mut first]);
    let params = Params { cache_prompt: false, ..Params::default() };
    let _stream = rig.submit("loop", params.clone());
    rig.turn();
    rig.turn();
    rig.per_token = Duration::from_millis(40);
    let _long = rig.submit_as(2, &"y".repeat(1900), params);
    let mut is_small = false;
    for _ in 0..100 {
        let n = rig.turn().unwrap();
        if is_small && n != 16 {
            return n;
        }
        is_small |= n == 16;
    }
    panic!("the steps stay as they are");
}

#[test]
fn what_wide_steps_take_is_known_from_prompts_as_deep() {
    assert_eq!(step_after_slow_ones(1900), 64);
    assert_eq!(step_after_slow_ones(70), 8, "the beginning of a prompt says nothing");
}
