//! Shutdown: terminal frames, close frames and their deadlines.

use serde_json::json;
use tokio::net::TcpStream;

use crate::common::{Client, Setup, TestServer, upgrade_request};

#[tokio::test]
async fn shutdown_closes_every_connection_with_1001() {
    let mut server = TestServer::start().await;
    let mut clients = [Client::connect(&server).await, Client::connect(&server).await];
    server.closing.cancel();
    for client in &mut clients {
        client.expect_close(1001).await;
    }
    server.until_closed().await;
    assert!(TcpStream::connect(server.address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn running_request_gets_its_error_before_the_close_frame() {
    let mut server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    for id in ["a", "b", "c"] {
        client.send_endless(id).await;
    }
    server.step_until(|now| now.numbers.active == 2 && now.numbers.queued == 1).await;
    client.fence().await;
    server.model.stop();
    server.closing.cancel();
    let mut ended = Vec::new();
    for _ in 0..3 {
        let error = client.expect_terminal().await;
        assert_eq!(error["code"], "shutting_down", "{error}");
        ended.push(error["id"].as_str().unwrap().to_owned());
    }
    ended.sort();
    assert_eq!(ended, ["a", "b", "c"]);
    client.expect_close(1001).await;
    server.until_closed().await;
}

#[tokio::test]
async fn request_that_can_finish_while_draining_does() {
    let mut server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "id": "a", "prompt": "to the end"})).await;
    server.until_held().await;
    server.model.drain();
    client.send(json!({"op": "infer", "id": "late", "prompt": "x"})).await;
    assert_eq!(client.expect_error("shutting_down").await["id"], "late");
    server.pace.allow(1000);
    assert_eq!(client.expect_answer(Some("a")).await.text, "to the end");
    server.closing.cancel();
    client.expect_close(1001).await;
    server.until_closed().await;
}

#[tokio::test]
async fn client_that_ignores_the_close_frame_does_not_delay_shutdown() {
    let mut server = TestServer::start().await;
    let silent = Client::connect(&server).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let half_sent = TcpStream::connect(server.address).await.unwrap();
    half_sent.try_write(upgrade_request("/", "").as_bytes().split_at(20).0).unwrap();
    server.closing.cancel();
    server.until_closed().await;
    drop((silent, idle, half_sent));
}

#[tokio::test]
async fn request_that_does_not_end_is_abandoned_after_the_grace() {
    let mut server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    server.until_held().await;
    // The engine is not stopped, so its request behaves like one that hangs.
    server.closing.cancel();
    client.expect_close(1001).await;
    server.until_closed().await;
    server.until(|now| now.numbers.active == 0).await;
}
