//! Requests that take turns in the slots.

use super::*;

/// A rig with `n_slots` slots of 600 tokens and host RAM for all that a test suspends.
fn rig(n_slots: usize) -> Rig {
    let limits = Limits { n_ubatch: 64, n_slots, slot_tokens: 600, n_draft: 0 };
    Rig::with_cache(1 << 20, limits, 600)
}

/// Iterates until `client` has text; the number of steps until then.
fn steps_to_text(rig: &mut Rig, client: &mut Client) -> usize {
    for n in 0..10_000 {
        client.read();
        if !client.text.is_empty() {
            return n;
        }
        assert!(rig.iterate().is_some(), "nothing runs");
    }
    panic!("the client gets no text");
}

/// Iterates `n` times. The clients read after each iteration.
fn iterate(rig: &mut Rig, n: usize, clients: &mut [Client]) {
    for _ in 0..n {
        rig.iterate();
        clients.iter_mut().for_each(Client::read);
    }
}

/// `n` connections of one account with an endless request each.
fn endless(rig: &mut Rig, n: u64) -> Vec<Client> {
    let submit = |i| rig.submit_for(0, 100 + i, &format!("loop {i}"), Params::default());
    (0..n).map(submit).collect()
}

#[test]
fn new_connection_gets_the_slot_of_an_endless_request_soon() {
    let mut rig = rig(2);
    let mut running = endless(&mut rig, 2);
    iterate(&mut rig, 30, &mut running);
    let mut new = rig.submit_for(0, 1, "a question", at_most(5));
    assert_eq!(steps_to_text(&mut rig, &mut new), 1);
    assert_eq!((rig.n_active(), rig.n_suspended(), rig.n_queued()), (2, 1, 0));
    rig.drive(&mut [&mut new]);
    let [first, second] = &mut running[..] else { unreachable!() };
    rig.drive(&mut [first, second]);
    assert_eq!([first, second].map(|client| client.text.len()), [594, 594]);
    assert_eq!(rig.n_suspensions(), 1);
}

#[test]
fn slot_is_not_given_up_within_the_first_tokens_of_a_slice() {
    let mut rig = rig(1);
    let mut running = endless(&mut rig, 1);
    iterate(&mut rig, 1, &mut running);
    let mut new = rig.submit_for(0, 1, "a question", at_most(5));
    // The prompt has six tokens, and the first step yields one more.
    assert_eq!(steps_to_text(&mut rig, &mut new), 10);
}

#[test]
fn nothing_is_suspended_while_slots_suffice() {
    let mut rig = rig(4);
    let mut clients = endless(&mut rig, 4);
    let mut clients: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut clients);
    assert_eq!(rig.n_suspensions(), 0);
}

#[test]
fn endless_requests_of_many_connections_take_turns() {
    let mut rig = rig(2);
    let mut clients = endless(&mut rig, 6);
    iterate(&mut rig, 3 * 140, &mut clients);
    let lengths: Vec<usize> = clients.iter().map(|client| client.text.len()).collect();
    assert!(lengths.iter().all(|&n| (60..240).contains(&n)), "{lengths:?}");
    let mut clients: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut clients);
    for (i, client) in clients.iter().enumerate() {
        let expected = format!("loop {i}").repeat(100);
        assert_eq!(client.text, expected[..594], "{i}");
    }
}

#[test]
fn requests_of_one_connection_do_not_take_turns() {
    let mut rig = rig(1);
    let mut clients = [(); 3].map(|()| rig.submit("loop", at_most(400)));
    let [a, b, c] = &mut clients;
    rig.drive(&mut [a, b, c]);
    assert_eq!(rig.n_suspensions(), 0);
}

#[test]
fn connections_with_equal_shares_do_not_take_turns() {
    let mut rig = rig(4);
    let mut clients: Vec<Client> =
        (0..16).map(|i| rig.submit_as(i % 2, "loop", at_most(500))).collect();
    iterate(&mut rig, 400, &mut clients);
    assert_eq!((rig.n_active(), rig.n_suspensions()), (4, 0));
}

#[test]
fn connection_with_all_slots_leaves_half_to_another_one() {
    let mut rig = rig(4);
    let mut clients: Vec<Client> = (0..4).map(|_| rig.submit_as(1, "loop", at_most(500))).collect();
    iterate(&mut rig, 200, &mut clients);
    clients.extend((0..4).map(|_| rig.submit_as(2, "loop", at_most(500))));
    iterate(&mut rig, 200, &mut clients);
    let n_begun = clients[4..].iter().filter(|client| !client.text.is_empty()).count();
    assert_eq!((n_begun, rig.n_suspensions()), (2, 2));
}

