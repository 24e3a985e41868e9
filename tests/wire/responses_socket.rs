//! The Responses API over a WebSocket.

use futures_util::{SinkExt, StreamExt};
use inference_core::domain::Right;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::common::{GUARD, KeyFile, Setup, TestServer, get_with, http, new_key, upgrade_request};

/// A client of the API.
struct ApiSocket(WebSocketStream<TcpStream>);

impl ApiSocket {
    async fn open(server: &TestServer) -> Self {
        Self::open_with(server, "authorization", "Bearer any").await
    }

    async fn open_with(server: &TestServer, name: &'static str, value: &str) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let address = format!("ws://{}/v1/responses", server.address);
        let mut request = address.into_client_request().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        Self(client_async(request, stream).await.unwrap().0)
    }

    async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Asks for a response with these fields.
    async fn create(&mut self, fields: Value) {
        let mut message = fields;
        message["type"] = "response.create".into();
        self.send(&message).await;
    }

    async fn message(&mut self) -> Message {
        timeout(GUARD, self.0.next()).await.expect("a message comes in time").unwrap().unwrap()
    }

    async fn event(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(close) => panic!("closed: {close:?}"),
                _ => {}
            }
        }
    }

    /// The next event of this type; others are skipped.
    async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
            assert_ne!(event["type"], "error", "{event}");
        }
    }

    /// The next response that is complete.
    async fn completed(&mut self) -> Value {
        self.expect("response.completed").await
    }

    async fn error(&mut self) -> Value {
        let event = self.event().await;
        assert_eq!(event["type"], "error", "{event}");
        event
    }

    async fn expect_close(&mut self, code: u16) {
        loop {
            if let Message::Close(close) = self.message().await {
                return assert_eq!(close.map(|frame| u16::from(frame.code)), Some(code));
            }
        }
    }
}

