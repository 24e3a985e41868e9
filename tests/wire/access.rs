//! API keys: every way to send one, what each right allows, and wrong keys.

use std::time::Duration;

use futures_util::SinkExt;
use inference_core::domain::{AccountLimits, ApiKey, Right};
use inference_core::server::{Keys, NewKey};
use serde_json::json;
use tokio::time::{Instant, pause, resume};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::common::{Client, KeyFile, Setup, TestServer, http, http_get, new_key, upgrade_request};

const ALL: &[Right] = &Right::ALL;

/// A server that knows these keys.
async fn start(file: &KeyFile) -> TestServer {
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    setup.start().await
}

/// The status of `GET path` with these header fields, and the whole answer.
async fn get(server: &TestServer, path: &str, fields: &str) -> (u16, String) {
    let host = server.address;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    http(server.address, &request).await
}

/// The status of an upgrade with these header fields, and the whole answer.
async fn upgrade(server: &TestServer, path: &str, fields: &str) -> (u16, String) {
    let fields = format!("Host: {}\r\n{fields}", server.address);
    http(server.address, &upgrade_request(path, &fields)).await
}

fn bearer(key: &NewKey) -> String {
    format!("Authorization: Bearer {}\r\n", key.key().reveal())
}

/// Asserts that the client may request text.
async fn expect_text(client: &mut Client) {
    client.send(json!({"op": "infer", "prompt": "one two"})).await;
    client.expect_answer(None).await;
}

#[tokio::test]
async fn key_in_a_header_opens_a_connection_that_is_ready() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let text = key.key().reveal();
    for value in [format!("Bearer {text}"), format!("bearer {text}"), format!("BEARER   {text}")] {
        let mut client = Client::connect_with_header(&server, "authorization", &value).await;
        assert_eq!(client.hello["auth"], "ok", "{value}");
        expect_text(&mut client).await;
        client.expect_metrics(|_| true).await;
    }
}

#[tokio::test]
async fn key_in_the_first_frame_opens_the_connection() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.hello["auth"], "required");
    for frame in [
        json!({"op": "infer", "id": "a", "prompt": "x"}),
        json!({"op": "abort", "id": "a"}),
        json!({"op": "subscribe_metrics"}),
        json!({"op": "unsubscribe_metrics"}),
        json!({"op": "ping"}),
    ] {
        client.send(frame.clone()).await;
        // `any_frame` would show a metrics frame.
        let error = client.any_frame().await;
        assert_eq!((&error["op"], &error["code"]), (&json!("error"), &json!("unauthorized")));
        assert_eq!(error.get("id"), frame.get("id"), "{frame}");
    }
    client.send_key(&key).await;
    let authenticated = client.any_frame().await;
    let expected = json!({"op": "authenticated", "rights": ["infer", "metrics", "admin"]});
    assert_eq!(authenticated, expected);
    expect_text(&mut client).await;
    client.expect_metrics(|_| true).await;
    client.send_key(&key).await;
    assert_eq!(client.expect("authenticated").await, expected, "the same key again");
}

#[tokio::test]
async fn key_in_a_subprotocol_is_accepted_and_never_repeated() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let text = key.key().reveal();
    for (offered, agreed) in [
        (format!("inference-core.v1, inference-core.key.{text}"), true),
        (format!("inference-core.key.{text},inference-core.v1"), true),
        (format!("inference-core.key.{text}"), false),
    ] {
        let field = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let (status, answer) = upgrade(&server, "/", &field).await;
        assert_eq!(status, 101, "{offered}");
        let has_plain = answer.contains("sec-websocket-protocol: inference-core.v1\r\n");
        assert_eq!(has_plain, agreed, "{answer}");
        assert!(!answer.contains(text), "{answer}");
    }
    let field = "Sec-WebSocket-Protocol: inference-core.v1, inference-core.key.ic_wrong\r\n";
    assert_eq!(upgrade(&server, "/", field).await.0, 401);
}

#[tokio::test]
async fn wrong_key_is_refused_before_the_upgrade_and_counted() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let wrong = "Authorization: Bearer ic_wrong_key\r\n";
    for (status, answer) in
        [upgrade(&server, "/", wrong).await, get(&server, "/metrics", wrong).await]
    {
        assert_eq!(status, 401, "{answer}");
        assert!(answer.contains("www-authenticate: Bearer realm=\"inference-core\""), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.lines().count(), 1, "{body}");
        assert!(!answer.contains("ic_wrong_key"), "{answer}");
    }
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "auth", "token": "ic_wrong_key"})).await;
    let error = client.expect_error("unauthorized").await;
    assert!(!error.to_string().contains("ic_wrong_key"), "{error}");
    client.send_key(&key).await;
    client.expect("authenticated").await;
    let (_, page) = get(&server, "/metrics", &bearer(&key)).await;
    assert!(page.contains("inference_core_auth_failures_total 3\n"), "{page}");
}

