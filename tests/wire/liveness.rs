//! Detection of clients and requests that make no progress.
//!
//! Tests that need minutes pause tokio's clock, which then advances by itself whenever no task
//! can run.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, pause, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, GUARD, Setup, TestServer, upgrade_request};

/// A client without metrics, so that the server sends it nothing but pings.
async fn quiet_client(server: &TestServer) -> Client {
    let mut client = Client::connect(server).await;
    client.send(json!({"op": "unsubscribe_metrics"})).await;
    client.expect("metrics_unsubscribed").await;
    client
}

#[tokio::test]
async fn pings_of_both_kinds_are_answered_during_a_step() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    server.until_held().await;
    client.expect_pong().await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn client_that_answers_no_ping_is_disconnected() {
    let server = TestServer::start().await;
    let mut client = quiet_client(&server).await;
    pause();
    let started = Instant::now();
    let mut received = Vec::new();
    // Reads from the TCP stream directly, so that the client answers no ping.
    client.socket.get_mut().read_to_end(&mut received).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(120));
    const PING: [u8; 2] = [0x89, 0];
    assert_eq!(received, PING.repeat(received.len() / 2));
    assert!(received.len() >= 4, "the server sent at least two pings");
}

#[tokio::test]
async fn silence_limit_is_at_least_the_write_grace() {
    let mut setup = Setup::default();
    setup.server.write_grace = Duration::from_secs(300);
    let server = setup.start().await;
    let mut client = quiet_client(&server).await;
    pause();
    let started = Instant::now();
    client.socket.get_mut().read_to_end(&mut Vec::new()).await.unwrap();
    // The server also waits half a minute for the answer to its last ping.
    assert!(started.elapsed() >= Duration::from_secs(300));
}

#[tokio::test]
async fn silent_client_that_answers_pings_stays_connected() {
    let server = TestServer::start().await;
    let mut client = quiet_client(&server).await;
    pause();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(600) {
        assert!(matches!(client.socket.next().await, Some(Ok(Message::Ping(_)))));
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn unfinished_http_request_is_disconnected() {
    let server = TestServer::start().await;
    let whole = upgrade_request("/", "Host: localhost\r\n");
    for head in ["", "G", &whole[..whole.len() - 2]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        pause();
        let started = Instant::now();
        // A connection reset is accepted too.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert!(started.elapsed() < Duration::from_secs(60), "{head:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn http_client_that_reads_no_response_is_disconnected() {
    let server = Setup { send_buffer: Some(4096), ..Setup::default() }.start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    // Many more responses than the buffers hold, so that the server has to wait.
    const N_REQUESTS: usize = 100;
    stream.write_all(request.repeat(N_REQUESTS).as_bytes()).await.unwrap();
    pause();
    sleep(Duration::from_secs(60)).await;
    tokio::time::resume();
    let mut received = Vec::new();
    // A connection reset is accepted too.
    let _ = timeout(GUARD, stream.read_to_end(&mut received))
        .await
        .expect("the server closes the connection in time");
    let n_responses = String::from_utf8_lossy(&received).matches("HTTP/1.1 200").count();
    assert!((1..N_REQUESTS).contains(&n_responses), "{n_responses} responses");
}

#[tokio::test]
async fn client_that_floods_pings_still_gets_text_and_metrics() {
    let setup = Setup::with_long_context();
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    let (mut sink, mut stream) = client.socket.split();
    let flood = async {
        let ping = Message::text(r#"{"op":"ping"}"#);
        while sink.feed(ping.clone()).await.is_ok() {}
    };
    let reading = async {
        let (mut tokens, mut metrics) = (0, 0);
        while tokens < 20 || metrics < 3 {
            let Some(Ok(Message::Text(text))) = stream.next().await else { continue };
            tokens += usize::from(text.starts_with(r#"{"op":"token""#));
            metrics += usize::from(text.starts_with(r#"{"op":"metrics""#));
        }
    };
    let both = async {
        tokio::select! { () = flood => panic!("the connection broke"), () = reading => {} }
    };
    timeout(GUARD, both).await.expect("text and metrics come between the answers");
}