fn text(event: &Value) -> &str {
    event["response"]["output"][0]["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn response_comes_as_events_and_is_continued_without_being_stored() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    socket.create(json!({"model": "m", "input": "a", "store": false, "stream": true})).await;
    let created = socket.event().await;
    assert_eq!(
        (&created["type"], &created["sequence_number"]),
        (&json!("response.created"), &json!(0))
    );
    assert_eq!(created.get("stream_id"), None);
    let first = socket.completed().await;
    assert_eq!(text(&first), "user: a\n");
    let id = first["response"]["id"].clone();
    let next = json!({"input": "b", "store": false, "previous_response_id": id});
    socket.create(next.clone()).await;
    assert_eq!(text(&socket.completed().await), "user: a\nassistant: user: a\n\nuser: b\n");
    // Nobody else sees it.
    let path = format!("/v1/responses/{}", id.as_str().unwrap());
    assert_eq!(get_with(server.address, "GET", &path, "").await.status, 404);
    let mut other = ApiSocket::open(&server).await;
    other.create(next).await;
    let error = other.error().await;
    assert_eq!(
        (&error["status"], &error["error"]["code"]),
        (&json!(400), &json!("previous_response_not_found"))
    );
    assert_eq!(error["error"]["param"], "previous_response_id");
    assert_eq!(error["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn stored_response_is_continued_by_another_connection() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    socket.create(json!({"input": "a", "store": true})).await;
    let id = socket.completed().await["response"]["id"].clone();
    drop(socket);
    let mut other = ApiSocket::open(&server).await;
    other.create(json!({"input": "b", "previous_response_id": id})).await;
    assert_eq!(text(&other.completed().await), "user: a\nassistant: user: a\n\nuser: b\n");
}

#[tokio::test]
async fn warm_up_has_no_output_and_fills_the_prefix_cache() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    let prompt = "p".repeat(100);
    socket.create(json!({"input": prompt, "store": false, "generate": false})).await;
    let warm = socket.completed().await;
    assert_eq!(warm["response"]["output"], json!([]));
    assert_eq!(warm["response"]["status"], "completed");
    let id = warm["response"]["id"].clone();
    socket.create(json!({"input": "b", "store": false, "previous_response_id": id})).await;
    let usage = socket.completed().await["response"]["usage"].clone();
    let cached = usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 100, "{usage}");
}

#[tokio::test]
async fn lanes_run_at_once_and_each_in_its_order() {
    let server = Setup::by_hand().start().await;
    let mut socket = ApiSocket::open(&server).await;
    for (lane, input) in [("a", "one"), ("a", "two"), ("b", "three")] {
        socket.create(json!({"input": input, "stream_id": lane})).await;
    }
    // Two run while no step is allowed; the second one of lane `a` waits for the first.
    let mut begun = Vec::new();
    for _ in 0..4 {
        let event = socket.event().await;
        assert!(event["type"] == "response.created" || event["type"] == "response.in_progress");
        begun.push(event["stream_id"].as_str().unwrap().to_owned());
    }
    begun.sort();
    assert_eq!(begun, ["a", "a", "b", "b"]);
    server.pace.allow(10_000);
    let mut completed = Vec::new();
    for _ in 0..3 {
        let event = socket.completed().await;
        completed.push((event["stream_id"].as_str().unwrap().to_owned(), text(&event).to_owned()));
    }
    let of_a: Vec<&str> =
        completed.iter().filter(|(lane, _)| lane == "a").map(|(_, t)| &**t).collect();
    assert_eq!(of_a, ["user: one\n", "user: two\n"]);
}

#[tokio::test]
async fn unusable_messages_get_errors_and_the_connection_goes_on() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    for (message, code, param, lane) in [
        ("{", json!("bad_json"), Value::Null, None),
        (
            r#"{"type":"response.create","stream_id":"a b"}"#,
            json!("invalid_stream_id"),
            json!("stream_id"),
            None,
        ),
        (
            r#"{"type":"response.create","stream_id":"a"}"#,
            json!("invalid_params"),
            json!("input"),
            Some("a"),
        ),
        (r#"{"type":"session.update"}"#, json!("invalid_params"), json!("type"), None),
        (r#"{"type":"response.create","input":7}"#, json!("invalid_params"), json!("input"), None),
    ] {
        socket.send_text(message).await;
        let error = socket.error().await;
        assert_eq!(error["status"], 400, "{error}");
        assert_eq!((&error["error"]["code"], &error["error"]["param"]), (&code, &param), "{error}");
        assert_eq!(error.get("stream_id").and_then(Value::as_str), lane, "{error}");
    }
    socket.create(json!({"input": "a"})).await;
    socket.completed().await;
}

#[tokio::test]
async fn thirty_third_lane_is_refused() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    for lane in 0..32 {
        let lane = format!("lane{lane}");
        socket.create(json!({"input": "a", "stream_id": lane, "generate": false})).await;
        assert_eq!(socket.completed().await["stream_id"], lane);
    }
    socket.create(json!({"input": "a", "stream_id": "more"})).await;
    let error = socket.error().await;
    assert_eq!(error["error"]["code"], "websocket_stream_limit_reached");
    assert_eq!(error["stream_id"], "more");
    socket.create(json!({"input": "a", "stream_id": "lane0"})).await;
    socket.completed().await;
}

#[tokio::test]
async fn response_is_cancelled_by_a_message_and_by_closing() {
    let server = Setup::by_hand().start().await;
    let mut socket = ApiSocket::open(&server).await;
    socket.create(json!({"input": "a"})).await;
    let id = socket.event().await["response"]["id"].clone();
    socket.send(&json!({"type": "response.cancel", "response_id": id})).await;
    let end = socket.expect("response.incomplete").await;
    assert_eq!(end["response"]["status"], "cancelled");
    // It has ended, so there is nothing to do, and nothing wrong.
    socket.send(&json!({"type": "response.cancel", "response_id": end["response"]["id"]})).await;
    socket.send(&json!({"type": "response.cancel", "response_id": "resp_x"})).await;
    let error = socket.error().await;
    assert_eq!(
        (&error["status"], &error["error"]["code"]),
        (&json!(404), &json!("response_not_found"))
    );
    assert_eq!(error["error"]["param"], "response_id");
    socket.create(json!({"input": "b"})).await;
    socket.expect("response.in_progress").await;
    server.step_until(|now| now.numbers.active == 1).await;
    drop(socket);
    server.step_until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn binary_message_closes_the_connection() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    socket.0.send(Message::binary(vec![1])).await.unwrap();
    socket.error().await;
    socket.expect_close(1003).await;
}

#[tokio::test]
async fn key_is_needed_for_the_upgrade_and_its_end_closes_the_connection() {
    let key = new_key("one", &[Right::Infer]);
    let file = KeyFile::new(&[&key]);
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let host = format!("Host: {}\r\n", server.address);
    let (status, text) = http(server.address, &upgrade_request("/v1/responses", &host)).await;
    assert_eq!(status, 401);
    assert!(text.contains(r#""code":"invalid_api_key""#), "{text}");
    let value = format!("Bearer {}", key.key().reveal());
    let mut socket = ApiSocket::open_with(&server, "authorization", &value).await;
    socket.create(json!({"input": "a"})).await;
    socket.completed().await;
    file.replace(&[]);
    let error = socket.error().await;
    assert_eq!(error["status"], 401);
    socket.expect_close(4401).await;
}

#[tokio::test]
async fn websocket_on_another_path_of_the_apis_is_an_error() {
    let server = TestServer::start().await;
    let host = format!("Host: {}\r\n", server.address);
    for path in ["/v1", "/v1/chat/completions", "/v1/realtime", "/v1/responses/x", "/api/chat"] {
        let (status, text) = http(server.address, &upgrade_request(path, &host)).await;
        assert_eq!(status, 404, "{path}");
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["type"], "not_found_error", "{path}");
    }
    let (status, text) = http(server.address, &upgrade_request("/v1/messages", &host)).await;
    assert_eq!(status, 404);
    assert!(text.contains(r#""type":"error""#), "{text}");
}

#[tokio::test]
async fn server_that_closes_ends_the_connection() {
    let server = TestServer::start().await;
    let mut socket = ApiSocket::open(&server).await;
    socket.create(json!({"input": "a"})).await;
    socket.completed().await;
    server.closing.cancel();
    socket.expect_close(1001).await;
}
