//! Cancelled requests: by `abort` and by clients that disconnect.

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, Setup, TestServer};

#[tokio::test]
async fn abort_ends_the_request_with_its_stats() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "loop "})).await;
    client.expect("token").await;
    client.send(json!({"op": "abort"})).await;
    let answer = client.expect_answer(None).await;
    // The context may have been full before the abort came.
    let reason = answer.end["finish_reason"].as_str().unwrap();
    assert!(["abort", "length"].contains(&reason), "{reason}");
}

#[tokio::test]
async fn abort_with_id_ends_that_request_only() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.send_endless("b").await;
    server.step_until(|now| now.numbers.active == 2).await;
    client.send(json!({"op": "abort", "id": "a"})).await;
    client.fence().await;
    server.step_until(|now| now.numbers.active == 1).await;
    let end = client.expect_terminal().await;
    assert_eq!((&end["id"], &end["finish_reason"]), (&json!("a"), &json!("abort")));
    client.send(json!({"op": "abort", "id": "b"})).await;
    let end = client.expect_terminal().await;
    assert_eq!((&end["id"], &end["finish_reason"]), (&json!("b"), &json!("abort")));
}

#[tokio::test]
async fn abort_without_id_ends_all_requests_of_its_connection_only() {
    let mut setup = Setup::by_hand();
    setup.limits.n_slots = 3;
    setup.limits.slot_tokens = 3000;
    let server = setup.start().await;
    let mut other = Client::connect(&server).await;
    other.send_endless("other").await;
    let mut client = Client::connect(&server).await;
    for id in ["a", "b", "waits"] {
        client.send_endless(id).await;
    }
    client.send(json!({"op": "infer", "prompt": "loop without id"})).await;
    server.step_until(|now| now.numbers.active == 3 && now.numbers.queued == 2).await;
    client.send(json!({"op": "abort"})).await;
    client.fence().await;
    server.step_until(|now| now.numbers.active == 1 && now.numbers.queued == 0).await;
    let mut ended = Vec::new();
    for _ in 0..4 {
        let end = client.expect_terminal().await;
        assert_eq!(end["finish_reason"], "abort", "{end}");
        ended.push(end["id"].as_str().unwrap_or("").to_owned());
    }
    ended.sort();
    assert_eq!(ended, ["", "a", "b", "waits"]);
    assert!(other.fence().await.iter().all(|frame| frame["op"] == "token"));
}

#[tokio::test]
async fn abort_of_an_unknown_request_is_not_found() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "abort"})).await;
    assert!(client.expect_error("not_found").await.get("id").is_none());
    client.send(json!({"op": "abort", "id": "ghost"})).await;
    assert_eq!(client.expect_error("not_found").await["id"], "ghost");
    client.send(json!({"op": "infer", "id": "ghost", "prompt": "x"})).await;
    client.expect_answer(Some("ghost")).await;
    client.send(json!({"op": "abort", "id": "ghost"})).await;
    client.expect_error("not_found").await;
}

#[tokio::test]
async fn abort_sent_right_after_a_long_prompt_ends_it() {
    let mut setup = Setup::by_hand();
    setup.limits.slot_tokens = 200_000;
    setup.engine.ctx_size = 100_000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    let prompt = format!("loop {}", "x".repeat(50_000));
    client.send(json!({"op": "infer", "id": "long", "prompt": prompt})).await;
    client.send(json!({"op": "abort", "id": "long"})).await;
    let answer = client.expect_answer(Some("long")).await;
    assert_eq!((answer.text.as_str(), &answer.end["finish_reason"]), ("", &json!("abort")));
}

/// A server with one client whose endless request is being computed.
async fn with_running_request() -> (TestServer, Client) {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    server.until_held().await;
    (server, client)
}

#[tokio::test]
async fn client_that_sends_a_close_frame_frees_its_slot() {
    let (server, mut client) = with_running_request().await;
    client.socket.close(None).await.unwrap();
    server.until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn client_that_drops_its_socket_frees_its_slot() {
    let (server, client) = with_running_request().await;
    drop(client);
    server.until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn client_that_half_closes_its_socket_frees_its_slot() {
    let (server, mut client) = with_running_request().await;
    client.socket.get_mut().shutdown().await.unwrap();
    server.until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn client_that_disconnects_within_a_frame_frees_its_slot() {
    let (server, mut client) = with_running_request().await;
    // A masked text frame of 126 bytes, of which three arrive.
    let half = [0x81, 0xFE, 0x00, 0x7E, 1, 2, 3, 4, b'x', b'y', b'z'];
    client.socket.get_mut().write_all(&half).await.unwrap();
    drop(client);
    server.until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn client_that_disconnects_cancels_its_waiting_requests() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    for id in ["a", "b", "c", "d"] {
        client.send_endless(id).await;
    }
    server.step_until(|now| now.numbers.active == 2 && now.numbers.queued == 2).await;
    drop(client);
    server.until(|now| now.numbers.active == 0 && now.numbers.queued == 0).await;
}

#[tokio::test]
async fn client_that_disconnects_does_not_disturb_others() {
    let server = Setup::by_hand().start().await;
    let mut remaining = Client::connect(&server).await;
    remaining.send(json!({"op": "infer", "prompt": "I stay"})).await;
    let mut leaving = Client::connect(&server).await;
    leaving.send_endless("a").await;
    server.until(|now| now.numbers.active + now.numbers.queued == 2).await;
    leaving.socket.send(Message::Close(None)).await.unwrap();
    server.pace.allow(1000);
    assert_eq!(remaining.expect_answer(None).await.text, "I stay");
    server.until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn cancelled_step_is_not_counted() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    server.pace.allow(3);
    server.until_held().await;
    let counted = server.snapshot().await.numbers.steps_total;
    client.send(json!({"op": "abort"})).await;
    client.expect_terminal().await;
    assert_eq!((counted, server.snapshot().await.numbers.steps_total), (3, 3));
}