#[tokio::test]
async fn key_in_the_address_is_refused_with_the_way_to_send_it() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let text = key.key().reveal();
    for name in ["token", "api_key", "key", "access_token"] {
        let (status, answer) = upgrade(&server, &format!("/?{name}={text}"), "").await;
        assert_eq!(status, 400, "{name}");
        assert!(answer.contains("Authorization: Bearer KEY"), "{answer}");
        assert!(!answer.contains(text), "{answer}");
        let (status, _) = get(&server, &format!("/metrics?{name}={text}"), &bearer(&key)).await;
        assert_eq!(status, 400, "{name}");
    }
}

#[tokio::test]
async fn health_is_open_and_metrics_need_the_right() {
    let [metrics, infer] = [new_key("metrics", &[Right::Metrics]), new_key("i", &[Right::Infer])];
    let file = KeyFile::new(&[&metrics, &infer]);
    let server = start(&file).await;
    for path in ["/healthz", "/health", "/readyz"] {
        for fields in ["", "Authorization: Bearer wrong\r\n"] {
            assert_eq!(get(&server, path, fields).await.0, 200, "{path}");
        }
    }
    let (status, answer) = get(&server, "/metrics", "").await;
    assert_eq!(status, 401);
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    assert_eq!(get(&server, "/metrics", &bearer(&infer)).await.0, 403);
    assert_eq!(get(&server, "/metrics", &bearer(&metrics)).await.0, 200);
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    setup.server.has_open_metrics = true;
    let server = setup.start().await;
    assert_eq!(http_get(server.address, "/metrics").await.0, 200);
}

#[tokio::test]
async fn each_right_allows_its_frames_only() {
    let [infer, metrics, admin] = [
        new_key("infer", &[Right::Infer]),
        new_key("metrics", &[Right::Metrics]),
        new_key("admin", &[Right::Admin]),
    ];
    let file = KeyFile::new(&[&infer, &metrics, &admin]);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &infer).await;
    client.send(json!({"op": "subscribe_metrics"})).await;
    client.expect_error("forbidden").await;
    expect_text(&mut client).await;
    // No metrics frames come unasked: the next frames are those of the fences.
    for _ in 0..3 {
        client.send(json!({"op": "ping"})).await;
        assert_eq!(client.any_frame().await["op"], "pong");
    }
    for key in [&metrics, &admin] {
        let mut client = Client::connect_with_key(&server, key).await;
        client.send(json!({"op": "infer", "id": "a", "prompt": "x"})).await;
        assert_eq!(client.expect_error("forbidden").await["id"], "a");
        client.send(json!({"op": "ping"})).await;
        client.expect("pong").await;
    }
    let mut client = Client::connect_with_key(&server, &metrics).await;
    client.expect_metrics(|_| true).await;
}

#[tokio::test]
async fn connection_without_a_key_is_closed_after_10_seconds() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let mut client = Client::connect(&server).await;
    let mut authenticated = Client::connect(&server).await;
    authenticated.send_key(&key).await;
    authenticated.expect("authenticated").await;
    authenticated.send(json!({"op": "unsubscribe_metrics"})).await;
    authenticated.expect("metrics_unsubscribed").await;
    pause();
    let started = Instant::now();
    client.expect_error("unauthorized").await;
    client.expect_close(1008).await;
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(8) && waited < Duration::from_secs(15), "{waited:?}");
    resume();
    expect_text(&mut authenticated).await;
}

#[tokio::test]
async fn answers_to_wrong_keys_are_delayed_and_a_right_key_is_not() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let wrong = "Authorization: Bearer wrong\r\n";
    pause();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let started = Instant::now();
        assert_eq!(upgrade(&server, "/", wrong).await.0, 401);
        waits.push(started.elapsed());
    }
    assert!(waits[0] < Duration::from_millis(250), "{waits:?}");
    assert!(waits[7] >= Duration::from_secs(1), "{waits:?}");
    let mut client = Client::connect(&server).await;
    let started = Instant::now();
    client.send(json!({"op": "auth", "token": "wrong"})).await;
    client.expect_error("unauthorized").await;
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(upgrade(&server, "/", &bearer(&key)).await.0, 101);
    assert!(started.elapsed() < Duration::from_millis(250), "{:?}", started.elapsed());
}

