//! Requests and connections that are refused.

use std::sync::mpsc;

use serde_json::json;

use crate::common::{Client, Setup, TestServer};

#[tokio::test]
async fn second_request_without_id_is_refused() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "loop"})).await;
    client.send(json!({"op": "infer", "prompt": "loop"})).await;
    let error = client.expect_error("request_in_flight").await;
    assert!(error.get("id").is_none());
}

#[tokio::test]
async fn id_of_a_running_request_is_refused() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.send_endless("a").await;
    assert_eq!(client.expect_error("duplicate_id").await["id"], "a");
    // Ids of different connections are independent.
    let mut other = Client::connect(&server).await;
    other.send_endless("a").await;
    other.expect_waiting().await;
}

/// A server with one slot, which the client's request holds, and a queue of `max_queue` requests.
async fn without_a_free_slot(max_queue: usize) -> (TestServer, Client) {
    let mut setup = Setup::by_hand();
    setup.limits.n_slots = 1;
    setup.engine.max_queue = max_queue;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("runs").await;
    server.until_held().await;
    (server, client)
}

#[tokio::test]
async fn full_queue_refuses_at_once() {
    let (_server, mut client) = without_a_free_slot(1).await;
    client.send_endless("waits").await;
    client.send_endless("refused").await;
    let error = client.expect_error("busy").await;
    assert_eq!(error["id"], "refused");
    assert!(error["retry_after_ms"].is_u64());
    // A refused id is free at once.
    client.send_endless("refused").await;
    client.expect_error("busy").await;
}

#[tokio::test]
async fn full_queue_accepts_first_requests_of_other_connections() {
    let (server, mut greedy) = without_a_free_slot(5).await;
    for id in ["a", "b", "c", "d", "e", "refused"] {
        greedy.send_endless(id).await;
    }
    assert_eq!(greedy.expect_error("busy").await["id"], "refused");
    // A quarter of five, rounded up.
    let mut others = [Client::connect(&server).await, Client::connect(&server).await];
    for other in &mut others {
        other.send_endless("first").await;
        other.expect_waiting().await;
    }
    others[0].send_endless("second").await;
    others[0].expect_error("busy").await;
}

#[tokio::test]
async fn last_request_of_the_greediest_connection_gives_way_to_a_new_connection() {
    let (server, mut greedy) = without_a_free_slot(2).await;
    greedy.send_endless("waits").await;
    greedy.send_endless("gives way").await;
    server.until(|now| now.numbers.queued == 2).await;
    let mut others = Vec::new();
    // A quarter of two, rounded up, is reserved.
    for n_waiting in [3, 4] {
        let mut other = Client::connect(&server).await;
        other.send_endless("first").await;
        server.until(|now| now.numbers.queued == n_waiting).await;
        others.push(other);
    }
    server.pace.allow(1);
    let error = loop {
        let frame = greedy.frame().await;
        if frame["op"] == "error" {
            break frame;
        }
    };
    assert_eq!((&error["id"], &error["code"]), (&json!("gives way"), &json!("busy")));
    for other in &mut others {
        assert!(other.fence().await.iter().all(|frame| frame["op"] == "queued"));
    }
    let mut late = Client::connect(&server).await;
    late.send_endless("first").await;
    server.until(|now| now.numbers.queued == 4).await;
    server.pace.allow(1);
    assert_eq!(late.expect_terminal().await["code"], "busy");
}

#[tokio::test]
async fn connection_with_64_requests_is_refused_another() {
    let mut setup = Setup::by_hand();
    setup.engine.max_queue = 1000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    for i in 0..64 {
        client.send_endless(&i.to_string()).await;
    }
    client.expect_waiting().await;
    client.send_endless("one too many").await;
    let error = client.expect_error("busy").await;
    assert_eq!(error["id"], "one too many");
    assert!(error["retry_after_ms"].is_u64());
    let mut other = Client::connect(&server).await;
    other.send_endless("a").await;
    other.expect_waiting().await;
}

#[tokio::test]
async fn answer_is_limited_by_the_ceiling_of_the_server() {
    let mut setup = Setup::default();
    setup.engine.max_tokens = Some(5);
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.hello["max_tokens"], 5);
    client.send(json!({"op": "infer", "prompt": "loop", "params": {"max_tokens": 6}})).await;
    let error = client.expect_error("invalid_params").await;
    assert_eq!(error["message"], "max_tokens: must be at most 5 on this server, not 6");
    for params in [json!({}), json!({"max_tokens": -1}), json!({"max_tokens": 5})] {
        client.send(json!({"op": "infer", "prompt": "loop", "params": params})).await;
        assert_eq!(client.expect_answer(None).await.text, "loopl", "{params}");
    }
}

#[tokio::test]
async fn infer_is_refused_while_the_model_loads() {
    let (loaded, load) = mpsc::channel();
    let server = Setup { load: Some(load), ..Setup::default() }.start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "id": "early", "prompt": "x"})).await;
    let error = client.expect_error("loading").await;
    assert_eq!(error["id"], "early");
    assert!(error["retry_after_ms"].is_u64());
    client.expect_metrics(|inference| inference["state"] == "loading").await;
    client.expect_pong().await;

    loaded.send(()).unwrap();
    client.expect_metrics(|inference| inference["state"] == "idle").await;
    client.send(json!({"op": "infer", "id": "early", "prompt": "x"})).await;
    assert_eq!(client.expect_answer(Some("early")).await.text, "x");
}

#[tokio::test]
async fn prompt_that_fills_the_context_is_refused_with_the_numbers() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "x".repeat(1000)})).await;
    let error = client.expect_error("context_overflow").await;
    assert_eq!((&error["prompt_tokens"], &error["ctx_size"]), (&json!(1000), &json!(1000)));

    // A million tokens are tokenized on another thread.
    client.send(json!({"op": "infer", "id": "a", "prompt": "x".repeat(1_000_000)})).await;
    let error = client.expect_error("context_overflow").await;
    assert_eq!(error["id"], "a");
    assert_eq!(error["prompt_tokens"], 1_000_000);

    client.send(json!({"op": "infer", "prompt": "x".repeat(999)})).await;
    assert_eq!(client.expect_answer(None).await.end["stats"]["tokens"], 1);
}

#[tokio::test]
async fn stopped_engine_refuses_requests() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    server.model.stop();
    client.send(json!({"op": "infer", "id": "a", "prompt": "x"})).await;
    assert_eq!(client.expect_error("shutting_down").await["id"], "a");
}

#[tokio::test]
async fn failed_step_ends_its_requests_with_an_error() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for prompt in ["fail", "nan"] {
        client.send(json!({"op": "infer", "id": prompt, "prompt": prompt})).await;
        assert_eq!(client.expect_error("engine_failed").await["id"], prompt);
    }
    client.send(json!({"op": "infer", "prompt": "x"})).await;
    assert_eq!(client.expect_answer(None).await.text, "x");
}
