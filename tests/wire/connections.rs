//! More connections than the server accepts: which of them are closed, and that pages are served.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Client, GUARD, Setup, TestServer, http_get, upgrade_request};

/// More connections than [`small_server`] accepts.
const N_CONNECTIONS: usize = 20;

/// A server that accepts two WebSockets and two other connections, with two WebSockets. Its steps
/// wait for the test.
async fn small_server() -> (TestServer, [Client; 2]) {
    let mut setup = Setup { send_buffer: Some(4096), ..Setup::by_hand() };
    setup.server.max_connections = 2;
    setup.server.spare_connections = 2;
    let server = setup.start().await;
    let clients = [Client::connect(&server).await, Client::connect(&server).await];
    (server, clients)
}

/// Asserts that pages are served and that the clients are still connected.
async fn expect_service(server: &TestServer, clients: &mut [Client; 2]) {
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(http_get(server.address, page).await.0, 200, "{page}");
    }
    for client in clients {
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn connections_without_a_complete_request_are_closed_for_new_ones() {
    let (server, mut clients) = small_server().await;
    let request = upgrade_request("/", "Host: localhost\r\n");
    for head in ["", "G", &request[..request.len() - 2]] {
        let mut open = Vec::new();
        for _ in 0..N_CONNECTIONS {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            open.push(stream);
        }
        expect_service(&server, &mut clients).await;
        // A connection reset is accepted too.
        let end = timeout(GUARD, open[0].read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "the oldest is closed");
    }
}

#[tokio::test]
async fn connections_that_read_no_response_are_closed_for_new_ones() {
    let (server, mut clients) = small_server().await;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let mut open = Vec::new();
    for _ in 0..N_CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.repeat(100).as_bytes()).await.unwrap();
        open.push(stream);
    }
    expect_service(&server, &mut clients).await;
}

#[tokio::test]
async fn websocket_without_a_request_is_closed_for_a_new_one() {
    let (server, [mut oldest, mut watching]) = small_server().await;
    watching.send(json!({"op": "subscribe_metrics"})).await;
    watching.expect("metrics_subscribed").await;
    let mut new = Client::connect(&server).await;
    oldest.expect_close(1013).await;
    new.send_endless("a").await;
    new.expect_quiet().await;
    let mut newer = Client::connect(&server).await;
    watching.expect_close(1013).await;
    newer.expect_quiet().await;
    server.pace.allow(1);
    new.expect("token").await;
}

#[tokio::test]
async fn clients_are_served_however_many_others_connect_and_stay_idle() {
    let mut setup = Setup::default();
    setup.server.max_connections = 2;
    setup.server.spare_connections = 2;
    let server = setup.start().await;
    let mut idle = Vec::new();
    for _ in 0..N_CONNECTIONS {
        // They do not answer the close frame.
        idle.push(Client::connect(&server).await);
    }
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "hello"})).await;
    assert_eq!(client.expect_answer(None).await.text, "hello");
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(http_get(server.address, page).await.0, 200, "{page}");
    }
}

#[tokio::test]
async fn websocket_is_refused_while_all_others_have_requests() {
    let (server, mut clients) = small_server().await;
    for client in &mut clients {
        client.send_endless("a").await;
        client.expect_quiet().await;
    }
    let mut refused = Vec::new();
    for _ in 0..N_CONNECTIONS {
        refused.push(Client::handshake(&server).await);
    }
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(http_get(server.address, page).await.0, 200, "{page}");
    }
    for socket in refused {
        let mut client = Client { socket, hello: serde_json::Value::Null };
        client.expect_close(1013).await;
    }
    let [first, second] = &mut clients;
    server.step_until(|now| now.numbers.active == 2).await;
    second.send(json!({"op": "abort"})).await;
    server.step_until(|now| now.numbers.active == 1).await;
    second.expect_terminal().await;
    let mut third = Client::connect(&server).await;
    second.expect_close(1013).await;
    third.expect_quiet().await;
    server.pace.allow(1);
    first.expect("token").await;
}
