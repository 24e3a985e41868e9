//! Prefixes shared with cached sequences and with running requests.

use super::*;

#[test]
fn second_turn_prefills_only_its_new_tokens() {
    let mut rig = Rig::with_slots(2);
    let first = "a story about a dog";
    let mut one = rig.submit(first, Params::default());
    rig.drive(&mut [&mut one]);
    let mut two = rig.submit(&format!("{first}{first} and more"), Params::default());
    rig.drive(&mut [&mut two]);
    assert_eq!(two.usage().cached_tokens, 2 * first.len(), "prompt and answer are cached");
    assert_eq!(two.text, format!("{first}{first} and more"));
}

#[test]
fn request_without_cache_prompt_neither_uses_nor_fills_the_cache() {
    let mut rig = Rig::with_slots(2);
    let uncached = Params { cache_prompt: false, ..Params::default() };
    let mut one = rig.submit("a story about a dog", uncached.clone());
    rig.drive(&mut [&mut one]);
    assert_eq!(rig.kv_used(), 0);
    let mut cached = rig.submit("a story about a dog", Params::default());
    rig.drive(&mut [&mut cached]);
    let mut two = rig.submit("a story about a dog", uncached);
    rig.drive(&mut [&mut two]);
    assert_eq!((cached.usage().cached_tokens, two.usage().cached_tokens), (0, 0));
}

#[test]
fn slot_that_waits_prefills_by_itself_after_its_donor_is_cancelled() {
    let mut rig = Rig::with_slots(2);
    let mut first = rig.submit("the same long instructions for everybody, 1", at_most(5));
    let mut second = rig.submit("the same long instructions for everybody, 2", at_most(5));
    rig.iterate();
    first.cancel.set();
    rig.drive(&mut [&mut first, &mut second]);
    assert_eq!(second.text, "the s");
}

#[test]
fn short_prompt_that_waits_for_a_prefix_is_not_delayed_by_a_third_prompt() {
    let mut rig = Rig::with_slots(4);
    let mut third = rig.submit(&"third ".repeat(15), at_most(1));
    rig.iterate();
    let mut long = rig.submit(&format!("a beginning {}", "of many words ".repeat(6)), at_most(1));
    let mut short = [
        rig.submit("a beginning", at_most(1)),
        // Its donor is the slot of the request before it.
        rig.submit("a beginning!", at_most(1)),
    ];
    for _ in 0..3 {
        rig.iterate();
    }
    short.iter_mut().for_each(Client::read);
    third.read();
    assert_eq!(third.outcomes, []);
    assert!(short.iter().all(|client| client.usage().cached_tokens >= 10));
    rig.drive(&mut [&mut third, &mut long]);
}

/// Prompt tokens computed beyond the prefix that four requests share, if the requests `cancelled`
/// are cancelled while the first one prefills it.
fn computed_beyond_shared_prefix(cancelled: &[usize]) -> usize {
    let mut rig = Rig::with_slots(4);
    let prefix = "the same long instructions for everybody, ";
    let mut clients: Vec<Client> =
        (0..4).map(|i| rig.submit(&format!("{prefix}{i}"), at_most(5))).collect();
    rig.iterate();
    cancelled.iter().for_each(|&i| clients[i].cancel.set());
    let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut refs);
    rig.prompt_tokens() - prefix.len()
}

#[test]
fn prefix_shared_by_running_requests_is_computed_once() {
    assert_eq!(computed_beyond_shared_prefix(&[]), 4, "the last character of each");
}

#[test]
fn slots_that_wait_share_the_prefix_after_one_is_cancelled() {
    assert_eq!(computed_beyond_shared_prefix(&[1, 2]), 2);
    assert_eq!(computed_beyond_shared_prefix(&[0]), 3, "what the donor computed is used");
}

#[test]
fn next_request_does_not_take_the_prefix_from_slots_that_wait() {
    let mut rig = Rig::with_slots(2);
    let mut clients = [1, 2, 3]
        .map(|i| rig.submit(&format!("the same long instructions for all {i}"), at_most(1)));
    let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut refs);
    assert_eq!(rig.prompt_tokens(), 36 + 1 + 1);
}

#[test]
fn oldest_slot_that_waits_continues_the_prefix_and_others_share_it() {
    let mut rig = Rig::with_slots(3);
    let mut before = [rig.submit("x", at_most(2)), rig.submit("y", at_most(1))];
    let text = "the same instructions for everybody ".repeat(2);
    let mut clients = [1, 2, 3].map(|i| rig.submit(&format!("{text}{i}"), at_most(1)));
    // The younger of the two waiting requests has the slot before that of the older one.
    let mut refs: Vec<&mut Client> = before.iter_mut().chain(&mut clients).collect();
    rig.drive(&mut refs);
    assert_eq!(rig.prompt_tokens(), 2 + text.len() + 3, "one token of their own for each");
}

#[test]
fn wait_for_a_prefix_counts_as_queueing_and_not_as_prefill() {
    let mut rig = Rig::with_slots(3);
    let [mut first, mut second, mut third] = [1, 2, 3]
        .map(|i| rig.submit(&format!("the same long instructions for all {i}"), at_most(1)));
    rig.iterate();
    third.cancel.set();
    rig.drive(&mut [&mut first, &mut second, &mut third]);
    let times = |client: &Client| (client.usage().queued, client.usage().prompt);
    let steps = |n| Duration::from_millis(10) * n;
    assert_eq!(times(&first), (steps(0), steps(3)));
    assert_eq!(times(&second), (steps(3), steps(1)));
    assert_eq!(times(&third), (steps(1), steps(0)), "it was cancelled after the first step");
}
