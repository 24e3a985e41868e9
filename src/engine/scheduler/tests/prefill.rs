//! Prefill while other slots decode or prefill.

use super::*;

#[test]
fn stream_gets_a_token_in_every_step_of_a_long_prefill() {
    let mut rig = Rig::with_slots(2);
    let mut stream = rig.submit("loop", at_most(20));
    rig.iterate();
    let mut long = rig.submit_as(2, &"x".repeat(90), at_most(1));
    let mut before = 0;
    while long.outcomes.is_empty() {
        rig.iterate();
        stream.read();
        long.read();
        assert_eq!(stream.text.len(), before + if before == 0 { 2 } else { 1 });
        before = stream.text.len();
    }
}

#[test]
fn short_prompt_overtakes_a_long_one_and_the_next_has_to_share() {
    let mut rig = Rig::with_slots(3);
    let _long = rig.submit(&"x".repeat(90), at_most(1));
    assert_eq!(rig.iterate(), Some(16));
    let mut first = rig.submit("ab", at_most(1));
    assert_eq!(rig.iterate(), Some(2), "the short prompt alone");
    first.read();
    assert_eq!(first.usage().prompt_tokens, 2);
    let mut second = rig.submit("cd", at_most(1));
    assert_eq!(rig.iterate(), Some(16), "both prompts");
    second.read();
    assert_eq!(second.usage().prompt_tokens, 2);
}

/// Number of tokens of the step in which four prompts of 30 tokens start, while another slot has
/// generated `n_generated` tokens.
fn step_while_decoding(n_generated: usize) -> usize {
    let limits = Limits { n_ubatch: 512, n_slots: 5, slot_tokens: 100, n_draft: 0 };
    let mut rig = Rig::new(limits, 100);
    // A thousand tokens per second: a step of 50 ms has 48, one of 250 ms has 256.
    let _first = rig.submit("abcdefghij", Params::default());
    for _ in 0..n_generated {
        rig.iterate();
    }
    let prompts = ["1", "2", "3", "4"].map(|digit| digit.repeat(30));
    let _others = prompts.map(|prompt| rig.submit(&prompt, Params::default()));
    rig.iterate().unwrap()
}

#[test]
fn short_prompts_are_prefilled_at_once_while_a_stream_is_new() {
    assert_eq!(step_while_decoding(1), 1 + 4 * 30);
    assert_eq!(step_while_decoding(8), 1 + 4 * 30);
    assert_eq!(step_while_decoding(9), 1 + 30, "of 48, a second prompt would not be complete");
}

#[test]
fn chunks_shrink_beside_a_stream_where_even_a_block_is_slow() {
    let limits = Limits { n_ubatch: 64, n_slots: 2, slot_tokens: 2000, n_draft: 0 };
    let mut rig = Rig::new(limits, 2000);
    let _stream = rig.submit("loop", Params::default());
    rig.iterate();
    rig.iterate();
    rig.per_token = Duration::from_millis(40);
    let _long = rig.submit_as(2, &"y".repeat(1900), Params::default());
    let sizes: Vec<usize> = (0..40).filter_map(|_| rig.iterate()).collect();
    let mut distinct = sizes.clone();
    distinct.dedup();
    assert!(distinct.ends_with(&[1 + 16, 1 + 8, 1 + 4]), "{sizes:?}");
}
