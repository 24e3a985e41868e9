//! The memory for messages of all clients: who is closed when it is used up, and who stays.

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, pause};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::common::{Client, Setup, TestServer, http_get};

/// Longest message of [`small_server`].
const MAX_MESSAGE: usize = 1 << 20;

/// A server whose memory for messages has space for eight messages beside parsing.
async fn small_server() -> TestServer {
    let mut setup = Setup::default();
    setup.server.max_message_bytes = MAX_MESSAGE;
    let parsing = 3 * (MAX_MESSAGE + 256 * 1024);
    setup.server.message_memory_bytes = parsing + 8 * 2 * MAX_MESSAGE;
    setup.start().await
}

/// Sends `n` bytes of a message that never ends.
async fn send_part(client: &mut Client, n: usize) {
    let opcode = OpCode::Data(Data::Text);
    let part = Frame::message(" ".repeat(n), opcode, false);
    client.socket.send(Message::Frame(part)).await.unwrap();
}

/// The value of a metric.
async fn metric(server: &TestServer, name: &str) -> f64 {
    let (_, page) = http_get(server.address, "/metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("inference_core_{name} ")));
    line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
}

#[tokio::test]
async fn unfinished_messages_beyond_the_memory_close_the_largest_connection() {
    let server = small_server().await;
    let mut largest = Client::connect(&server).await;
    send_part(&mut largest, MAX_MESSAGE).await;
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut other = Client::connect(&server).await;
        send_part(&mut other, MAX_MESSAGE - 100_000).await;
        others.push(other);
    }
    let error = largest.expect_error("busy").await;
    assert!(error["retry_after_ms"].is_number(), "{error}");
    largest.expect_close(1013).await;
    assert_eq!(metric(&server, "connections_closed_total{reason=\"message_memory\"}").await, 1.0);
    for other in &mut others {
        // It is still receiving the message, and answers in between.
        other.expect_pong().await;
    }
}

#[tokio::test]
async fn memory_of_closed_connections_is_free_again() {
    let server = small_server().await;
    for _ in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..7 {
            let mut client = Client::connect(&server).await;
            send_part(&mut client, MAX_MESSAGE).await;
            client.expect_pong().await;
            clients.push(client);
        }
    }
    let mut client = Client::connect(&server).await;
    let pad = "x".repeat(MAX_MESSAGE - 100);
    client.send(json!({"op": "ping", "pad": pad})).await;
    client.expect("pong").await;
    while metric(&server, "message_memory_bytes").await > 0.0 {}
    assert_eq!(metric(&server, "connections_closed_total{reason=\"message_memory\"}").await, 0.0);
}

#[tokio::test]
async fn short_messages_are_handled_while_the_memory_is_used_up() {
    let server = small_server().await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(&server).await;
        send_part(&mut client, MAX_MESSAGE).await;
        client.expect_pong().await;
        open.push(client);
    }
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "hello"})).await;
    assert_eq!(client.expect_answer(None).await.text, "hello");
}

#[tokio::test]
async fn waiting_prompt_is_charged_until_its_first_text() {
    let setup = Setup::by_hand();
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.send_endless("b").await;
    server.step_until(|now| now.numbers.active == 2).await;
    let pad = "x".repeat(100_000);
    client.send(json!({"op": "infer", "id": "c", "prompt": "hi", "pad": pad})).await;
    server.step_until(|now| now.numbers.queued == 1).await;
    let used = metric(&server, "message_memory_bytes").await;
    assert!((200_000.0..350_000.0).contains(&used), "{used}");
    client.send(json!({"op": "abort"})).await;
    server.step_until(|now| now.numbers.active == 0 && now.numbers.queued == 0).await;
    for _ in 0..3 {
        client.expect_terminal().await;
    }
    assert_eq!(metric(&server, "message_memory_bytes").await, 0.0);
}

#[tokio::test]
async fn message_that_is_never_completed_is_closed_with_1008_whatever_comes_between() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    send_part(&mut client, 10).await;
    pause();
    let began = Instant::now();
    let close = loop {
        // The server's metrics make time pass.
        let frame = client.any_frame().await;
        if frame["op"] == "error" {
            break frame;
        }
        client.socket.send(Message::Ping("still here".into())).await.unwrap();
    };
    assert!(began.elapsed().as_secs() >= 30, "{:?}", began.elapsed());
    assert_eq!(close["code"], "bad_frame", "{close}");
    assert!(close["message"].as_str().unwrap().contains("30 s"), "{close}");
    tokio::time::resume();
    client.expect_close(1008).await;
}

#[tokio::test]
async fn unfinished_frame_head_is_closed_like_an_unfinished_message() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.socket.get_mut().write_all(&[0x81]).await.unwrap();
    pause();
    while client.any_frame().await["op"] == "metrics" {}
    tokio::time::resume();
    client.expect_close(1008).await;
}
