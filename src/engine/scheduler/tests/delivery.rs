//! Text on its way to clients, quick ones and slow ones.

use futures_util::FutureExt;

use super::*;

#[test]
fn every_step_rings_for_its_text_and_for_the_first_one_loudly() {
    let mut rig = Rig::with_slots(1);
    let client = rig.submit("loop", Params::default());
    let mut heard = || {
        rig.turn();
        let Client { notifier, .. } = &client;
        (notifier.urgent().now_or_never().is_some(), notifier.routine().now_or_never().is_some())
    };
    assert_eq!(heard(), (true, false));
    assert_eq!((heard(), heard()), ((false, true), (false, true)));
}

#[test]
fn a_slow_client_is_parked_then_dropped_and_does_not_delay_the_other() {
    let mut rig = Rig::new(
        Limits { n_batch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens: 40_000 * 2, n_draft: 0 },
        40_000,
    );
    let mut slow = rig.submit("loop", Params::default());
    let mut quick = rig.submit("loop", at_most(16_600));
    while quick.outcomes.is_empty() {
        rig.turn();
        quick.read();
    }
    rig.turn();
    let patience = rig.scheduler.patience(rig.now);
    assert!(matches!(patience, Patience::Until(left) if left <= GRACE));
    assert_eq!(rig.turn(), None, "a parked slot costs nothing");
    rig.now += GRACE;
    rig.turn();
    slow.read();
    assert_eq!(slow.outcomes, [Outcome::Failed(Failure::SlowClient { grace: GRACE })]);
    assert_eq!(rig.scheduler.patience(rig.now), Patience::Forever);
}

#[test]
fn a_parked_client_that_reads_again_gets_everything() {
    let mut rig = Rig::new(
        Limits { n_batch: 16, n_slots: 1, n_cache_seqs: 0, kv_tokens: 40_000, n_draft: 0 },
        40_000,
    );
    let mut client = rig.submit("loop", at_most(20_000));
    while rig.turn().is_some() {}
    assert!(!rig.scheduler.is_idle());
    client.read();
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text.len(), 20_000);
}

#[test]
fn the_rate_is_that_of_the_tokens_said_without_the_one_that_ends_the_text() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("abc", Params::default());
    rig.drive(&mut [&mut client]);
    let Usage { tokens, generation, .. } = client.usage();
    assert_eq!((tokens, generation), (3, Duration::from_millis(20)), "two steps behind the first");
}

#[test]
fn a_short_prompt_that_waits_for_a_long_ones_beginning_is_not_held_up_by_a_third() {
    let mut rig = Rig::with_slots(4);
    let mut third = rig.submit(&"third ".repeat(15), at_most(1));
    rig.turn();
    let mut long = rig.submit(&format!("a beginning {}", "of many words ".repeat(6)), at_most(1));
    let mut short = [
        rig.submit("a beginning", at_most(1)),
        // Which waits for the one before it.
        rig.submit("a beginning!", at_most(1)),
    ];
    for _ in 0..3 {
        rig.turn();
    }
    short.iter_mut().for_each(Client::read);
    third.read();
    assert_eq!(third.outcomes, []);
    assert!(short.iter().all(|client| client.usage().cached_tokens >= 10));
    rig.drive(&mut [&mut third, &mut long]);
}

/// Prompt tokens beyond the beginning that four requests share, of which those `leaving` do so while
/// the first one reads it.
fn computed_beyond_the_beginning(leaving: &[usize]) -> usize {
    let mut rig = Rig::with_slots(4);
    let system = "the same long instructions for everybody, ";
    let mut clients: Vec<Client> =
        (0..4).map(|i| rig.submit(&format!("{system}{i}"), at_most(5))).collect();
    rig.turn();
    leaving.iter().for_each(|&i| clients[i].cancel.set());
    let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut refs);
    rig.stats.numbers.prompt_tokens_total.load(Relaxed) as usize - system.len()
}

#[test]
fn a_prefix_that_another_request_is_reading_right_now_is_read_once() {
    assert_eq!(computed_beyond_the_beginning(&[]), 4, "four last characters");
}

#[test]
fn those_that_wait_for_a_beginning_wait_on_where_one_of_them_leaves() {
    assert_eq!(computed_beyond_the_beginning(&[1, 2]), 2);
    assert_eq!(computed_beyond_the_beginning(&[0]), 3, "of the reader what it has read is used");
}

