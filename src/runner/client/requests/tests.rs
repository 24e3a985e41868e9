//! The table of requests, without a runner.

use std::time::Duration;

use super::*;
use crate::domain::{AccountId, ConnectionId, Params, Prompt};

/// A table whose runner is ready.
fn open() -> Requests {
    let requests = Requests::default();
    requests.open();
    requests
}

fn add(requests: &Requests) -> Submitted {
    let added = requests.add(request(), Instant::now(), Arc::default(), true, 100);
    added.unwrap_or_else(|_| panic!("the table has space"))
}

fn request() -> Request {
    Request {
        connection: ConnectionId(1),
        account: AccountId(1),
        prompt: Prompt::Text("x".to_owned()),
        params: Params::default(),
    }
}

/// What the link sends now.
fn frames(requests: &Requests) -> Vec<ToRunner> {
    std::iter::from_fn(|| requests.take_frame(Instant::now())).collect()
}

/// The keys of the requests that the link submits now.
fn submitted(requests: &Requests) -> Vec<RequestKey> {
    let key = |frame| match frame {
        ToRunner::Submit(submission) => submission.key,
        other => panic!("{other:?}"),
    };
    frames(requests).into_iter().map(key).collect()
}

fn text(text: &str) -> Delivery {
    Delivery { text: text.to_owned(), ..Delivery::default() }
}

fn started() -> Delivery {
    Delivery { is_started: true, ..Delivery::default() }
}

fn killed() -> RunnerEnd {
    RunnerEnd::Died("SIGKILL".to_owned())
}

/// How the request ended; `None` if it has not.
fn failure(request: &Submitted) -> Option<Failure> {
    match request.mailbox.take().outcome? {
        Outcome::Failed(failure) => Some(failure),
        other => panic!("{other:?}"),
    }
}

#[test]
fn request_waits_until_a_runner_is_ready_and_is_submitted_once() {
    let requests = Requests::default();
    let keys = [add(&requests).key, add(&requests).key];
    assert_eq!(frames(&requests), []);
    assert_eq!(requests.n_held(), 2);
    requests.open();
    assert_eq!(submitted(&requests), keys);
    assert_eq!(frames(&requests), []);
}

#[test]
fn request_with_text_ends_with_its_runner_and_others_go_to_the_next() {
    let requests = open();
    let [answering, prefilling, waiting] = [add(&requests), add(&requests), add(&requests)];
    frames(&requests);
    requests.deliver(answering.key, text("Once"));
    requests.deliver(prefilling.key, started());
    requests.close(&killed());
    assert!(matches!(failure(&answering), Some(Failure::RunnerEnded { is_second: false, .. })));
    assert_eq!(failure(&prefilling), None);
    requests.open();
    assert_eq!(submitted(&requests), [prefilling.key]);
    requests.deliver(prefilling.key, text("Once"));
    assert_eq!(submitted(&requests), [waiting.key]);
}

#[test]
fn request_that_was_there_at_two_ends_is_not_run_again() {
    let requests = open();
    let request = add(&requests);
    for _ in 0..2 {
        assert_eq!(submitted(&requests), [request.key]);
        requests.close(&killed());
        requests.open();
    }
    assert!(matches!(failure(&request), Some(Failure::RunnerEnded { is_second: true, .. })));
    assert_eq!(frames(&requests), []);
}

#[test]
fn suspects_are_sent_one_after_another_and_new_requests_at_once() {
    let requests = open();
    let [first, second, third] = [add(&requests), add(&requests), add(&requests)];
    assert_eq!(submitted(&requests), [first.key, second.key, third.key]);
    requests.close(&killed());
    let new = add(&requests);
    requests.open();
    assert_eq!(submitted(&requests), [first.key, new.key]);
    requests.deliver(first.key, text("Once"));
    assert_eq!(submitted(&requests), [second.key]);
    // The second request ends this runner too, and the third one has not noticed.
    requests.close(&killed());
    assert!(matches!(failure(&second), Some(Failure::RunnerEnded { is_second: true, .. })));
    requests.open();
    assert_eq!(submitted(&requests), [third.key]);
    let outcome = Some(Outcome::Refused(Refusal::ShuttingDown));
    requests.deliver(third.key, Delivery { outcome, ..Delivery::default() });
    assert_eq!(submitted(&requests), [new.key]);
}

