//! Sliding-window models, whose layers have cells for one sequence per slot.

use super::*;

#[test]
fn sliding_window_model_caches_one_sequence_per_slot() {
    let mut rig = Rig::with_slots(2).with_windows();
    let mut ask = |prompt: &str| {
        let mut client = rig.submit(prompt, at_most(1));
        rig.drive(&mut [&mut client]);
        client.usage().cached_tokens
    };
    let texts = ["the first conversation", "another text altogether", "and this is a third"];
    assert_eq!(texts.map(&mut ask), [0; 3]);
    assert_eq!(ask("and this is a third one"), 19);
    assert_eq!(ask("another text altogether new"), 23);
    assert_eq!(ask("the first conversation goes on"), 0, "there were no cells for it");
}

#[test]
fn sliding_window_model_shares_no_prefix_between_running_requests() {
    let mut rig = Rig::with_slots(2).with_windows();
    let mut clients = ["one", "two"]
        .map(|end| rig.submit(&format!("a long beginning that both have, {end}"), at_most(1)));
    let [a, b] = &mut clients;
    rig.drive(&mut [a, b]);
    assert_eq!(clients.map(|client| client.usage().cached_tokens), [0, 0]);
}