#[test]
fn a_newcomer_takes_no_beginning_from_those_that_wait_for_it() {
    let mut rig = Rig::with_slots(2);
    let mut clients = [1, 2, 3]
        .map(|i| rig.submit(&format!("the same long instructions for all {i}"), at_most(1)));
    let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
    rig.drive(&mut refs);
    assert_eq!(rig.stats.numbers.prompt_tokens_total.load(Relaxed), 36 + 1 + 1);
}

#[test]
fn of_those_that_wait_for_a_beginning_the_oldest_goes_on_with_it_and_the_others_share_it() {
    let mut rig = Rig::with_slots(3);
    let mut before = [rig.submit("x", at_most(2)), rig.submit("y", at_most(1))];
    let text = "the same instructions for everybody ".repeat(2);
    let mut clients = [1, 2, 3].map(|i| rig.submit(&format!("{text}{i}"), at_most(1)));
    // The younger of the two that wait has the place before that of the older one.
    let mut refs: Vec<&mut Client> = before.iter_mut().chain(&mut clients).collect();
    rig.drive(&mut refs);
    let computed = rig.stats.numbers.prompt_tokens_total.load(Relaxed) as usize;
    assert_eq!(computed, 2 + text.len() + 3, "one of their own each");
}

#[test]
fn waiting_for_a_beginning_that_somebody_else_reads_is_no_time_of_reading() {
    let mut rig = Rig::with_slots(3);
    let [mut first, mut second, mut third] = [1, 2, 3]
        .map(|i| rig.submit(&format!("the same long instructions for all {i}"), at_most(1)));
    rig.turn();
    third.cancel.set();
    rig.drive(&mut [&mut first, &mut second, &mut third]);
    let times = |client: &Client| (client.usage().queued, client.usage().prompt);
    let steps = |n| Duration::from_millis(10) * n;
    assert_eq!(times(&first), (steps(0), steps(3)));
    assert_eq!(times(&second), (steps(3), steps(1)));
    assert_eq!(times(&third), (steps(1), steps(0)), "which was aborted behind the first step");
}

#[test]
fn a_connection_that_does_not_read_gets_no_further_slots_meanwhile() {
    let mut rig = Rig::new(
        Limits { n_batch: 16, n_slots: 2, n_cache_seqs: 0, kv_tokens: 2 * 40_000, n_draft: 0 },
        40_000,
    );
    let mut slow = rig.submit("loop", Params::default());
    while rig.turn().is_some() {}
    let mut next = rig.submit("loop", at_most(3));
    let mut other = rig.submit_as(2, "loop", at_most(3));
    while rig.turn().is_some() {}
    [&mut slow, &mut next, &mut other].into_iter().for_each(Client::read);
    assert_eq!((next.text.as_str(), other.text.as_str()), ("", "loo"));
    rig.turn();
    slow.cancel.set();
    rig.drive(&mut [&mut slow, &mut next]);
    assert_eq!(next.text, "loo");
}

#[test]
fn what_waits_of_a_connection_that_does_not_read_ends_with_what_ran() {
    let limits = Limits { n_batch: 16, n_slots: 1, n_cache_seqs: 0, kv_tokens: 40_000, n_draft: 0 };
    let mut rig = Rig::new(limits, 40_000);
    let mut stuck = [rig.submit("loop", Params::default()), rig.submit("loop", Params::default())];
    let mut other = rig.submit_as(2, "loop", at_most(3));
    while rig.turn().is_some() {}
    rig.now += GRACE;
    rig.turn();
    stuck.iter_mut().for_each(Client::read);
    let slow = [Outcome::Failed(Failure::SlowClient { grace: GRACE })];
    assert!(stuck.iter().all(|client| client.outcomes == slow));
    rig.drive(&mut [&mut other]);
    assert_eq!(other.text, "loo");
}

#[test]
fn who_waits_is_admitted_whether_or_not_the_end_of_the_one_before_is_read() {
    let mut rig = Rig::with_slots(1);
    let _unread = rig.submit("loop", at_most(1));
    let mut waiting = rig.submit("loop", at_most(1));
    rig.turn();
    assert_eq!(rig.scheduler.patience(rig.now), Patience::None);
    rig.turn();
    waiting.read();
    assert_eq!(waiting.text, "l");
    assert_eq!(rig.scheduler.patience(rig.now), Patience::Forever);
}
