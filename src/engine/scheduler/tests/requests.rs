//! Requests from admission to outcome.

use super::*;

#[test]
fn prompt_longer_than_a_step_is_prefilled_in_chunks() {
    let mut rig = Rig::with_slots(1);
    let prompt = "abcdefghijklmnopqrstuvwxyz0123456789";
    let mut client = rig.submit(prompt, Params::default());
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text, prompt);
    assert_eq!(client.usage().prompt_tokens, 36);
    assert_eq!(client.usage().tokens, 36);
}

#[test]
fn max_tokens_ends_the_answer_with_length() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("loop", at_most(6));
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text, "looplo");
    let reason = |client: &Client| match client.outcomes[0] {
        Outcome::Finished { reason, .. } => reason,
        Outcome::Failed(_) | Outcome::Refused(_) => panic!("failed"),
    };
    assert_eq!(reason(&client), FinishReason::MaxTokens);
    let mut none = rig.submit("loop", at_most(0));
    rig.drive(&mut [&mut none]);
    assert_eq!((none.text.as_str(), reason(&none)), ("", FinishReason::MaxTokens));
}

#[test]
fn answer_without_a_limit_ends_when_the_context_is_full() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("loop", Params::default());
    rig.drive(&mut [&mut client]);
    assert_eq!(client.usage().prompt_tokens + client.usage().tokens, 100);
}

#[test]
fn request_that_ends_while_waiting_counts_in_every_metric() {
    let mut rig = Rig::with_slots(1);
    let mut running = rig.submit("loop", at_most(20));
    rig.iterate();
    let mut cancelled = rig.submit("loop", at_most(20));
    rig.iterate();
    cancelled.cancel.set();
    rig.drive(&mut [&mut running, &mut cancelled]);
    rig.submit("loop", at_most(20));
    rig.now += Duration::from_secs(3);
    rig.scheduler.refuse_waiting(rig.now);
    let Histograms { queue_wait, total, .. } = rig.stats.snapshot(rig.now, 0).histograms;
    assert_eq!((queue_wait.count(), total.count()), (3, 3));
    // The cancelled one waited for one step of ten milliseconds.
    assert!((queue_wait.sum - 3.01).abs() < 1e-9, "{}", queue_wait.sum);
}

#[test]
fn request_waits_for_a_slot_and_learns_its_position() {
    let mut rig = Rig::with_slots(1);
    let mut first = rig.submit("loop", at_most(30));
    rig.iterate();
    let mut second = rig.submit_as(2, "loop", at_most(20));
    rig.iterate();
    assert_eq!(rig.n_active(), 1);
    second.read();
    assert_eq!(second.queued, Some(1));
    rig.drive(&mut [&mut first, &mut second]);
    assert_eq!((first.text.len(), second.text.len()), (30, 20));
}

#[test]
fn failed_step_fails_its_requests_once_and_later_ones_run() {
    let mut rig = Rig::with_slots(2);
    let mut bad = rig.submit("fail", Params::default());
    rig.drive(&mut [&mut bad]);
    assert!(matches!(bad.outcomes.as_slice(), [Outcome::Failed(Failure::EngineFailed { .. })]));
    let mut good = rig.submit("hello", Params::default());
    rig.drive(&mut [&mut good]);
    assert_eq!(good.text, "hello");
}

#[test]
fn request_that_cannot_be_sampled_fails_alone() {
    let mut rig = Rig::with_slots(2);
    let mut bad = rig.submit("nan", Params::default());
    let mut good = rig.submit("hello", Params::default());
    rig.drive(&mut [&mut bad, &mut good]);
    assert!(matches!(bad.outcomes[0], Outcome::Failed(Failure::EngineFailed { .. })));
    assert_eq!(good.text, "hello");
}

#[test]
fn shutdown_ends_every_request_once() {
    let mut rig = Rig::with_slots(1);
    let mut running = rig.submit("loop", Params::default());
    let mut waiting = rig.submit("loop", Params::default());
    rig.iterate();
    rig.scheduler.refuse_waiting(rig.now);
    waiting.read();
    assert_eq!(waiting.outcomes, [Outcome::Failed(Failure::ShuttingDown)]);
    rig.scheduler.end_all(rig.now);
    running.read();
    assert_eq!(running.outcomes, [Outcome::Failed(Failure::ShuttingDown)]);
    assert!(rig.scheduler.is_idle());
    assert_eq!(rig.n_active(), 0);
    assert_eq!(rig.n_queued(), 0);
}
