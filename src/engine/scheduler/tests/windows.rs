//! Models whose layers have cells for the windows of the slots, and for no more.

use super::*;

#[test]
fn where_layers_see_a_window_as_many_texts_are_kept_as_there_are_slots_and_each_goes_on() {
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
    assert_eq!(ask("the first conversation goes on"), 0, "there was no window for it");
}

#[test]
fn where_layers_see_a_window_running_requests_share_nothing() {
    let mut rig = Rig::with_slots(2).with_windows();
    let mut clients = ["one", "two"]
        .map(|end| rig.submit(&format!("a long beginning that both have, {end}"), at_most(1)));
    let [a, b] = &mut clients;
    rig.drive(&mut [a, b]);
    assert_eq!(clients.map(|client| client.usage().cached_tokens), [0, 0]);
}