#[tokio::test]
async fn clients_without_a_key_take_no_place_of_a_websocket() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let mut setup = Setup::with_long_context();
    setup.server.keys = file.keys.clone();
    setup.server.max_connections = 1;
    setup.server.spare_connections = 2;
    let server = setup.start().await;
    let mut without_key = Vec::new();
    for _ in 0..10 {
        without_key.push(Client::connect(&server).await);
    }
    let mut client = Client::connect_with_key(&server, &key).await;
    client.send_endless("a").await;
    client.expect("token").await;
    let mut late = Client::connect(&server).await;
    late.send_key(&key).await;
    late.expect_close(1013).await;
    client.expect("token").await;
}

#[tokio::test]
async fn key_whose_connections_are_all_busy_makes_space_for_another_key() {
    let [many, one] = ["many", "one"].map(|name| new_key(name, ALL));
    let file = KeyFile::new(&[&many, &one]);
    let mut setup = Setup::with_long_context();
    setup.server.keys = file.keys.clone();
    setup.server.max_connections = 2;
    let server = setup.start().await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect_with_key(&server, &many).await;
        client.send_endless("a").await;
        client.expect("token").await;
        busy.push(client);
    }
    let mut client = Client::connect_with_key(&server, &one).await;
    client.send_endless("b").await;
    let newest = &mut busy[1];
    let ends = [newest.expect_terminal().await, newest.expect_terminal().await];
    assert!(ends.iter().any(|end| end["finish_reason"] == "abort"), "{ends:?}");
    assert!(ends.iter().any(|end| end["code"] == "busy"), "{ends:?}");
    newest.expect_close(1013).await;
    let mut third = Client::connect(&server).await;
    third.send_key(&many).await;
    third.expect_close(1013).await;
    client.expect("token").await;
    busy[0].expect("token").await;
}

#[tokio::test]
async fn long_message_without_a_key_is_not_received() {
    let file = KeyFile::new(&[&new_key("web", ALL)]);
    let server = start(&file).await;
    let mut client = Client::connect(&server).await;
    // A frame of 4 KiB is handled.
    client.send_text("{".repeat(4096)).await;
    client.expect_error("bad_json").await;
    // Its end is never sent.
    let opcode = OpCode::Data(Data::Text);
    let part = Frame::message("{".repeat(4097), opcode, false);
    client.socket.send(Message::Frame(part)).await.unwrap();
    let error = client.expect_error("bad_frame").await;
    assert!(error["message"].as_str().unwrap().contains("4096"), "{error}");
    client.expect_close(1009).await;
}

#[tokio::test]
async fn long_message_right_after_the_key_is_handled() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let mut client = Client::connect(&server).await;
    client.send_key(&key).await;
    client.send(json!({"op": "infer", "prompt": "one two", "pad": "x".repeat(100_000)})).await;
    client.expect("authenticated").await;
    client.expect_answer(None).await;
}

#[tokio::test]
async fn server_without_keys_accepts_any_key() {
    let server = TestServer::start().await;
    let key = new_key("web", ALL);
    let mut client = Client::connect_with_key(&server, &key).await;
    assert_eq!(client.hello["auth"], "ok");
    client.send_key(&key).await;
    client.expect("authenticated").await;
    expect_text(&mut client).await;
    assert_eq!(http_get(server.address, "/metrics").await.0, 200);
}

#[tokio::test]
async fn key_of_the_option_has_all_rights() {
    let key = ApiKey::new("0123456789abcdef");
    let mut setup = Setup::default();
    setup.server.keys = Keys::load(Some(&key), None, AccountLimits::default()).unwrap();
    let server = setup.start().await;
    let value = "Bearer 0123456789abcdef";
    let mut client = Client::connect_with_header(&server, "authorization", value).await;
    expect_text(&mut client).await;
    let (status, page) = get(&server, "/metrics", &format!("Authorization: {value}\r\n")).await;
    assert_eq!(status, 200);
    assert!(page.contains("key_requests_total{key=\"api-key\"} 1\n"), "{page}");
    assert!(!page.contains("0123456789abcdef"), "{page}");
}

#[tokio::test]
async fn connection_keeps_its_first_key() {
    let [one, other] = [new_key("one", ALL), new_key("other", ALL)];
    let file = KeyFile::new(&[&one, &other]);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &one).await;
    client.send_key(&other).await;
    client.expect_error("forbidden").await;
    expect_text(&mut client).await;
}

#[tokio::test]
async fn auth_frame_without_a_text_is_refused_without_quoting_it() {
    let file = KeyFile::new(&[&new_key("web", ALL)]);
    let server = start(&file).await;
    let mut client = Client::connect(&server).await;
    for frame in [json!({"op": "auth"}), json!({"op": "auth", "token": 123_456})] {
        client.send(frame).await;
        let error = client.expect_error("bad_frame").await;
        assert!(!error.to_string().contains("123456"), "{error}");
    }
}