#[test]
fn account_with_many_connections_takes_turns_within_its_share() {
    let mut rig = rig(2);
    let mut alone = rig.submit_for(1, 1, "loop", at_most(500));
    let mut many = endless(&mut rig, 8);
    for _ in 0..500 {
        iterate(&mut rig, 1, &mut many);
        alone.read();
    }
    assert_eq!(alone.usage().tokens, 500, "it had a slot all the time");
    assert!(many.iter().all(|client| !client.text.is_empty()));
}

#[test]
fn new_account_comes_before_new_connections_of_others() {
    let mut rig = rig(2);
    let mut many = endless(&mut rig, 40);
    iterate(&mut rig, 40, &mut many);
    let mut new = rig.submit_for(7, 7, "a question", at_most(5));
    assert!(steps_to_text(&mut rig, &mut new) < 20);
}

#[test]
fn new_connection_of_an_account_below_its_share_is_hardly_delayed() {
    let mut rig = rig(4);
    let _streaming = rig.submit_for(7, 1, "loop", Params::default());
    let mut many = endless(&mut rig, 40);
    iterate(&mut rig, 100, &mut many);
    let mut new = rig.submit_for(7, 2, "a question", at_most(5));
    let n_steps = steps_to_text(&mut rig, &mut new);
    assert!(n_steps < 20, "{n_steps} steps");
}

#[test]
fn three_hundred_endless_requests_hardly_delay_a_new_one() {
    let limits = Limits { n_ubatch: 64, n_slots: 4, slot_tokens: 600, n_draft: 0 };
    // At four bytes per token about 2,500 tokens, the size of the slots.
    let mut rig = Rig::with_cache(10_000, limits, 600);
    let mut many = endless(&mut rig, 300);
    iterate(&mut rig, 2000, &mut many);
    assert!(many.iter().all(|client| !client.text.is_empty()), "each has begun");
    let mut longest = 0;
    for i in 0..50 {
        let mut honest = rig.submit_for(0, 1, "a question", at_most(20));
        longest = longest.max(steps_to_text(&mut rig, &mut honest));
        while honest.outcomes.is_empty() {
            iterate(&mut rig, 1, &mut many);
            honest.read();
        }
        iterate(&mut rig, i % 7, &mut many);
    }
    assert!(longest <= 5, "{longest} steps");
}

#[test]
fn new_connections_get_in_although_no_copy_fits() {
    let limits = Limits { n_ubatch: 64, n_slots: 2, slot_tokens: 600, n_draft: 0 };
    let mut rig = Rig::with_cache(500, limits, 600);
    let mut clients = endless(&mut rig, 4);
    iterate(&mut rig, 300, &mut clients);
    for i in 0..16 {
        let mut new = rig.submit_for(0, i, "loop on", Params::default());
        assert!(steps_to_text(&mut rig, &mut new) < 40, "{i}");
        clients.push(new);
    }
    let mut clients: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut clients);
}

#[test]
fn job_beyond_the_limit_makes_another_one_give_way() {
    let mut rig = rig(1);
    // With a reserved position, three may wait.
    rig.scheduler.options.max_queue = 2;
    let _running = rig.submit_as(9, "loop", Params::default());
    rig.iterate();
    let mut many = [(); 3].map(|()| rig.submit_as(1, "loop", at_most(1)));
    let mut single = rig.submit_over_limit(2, "loop");
    let [_, _, last] = &mut many;
    last.read();
    assert_eq!(last.outcomes, [Outcome::Refused(Refusal::Busy { queued: 4 })]);
    assert_eq!(rig.n_queued(), 3);
    let mut more = rig.submit_over_limit(1, "loop");
    more.read();
    single.read();
    assert_eq!((more.outcomes.len(), single.outcomes.len()), (1, 0));
    // One that was cancelled makes space.
    let [first, second, _] = &mut many;
    second.cancel.set();
    let mut other = rig.submit_over_limit(3, "loop");
    [&mut *first, &mut *second, &mut other].iter_mut().for_each(|client| client.read());
    assert_eq!([first, second, &mut other].map(|client| client.outcomes.len()), [0, 1, 0]);
    assert_eq!(rig.n_queued(), 3);
}