#[test]
fn request_that_was_accepted_keeps_its_place_in_the_next_runner() {
    let requests = open();
    let [accepted, unanswered] = [add(&requests), add(&requests)];
    frames(&requests);
    requests.accepted(accepted.key);
    requests.close(&killed());
    requests.open();
    let was_accepted = |key| match &frames(&requests)[..] {
        [ToRunner::Submit(frame)] if frame.key == key => frame.was_accepted,
        other => panic!("{other:?}"),
    };
    assert!(was_accepted(accepted.key));
    requests.deliver(accepted.key, text("Once"));
    assert!(!was_accepted(unanswered.key));
}

#[test]
fn waiting_request_is_not_blamed_for_stalls() {
    let requests = open();
    let waiting = add(&requests);
    for _ in 0..5 {
        assert_eq!(submitted(&requests), [waiting.key]);
        requests.close(&RunnerEnd::Stalled(Duration::from_secs(10)));
        requests.open();
    }
    assert_eq!(failure(&waiting), None);
}

#[test]
fn cancelled_requests_leave_nothing_to_send() {
    let requests = Requests::default();
    for _ in 0..1000 {
        requests.cancel(add(&requests).key);
    }
    let open = open();
    for _ in 0..1000 {
        open.cancel(add(&open).key);
    }
    for requests in [&requests, &open] {
        let contents = requests.lock();
        assert_eq!((contents.unsent.len(), contents.entries.len()), (0, 0));
    }
}

#[test]
fn stall_ends_running_requests_and_keeps_waiting_ones() {
    let requests = open();
    let [answering, prefilling, waiting] = [add(&requests), add(&requests), add(&requests)];
    frames(&requests);
    requests.deliver(answering.key, text("Once"));
    requests.deliver(prefilling.key, started());
    let limit = Duration::from_secs(10);
    requests.close(&RunnerEnd::Stalled(limit));
    for request in [&answering, &prefilling] {
        assert_eq!(failure(request), Some(Failure::EngineStalled { limit }));
    }
    assert_eq!(failure(&waiting), None);
}

#[test]
fn cancelled_request_ends_at_once_if_no_runner_has_it() {
    let requests = Requests::default();
    let held = add(&requests);
    requests.cancel(held.key);
    let outcome = held.mailbox.take().outcome;
    assert!(matches!(outcome, Some(Outcome::Finished { reason: FinishReason::Abort, .. })));
    requests.open();
    assert_eq!(frames(&requests), []);
    let sent = add(&requests);
    frames(&requests);
    requests.cancel(sent.key);
    requests.cancel(sent.key);
    assert_eq!(frames(&requests), [ToRunner::Cancel(sent.key)]);
    requests.close(&killed());
    let outcome = sent.mailbox.take().outcome;
    assert!(matches!(outcome, Some(Outcome::Finished { reason: FinishReason::Abort, .. })));
}

#[test]
fn credit_is_given_back_in_large_parts() {
    let requests = open();
    let request = add(&requests);
    frames(&requests);
    requests.taken(request.key, CREDIT_STEP_BYTES - 1);
    assert_eq!(frames(&requests), []);
    requests.taken(request.key, 1);
    assert_eq!(frames(&requests), [ToRunner::Credit(request.key, CREDIT_STEP_BYTES)]);
}

#[test]
fn full_table_refuses_requests_but_the_first_ones_of_connections() {
    let requests = open();
    add(&requests);
    let further = requests.add(request(), Instant::now(), Arc::default(), false, 1);
    assert!(matches!(further, Err(Refusal::Busy { queued: 1 })));
    assert!(requests.add(request(), Instant::now(), Arc::default(), true, 1).is_ok());
}

#[tokio::test]
async fn request_is_settled_when_it_is_accepted_or_has_ended() {
    let requests = open();
    let [accepted, refused] = [add(&requests), add(&requests)];
    requests.accepted(accepted.key);
    accepted.settled.await.unwrap();
    let outcome = Some(Outcome::Refused(Refusal::ShuttingDown));
    requests.deliver(refused.key, Delivery { outcome, ..Delivery::default() });
    assert!(refused.settled.await.is_err(), "the sender is gone with the request");
    assert_eq!(requests.len(), 1);
}
