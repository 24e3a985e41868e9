//! Limits of API keys and of addresses.

use std::num::NonZeroU64;

use inference_core::domain::{AccountLimits, Right};
use inference_core::server::NewKey;
use serde_json::{Value, json};

use crate::common::{Client, KeyFile, Setup, TestServer, at_most, http, limited_key, new_key};

const ALL: &[Right] = &Right::ALL;

/// A server with long contexts that knows these keys.
async fn start(file: &KeyFile) -> TestServer {
    let mut setup = Setup::default();
    setup.limits.slot_tokens = 20_000_000;
    setup.engine.ctx_size = 10_000_000;
    setup.server.keys = file.keys.clone();
    setup.start().await
}

/// A key and a file with it.
fn limited(limits: AccountLimits) -> (NewKey, KeyFile) {
    let key = limited_key("web", ALL, limits);
    let file = KeyFile::new(&[&key]);
    (key, file)
}

/// Waits for `rate_limited` and returns the error. Other frames are skipped.
async fn expect_limited(client: &mut Client, name: &str) -> Value {
    loop {
        let frame = client.frame().await;
        if frame["op"] == "error" {
            assert_eq!(frame["code"], "rate_limited", "{frame}");
            assert!(frame["retry_after_ms"].as_u64() >= Some(1), "{frame}");
            assert!(frame["message"].as_str().unwrap().contains(name), "{frame}");
            return frame;
        }
    }
}

/// The value of a metric.
async fn metric(server: &TestServer, key: &NewKey, name: &str) -> f64 {
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        server.address,
        key.key().reveal()
    );
    let (_, page) = http(server.address, &request).await;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {page}")).parse().unwrap()
}

#[tokio::test]
async fn connections_of_a_key_are_limited() {
    let (key, file) = limited(AccountLimits { connections: at_most(2), ..Default::default() });
    let server = start(&file).await;
    let _first = Client::connect_with_key(&server, &key).await;
    let mut second = Client::connect(&server).await;
    second.send_key(&key).await;
    second.expect("authenticated").await;
    let mut third = Client::connect_with_key(&server, &key).await;
    expect_limited(&mut third, "connections").await;
    third.expect_close(1013).await;
    let mut fourth = Client::connect(&server).await;
    fourth.send_key(&key).await;
    expect_limited(&mut fourth, "connections").await;
    fourth.expect_close(1013).await;
    drop(second);
    // The server learns of the end of a connection a moment later.
    loop {
        let mut client = Client::connect(&server).await;
        client.send_key(&key).await;
        if client.frame().await["op"] == "authenticated" {
            break;
        }
    }
}

#[tokio::test]
async fn requests_of_a_key_are_limited_over_all_connections() {
    let (key, file) = limited(AccountLimits { requests: at_most(2), ..Default::default() });
    let server = start(&file).await;
    let mut clients = [
        Client::connect_with_key(&server, &key).await,
        Client::connect_with_key(&server, &key).await,
    ];
    for client in &mut clients {
        client.send_endless("a").await;
    }
    server.until(|now| now.numbers.active == 2).await;
    clients[0].send(json!({"op": "infer", "id": "b", "prompt": "x"})).await;
    assert_eq!(expect_limited(&mut clients[0], "requests").await["id"], "b");
    clients[1].send(json!({"op": "abort"})).await;
    assert_eq!(clients[1].expect_terminal().await["finish_reason"], "abort");
    clients[1].send(json!({"op": "infer", "id": "c", "prompt": "x"})).await;
    clients[1].expect_answer(Some("c")).await;
    let name = "inference_core_key_refused_total{key=\"web\",limit=\"requests\"}";
    assert_eq!(metric(&server, &key, name).await, 1.0);
}

