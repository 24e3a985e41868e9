//! Requests and connections that are not taken.

use std::sync::mpsc;

use serde_json::json;

use crate::common::{Client, GUARD, Setup, TestServer};

#[tokio::test]
async fn without_an_id_a_connection_has_one_request() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "loop"})).await;
    client.send(json!({"op": "infer", "prompt": "loop"})).await;
    let error = client.expect_error("request_in_flight").await;
    assert!(error.get("id").is_none());
}

#[tokio::test]
async fn a_living_id_cannot_be_used_again() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.send_endless("a").await;
    assert_eq!(client.expect_error("duplicate_id").await["id"], "a");
    // On another connection it is another name.
    let mut other = Client::connect(&server).await;
    other.send_endless("a").await;
    other.expect_quiet().await;
}

/// A server whose only slot a client has taken, with `max_queue` places in its queue.
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
async fn a_full_queue_refuses_at_once() {
    let (_server, mut client) = without_a_free_slot(1).await;
    client.send_endless("waits").await;
    client.send_endless("refused").await;
    let error = client.expect_error("busy").await;
    assert_eq!(error["id"], "refused");
    assert!(error["retry_after_ms"].is_u64());
    // A refused name is free at once.
    client.send_endless("refused").await;
    client.expect_error("busy").await;
}

#[tokio::test]
async fn a_queue_that_others_fill_has_places_for_newcomers() {
    let (server, mut greedy) = without_a_free_slot(5).await;
    for id in ["a", "b", "c", "d", "e", "refused"] {
        greedy.send_endless(id).await;
    }
    assert_eq!(greedy.expect_error("busy").await["id"], "refused");
    // A quarter of five, rounded up.
    let mut newcomers = [Client::connect(&server).await, Client::connect(&server).await];
    for newcomer in &mut newcomers {
        newcomer.send_endless("first").await;
        newcomer.expect_quiet().await;
    }
    newcomers[0].send_endless("second").await;
    newcomers[0].expect_error("busy").await;
    let mut late = Client::connect(&server).await;
    late.send_endless("first").await;
    late.expect_error("busy").await;
}

#[tokio::test]
async fn a_connection_has_a_limited_number_of_requests() {
    let mut setup = Setup::by_hand();
    setup.engine.max_queue = 1000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    for i in 0..64 {
        client.send_endless(&i.to_string()).await;
    }
    client.expect_quiet().await;
    client.send_endless("one too many").await;
    let error = client.expect_error("busy").await;
    assert_eq!(error["id"], "one too many");
    assert!(error["retry_after_ms"].is_u64());
    let mut other = Client::connect(&server).await;
    other.send_endless("a").await;
    other.expect_quiet().await;
}

#[tokio::test]
async fn while_the_model_loads_everything_but_infer_works() {
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
async fn a_prompt_that_leaves_no_room_is_refused_with_the_numbers() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "x".repeat(1000)})).await;
    let error = client.expect_error("context_overflow").await;
    assert_eq!((&error["prompt_tokens"], &error["ctx_size"]), (&json!(1000), &json!(1000)));

    // A million tokens, which go the way of long prompts.
    client.send(json!({"op": "infer", "id": "a", "prompt": "x".repeat(1_000_000)})).await;
    let error = client.expect_error("context_overflow").await;
    assert_eq!(error["id"], "a");
    assert_eq!(error["prompt_tokens"], 1_000_000);

    client.send(json!({"op": "infer", "prompt": "x".repeat(999)})).await;
    assert_eq!(client.expect_answer(None).await.end["stats"]["tokens"], 1);
}

#[tokio::test]
async fn an_engine_that_has_ended_says_so() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    server.engine.stop();
    client.send(json!({"op": "infer", "id": "a", "prompt": "x"})).await;
    assert_eq!(client.expect_error("shutting_down").await["id"], "a");
}

#[tokio::test]
async fn a_step_that_fails_ends_its_requests_with_an_error() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for prompt in ["fail", "nan"] {
        client.send(json!({"op": "infer", "id": prompt, "prompt": prompt})).await;
        assert_eq!(client.expect_error("engine_failed").await["id"], prompt);
    }
    client.send(json!({"op": "infer", "prompt": "x"})).await;
    assert_eq!(client.expect_answer(None).await.text, "x");
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_try_again_later() {
    let mut setup = Setup::default();
    setup.server.max_connections = 1;
    let server = setup.start().await;
    let mut first = Client::connect(&server).await;
    for _ in 0..3 {
        let socket = Client::handshake(&server).await;
        let mut turned_away = Client { socket, hello: json!(null) };
        turned_away.expect_close(1013).await;
    }
    first.send(json!({"op": "infer", "prompt": "x"})).await;
    assert_eq!(first.expect_answer(None).await.text, "x");

    drop(first);
    // The place is free once the server has noticed.
    let place = async {
        loop {
            let socket = Client::handshake(&server).await;
            let mut client = Client { socket, hello: json!(null) };
            if client.message().await.is_text() {
                return;
            }
        }
    };
    tokio::time::timeout(GUARD, place).await.expect("the place becomes free");
}
