//! What clients see when the runner ends, hangs or fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use inference_core::runner::Health;
use serde_json::{Value, json};

use crate::common::{Client, Setup, TestServer, http_get};

fn infer(id: &str, prompt: &str) -> Value {
    json!({"op": "infer", "id": id, "prompt": prompt})
}

/// The number of runners that were started.
fn n_launched(server: &TestServer) -> usize {
    server.n_launched.load(Ordering::Relaxed)
}

#[tokio::test]
async fn request_that_crashes_two_runners_ends_and_others_are_served() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(infer("a", "crash")).await;
    let error = client.expect_error("engine_failed").await;
    assert_eq!((&error["id"], &error["retry_after_ms"]), (&json!("a"), &Value::Null));
    assert!(
        error["message"].as_str().unwrap().contains("again while it had this request"),
        "{error}"
    );
    assert_eq!(n_launched(&server), 2, "the third runner has not started yet");
    client.send(infer("b", "fine")).await;
    assert_eq!(client.expect_answer(Some("b")).await.text, "fine");
    assert_eq!(n_launched(&server), 3);
}

#[tokio::test]
async fn request_with_text_ends_and_waiting_ones_do_not_notice() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("answering").await;
    server.step_until(|now| now.numbers.tokens_total >= 3).await;
    client.send(infer("crash", "crash")).await;
    server.step_until(|now| now.numbers.active == 2).await;
    client.send(infer("waiting", "fine")).await;
    client.fence().await;
    // The request with text shares the step that crashes.
    server.pace.allow(1000);
    let mut ends = Vec::new();
    while ends.len() < 3 {
        let frame = client.frame().await;
        if matches!(frame["op"].as_str(), Some("end" | "error")) {
            ends.push(frame);
        }
    }
    let end = |id: &str| ends.iter().find(|end| end["id"] == id).unwrap();
    assert_eq!(end("answering")["code"], "engine_failed");
    assert_eq!(end("answering")["retry_after_ms"], 1000);
    assert_eq!(end("crash")["code"], "engine_failed");
    assert_eq!(end("waiting")["finish_reason"], "stop");
}

#[tokio::test]
async fn hanging_step_ends_running_requests_and_keeps_waiting_ones() {
    let mut setup = Setup { stall_limit: Duration::from_millis(100), ..Setup::default() };
    setup.limits.n_slots = 1;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send(infer("a", "hang")).await;
    client.send(infer("waiting", "fine")).await;
    let error = client.expect_terminal().await;
    assert_eq!((&error["id"], &error["code"]), (&json!("a"), &json!("engine_stalled")));
    assert_eq!(error["retry_after_ms"], 1000);
    let end = client.expect_terminal().await;
    assert_eq!((&end["id"], &end["finish_reason"]), (&json!("waiting"), &json!("stop")));
    let (_, page) = http_get(server.address, "/metrics").await;
    let restarts = "inference_core_runner_restarts_total{cause=\"stalled\"} 1\n";
    assert!(page.contains(restarts), "{page}");
}

#[tokio::test]
async fn third_failed_step_in_a_row_replaces_the_runner() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for (id, n_runners) in [("a", 1), ("b", 1), ("c", 1), ("d", 2)] {
        assert_eq!(n_launched(&server), n_runners, "{id}");
        client.send(infer(id, "fail")).await;
        assert_eq!(client.expect_error("engine_failed").await["id"], id);
        if id == "c" {
            server.until_health(Health::Idle).await;
            while n_launched(&server) == 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn runner_that_does_not_start_is_counted_and_another_one_is_tried() {
    let server = Setup { failing_launch: 2, ..Setup::default() }.start().await;
    let mut client = Client::connect(&server).await;
    client.send(infer("a", "crash")).await;
    assert_eq!(client.expect_error("engine_failed").await["id"], "a");
    server.until_health(Health::Idle).await;
    assert_eq!(n_launched(&server), 4);
    let (_, page) = http_get(server.address, "/metrics").await;
    for restarts in ["cause=\"launch\"} 1\n", "cause=\"exit code 1\"} 2\n"] {
        assert!(page.contains(restarts), "{restarts}: {page}");
    }
}

#[tokio::test]
async fn model_whose_runners_end_again_and_again_is_given_up_and_tried_again() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for id in ["a", "b", "c"] {
        client.send(infer(id, "crash")).await;
        client.expect_error("engine_failed").await;
    }
    server.until_health(Health::Failed).await;
    let (status, text) = http_get(server.address, "/healthz").await;
    assert_eq!(status, 503);
    assert!(
        text.contains("\"state\":\"failed\",\"cause\":\"exit code 1: the engine thread panicked"),
        "{text}"
    );
    client.send(infer("refused", "fine")).await;
    let error = client.expect_error("engine_failed").await;
    assert_eq!(error["retry_after_ms"], 30_000);
    server.until_health(Health::Idle).await;
    client.send(infer("d", "fine")).await;
    assert_eq!(client.expect_answer(Some("d")).await.text, "fine");
}

#[tokio::test]
async fn shutdown_sends_terminal_frames_although_a_step_hangs() {
    let mut server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(infer("a", "hang")).await;
    server.until_health(Health::Busy).await;
    server.model.drain();
    server.model.stop();
    assert_eq!(client.expect_error("shutting_down").await["id"], "a");
    server.closing.cancel();
    client.expect_close(1001).await;
    server.until_closed().await;
}

#[tokio::test]
async fn counters_go_on_when_a_runner_is_replaced() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(infer("a", "four")).await;
    client.expect_answer(Some("a")).await;
    let before = server.snapshot().await.numbers;
    client.send(infer("b", "crash")).await;
    client.expect_error("engine_failed").await;
    client.send(infer("c", "four")).await;
    client.expect_answer(Some("c")).await;
    let after = server.snapshot().await.numbers;
    assert_eq!((before.tokens_total, after.tokens_total), (4, 8));
}