#[tokio::test]
async fn waiting_requests_of_a_key_are_limited() {
    let (key, file) = limited(AccountLimits { waiting: at_most(1), ..Default::default() });
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    for id in ["a", "b"] {
        client.send_endless(id).await;
        // Text shows that the request has a slot.
        while client.frame().await["id"] != id {}
    }
    client.send(json!({"op": "infer", "id": "c", "prompt": "x"})).await;
    server.until(|now| now.numbers.queued == 1).await;
    client.send(json!({"op": "infer", "id": "d", "prompt": "x"})).await;
    assert_eq!(expect_limited(&mut client, "waiting").await["id"], "d");
}

#[tokio::test]
async fn tokens_of_a_key_are_limited_after_the_answer_that_uses_them_up() {
    let limits = AccountLimits { tokens_per_minute: at_most(10), ..Default::default() };
    let (key, file) = limited(limits);
    let other = new_key("other", ALL);
    file.replace(&[&key, &other]);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    let request = json!({"op": "infer", "prompt": "loop: x", "params": {"max_tokens": 50}});
    client.send(request.clone()).await;
    let stats = client.expect_answer(None).await.end["stats"].clone();
    assert_eq!(stats["tokens"], 50, "an answer is never cut");
    client.send(request.clone()).await;
    let error = expect_limited(&mut client, "tokens_per_minute").await;
    // At least 40 tokens too many, at 10 per minute.
    assert!(error["retry_after_ms"].as_u64() > Some(200_000), "{error}");
    let mut unlimited = Client::connect_with_key(&server, &other).await;
    unlimited.send(request).await;
    unlimited.expect_answer(None).await;
    let prompt =
        stats["prompt_tokens"].as_f64().unwrap() - stats["cached_tokens"].as_f64().unwrap();
    let name = "inference_core_key_tokens_total{key=\"web\"}";
    assert_eq!(metric(&server, &key, name).await, 50.0 + prompt);
    let name = "inference_core_key_requests_total{key=\"web\"}";
    assert_eq!(metric(&server, &key, name).await, 1.0);
}

#[tokio::test]
async fn tokens_count_also_if_the_client_disconnects() {
    let limits = AccountLimits { tokens_per_minute: at_most(10), ..Default::default() };
    let (key, file) = limited(limits);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    client.send_endless("a").await;
    let mut text = String::new();
    while text.split_whitespace().count() < 30 {
        let frame = client.frame().await;
        text += frame["content"].as_str().unwrap_or_default();
    }
    drop(client);
    server.until(|now| now.numbers.active == 0).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    // The use counts when the runner has reported the end.
    loop {
        client.send(json!({"op": "infer", "prompt": "x", "params": {"max_tokens": 0}})).await;
        let end = client.expect_terminal().await;
        if end["op"] == "error" {
            assert_eq!(end["code"], "rate_limited", "{end}");
            break;
        }
    }
}

#[tokio::test]
async fn bytes_of_a_key_are_limited() {
    let limits = AccountLimits { bytes: NonZeroU64::new(200), ..Default::default() };
    let (key, file) = limited(limits);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    client.send(json!({"op": "infer", "prompt": "x".repeat(200)})).await;
    expect_limited(&mut client, "bytes").await;
    client.send(json!({"op": "infer", "prompt": "x"})).await;
    client.expect_answer(None).await;
}

#[tokio::test]
async fn new_limits_of_a_key_count_at_once() {
    let (key, file) = limited(AccountLimits::default());
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    client.send_endless("a").await;
    server.until(|now| now.numbers.active == 1).await;
    let table = key.table() + "limits = { requests = 1 }\n";
    std::fs::write(file.path(), table).unwrap();
    file.keys.reload().unwrap();
    client.send(json!({"op": "infer", "id": "b", "prompt": "x"})).await;
    expect_limited(&mut client, "requests").await;
}

#[tokio::test]
async fn addresses_are_limited_where_there_are_no_keys() {
    let mut setup = Setup::default();
    setup.server.address_limits.connections = at_most(1);
    let server = setup.start().await;
    let _first = Client::connect(&server).await;
    let mut second = Client::connect(&server).await;
    expect_limited(&mut second, "connections").await;
    second.expect_close(1013).await;
}
