//! Delivery of text to clients that read fast or slowly.

use futures_util::FutureExt;

use super::*;

#[test]
fn first_text_is_notified_urgently_and_later_text_is_coalesced() {
    let mut rig = Rig::with_slots(1);
    let client = rig.submit("loop", Params::default());
    let mut notified = || {
        rig.iterate();
        let Client { notifier, .. } = &client;
        (notifier.urgent().now_or_never().is_some(), notifier.coalesced().now_or_never().is_some())
    };
    // The start is reported without haste, in the same iteration as the first text.
    assert_eq!(notified(), (true, true));
    assert_eq!((notified(), notified()), ((false, true), (false, true)));
}

#[test]
fn slow_client_is_paused_and_then_dropped_without_delaying_others() {
    let mut rig =
        Rig::new(Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 20_000, n_draft: 0 }, 40_000);
    let mut slow = rig.submit("loop", Params::default());
    let mut fast = rig.submit("loop", at_most(16_600));
    while fast.outcomes.is_empty() {
        rig.iterate();
        fast.read();
    }
    rig.iterate();
    let limit = rig.wait_limit();
    assert!(matches!(limit, WaitLimit::AtMost(left) if left <= GRACE));
    assert_eq!(rig.iterate(), None, "a paused slot takes no part in steps");
    rig.now += GRACE;
    rig.iterate();
    slow.read();
    assert_eq!(slow.outcomes, [Outcome::Failed(Failure::SlowClient { grace: GRACE })]);
    assert_eq!(rig.wait_limit(), WaitLimit::Unlimited);
}

#[test]
fn paused_client_that_reads_again_gets_all_text() {
    let mut rig =
        Rig::new(Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 40_000, n_draft: 0 }, 40_000);
    let mut client = rig.submit("loop", at_most(20_000));
    while rig.iterate().is_some() {}
    assert!(!rig.scheduler.is_idle());
    client.read();
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text.len(), 20_000);
}

#[test]
fn generation_time_excludes_the_step_of_the_end_token() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("abc", Params::default());
    rig.drive(&mut [&mut client]);
    let Usage { tokens, generation, .. } = client.usage();
    assert_eq!((tokens, generation), (3, Duration::from_millis(20)), "two steps after the first");
}

#[test]
fn connection_with_a_paused_slot_gets_no_further_slots() {
    let mut rig =
        Rig::new(Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 40_000, n_draft: 0 }, 40_000);
    let mut slow = rig.submit("loop", Params::default());
    while rig.iterate().is_some() {}
    let mut next = rig.submit("loop", at_most(3));
    let mut other = rig.submit_as(2, "loop", at_most(3));
    while rig.iterate().is_some() {}
    [&mut slow, &mut next, &mut other].into_iter().for_each(Client::read);
    assert_eq!((next.text.as_str(), other.text.as_str()), ("", "loo"));
    rig.iterate();
    slow.cancel.set();
    rig.drive(&mut [&mut slow, &mut next]);
    assert_eq!(next.text, "loo");
}

#[test]
fn waiting_requests_of_a_slow_client_end_with_its_running_one() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 40_000, n_draft: 0 };
    let mut rig = Rig::new(limits, 40_000);
    let mut stuck = [rig.submit("loop", Params::default()), rig.submit("loop", Params::default())];
    let mut other = rig.submit_as(2, "loop", at_most(3));
    while rig.iterate().is_some() {}
    rig.now += GRACE;
    rig.iterate();
    stuck.iter_mut().for_each(Client::read);
    let slow = [Outcome::Failed(Failure::SlowClient { grace: GRACE })];
    assert!(stuck.iter().all(|client| client.outcomes == slow));
    rig.drive(&mut [&mut other]);
    assert_eq!(other.text, "loo");
}

#[test]
fn waiting_request_is_admitted_before_the_last_outcome_is_read() {
    let mut rig = Rig::with_slots(1);
    let _unread = rig.submit("loop", at_most(1));
    let mut waiting = rig.submit("loop", at_most(1));
    rig.iterate();
    assert_eq!(rig.wait_limit(), WaitLimit::NoWait);
    rig.iterate();
    waiting.read();
    assert_eq!(waiting.text, "l");
    assert_eq!(rig.wait_limit(), WaitLimit::Unlimited);
}
