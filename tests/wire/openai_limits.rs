//! What the HTTP APIs refuse and end: keys, limits, pages, long bodies, and clients that
//! disconnect.

use std::sync::mpsc;
use std::time::Duration;

use inference_core::domain::{AccountLimits, Right};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::{
    ApiConnection, KeyFile, Setup, at_most, get_with, limited_key, new_key, post, post_text,
    post_with,
};

const CHAT: &str = "/v1/chat/completions";

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "hello"}]})
}

/// A request whose answer has no end.
fn endless(is_streamed: bool) -> Value {
    json!({
        "messages": [{"role": "user", "content": "hello"}],
        "ignore_eos": true,
        "stream": is_streamed,
    })
}

#[tokio::test]
async fn disconnected_client_stops_its_request() {
    for is_streamed in [true, false] {
        let server = Setup::with_long_context().start().await;
        let mut connection = ApiConnection::open(server.address).await;
        connection.post(CHAT, &endless(is_streamed)).await;
        if is_streamed {
            connection.until("\"content\":\"u").await;
        }
        server.until(|now| now.numbers.active == 1).await;
        drop(connection);
        server.until(|now| now.numbers.active == 0).await;
    }
}

#[tokio::test]
async fn disconnected_client_stops_its_waiting_request_and_all_answers() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    let mut body = endless(true);
    body["n"] = 4.into();
    connection.post(CHAT, &body).await;
    server.step_until(|now| now.numbers.active == 2 && now.numbers.queued == 2).await;
    drop(connection);
    server.step_until(|now| now.numbers.active == 0 && now.numbers.queued == 0).await;
}

#[tokio::test]
async fn waiting_client_gets_signs_of_life() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    connection.post(CHAT, &endless(true)).await;
    let head = connection.until("\r\n\r\n").await;
    assert!(head.contains("200 OK"), "{head}");
    connection.until(": \n\n").await;
    connection.until(": \n\n").await;
}

#[tokio::test]
async fn key_is_needed_and_may_be_in_any_of_three_headers() {
    let (user, watcher) = (new_key("user", &[Right::Infer]), new_key("watcher", &[Right::Metrics]));
    let file = KeyFile::new(&[&user, &watcher]);
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let send = async |fields: String| {
        let response = post_with(server.address, CHAT, &fields, &hello().to_string()).await;
        let kind = response.json()["error"]["type"].as_str().map(str::to_owned);
        (response.status, kind.unwrap_or_default())
    };
    let key = user.key().reveal().to_owned();
    for fields in [
        format!("Authorization: Bearer {key}\r\n"),
        format!("x-api-key: {key}\r\n"),
        format!("api-key: {key}\r\n"),
        format!("x-api-key: {key}\r\nAuthorization: Bearer {key}\r\n"),
    ] {
        assert_eq!(send(fields.clone()).await.0, 200, "{fields}");
    }
    let watcher = format!("x-api-key: {}\r\n", watcher.key().reveal());
    assert_eq!(send(watcher).await, (403, "permission_error".to_owned()));
    for fields in ["", "Authorization: Bearer wrong\r\n"] {
        assert_eq!(send(fields.to_owned()).await, (401, "authentication_error".to_owned()));
    }
    let response = get_with(server.address, "GET", "/v1/models", "").await;
    assert_eq!(response.status, 401);
    assert!(response.header("www-authenticate").is_some(), "{response:?}");
}

#[tokio::test]
async fn revoked_key_ends_its_stream() {
    let key = new_key("user", &[Right::Infer]);
    let file = KeyFile::new(&[&key]);
    let mut setup = Setup::with_long_context();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let fields = format!("x-api-key: {}\r\n", key.key().reveal());
    let request = post_text(server.address, CHAT, &fields, &endless(true).to_string());
    stream.write_all(request.as_bytes()).await.unwrap();
    server.until(|now| now.numbers.active == 1).await;
    file.replace(&[]);
    server.until(|now| now.numbers.active == 0).await;
    drop(stream);
}

#[tokio::test]
async fn limits_of_an_account_are_kept_and_say_when_to_try_again() {
    let limits = AccountLimits { requests: at_most(1), ..Default::default() };
    let key = limited_key("user", &[Right::Infer], limits);
    let file = KeyFile::new(&[&key]);
    let mut setup = Setup::with_long_context();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let fields = format!("x-api-key: {}\r\n", key.key().reveal());
    let mut first = TcpStream::connect(server.address).await.unwrap();
    let request = post_text(server.address, CHAT, &fields, &endless(true).to_string());
    first.write_all(request.as_bytes()).await.unwrap();
    server.until(|now| now.numbers.active == 1).await;
    let response = post_with(server.address, CHAT, &fields, &hello().to_string()).await;
    assert_eq!(response.status, 429, "{response:?}");
    assert_eq!(response.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("retry-after-ms"), Some("1000"));
    drop(first);
    server.until(|now| now.numbers.active == 0).await;
    let sending = async {
        while post_with(server.address, CHAT, &fields, &hello().to_string()).await.status != 200 {}
    };
    tokio::time::timeout(crate::common::GUARD, sending).await.expect("the limit is free again");
}

#[tokio::test]
async fn loading_server_says_when_to_try_again() {
    let (loaded, load) = mpsc::channel();
    let server = Setup { load: Some(load), ..Setup::default() }.start().await;
    let response = post(server.address, CHAT, &hello()).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.json()["error"]["code"], "loading");
    assert_eq!(response.header("retry-after"), Some("1"));
    drop(loaded);
}

#[tokio::test]
async fn foreign_pages_are_refused_and_allowed_ones_may_read() {
    let mut setup = Setup::default();
    setup.server.allowed_origins = vec!["https://chat.example".parse().unwrap()];
    let server = setup.start().await;
    let body = hello().to_string();
    let foreign = "Origin: https://evil.example\r\n";
    for path in [CHAT, "/v1/completions", "/v1/nothing"] {
        // What a page may send without asking first.
        let fields = format!("{foreign}Content-Type: text/plain\r\n");
        let response = post_with(server.address, path, &fields, &body).await;
        assert_eq!(response.status, 403, "{response:?}");
        assert_eq!(response.json()["error"]["type"], "permission_error");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    let asked = "Access-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: authorization,content-type\r\n";
    let fields = format!("{foreign}{asked}");
    let response = get_with(server.address, "OPTIONS", CHAT, &fields).await;
    assert_eq!((response.status, response.header("access-control-allow-origin")), (403, None));
    let response = get_with(server.address, "GET", "/v1/models", foreign).await;
    assert_eq!(response.header("access-control-allow-origin"), None);

    let allowed = "Origin: https://chat.example\r\n";
    let fields = format!("{allowed}{asked}");
    let response = get_with(server.address, "OPTIONS", CHAT, &fields).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://chat.example"));
    assert_eq!(response.header("access-control-allow-headers"), Some("authorization,content-type"));
    let response = post_with(server.address, CHAT, allowed, &body).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://chat.example"));
    assert_eq!(response.header("vary"), Some("origin"));
    let response = get_with(server.address, "GET", "/v1/models", allowed).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("https://chat.example"));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let mut setup = Setup::default();
    setup.server.max_message_bytes = 64 * 1024;
    let server = setup.start().await;
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(100_000)}]}).to_string();
    let response = post_with(server.address, CHAT, "", &long).await;
    assert_eq!(response.status, 413, "{response:?}");
    assert_eq!(response.json()["error"]["code"], "request_too_large");
    // The length is not announced.
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{long}\r\n0\r\n\r\n",
        server.address,
        long.len()
    );
    let (status, _) = crate::common::http(server.address, &request).await;
    assert_eq!(status, 413);
    // Parsed on the threads for that.
    let message = json!([{"role": "user", "content": "x".repeat(50_000)}]);
    let body = json!({"messages": message, "max_tokens": 1});
    let response = post(server.address, CHAT, &body).await;
    assert_eq!(response.json()["error"]["code"], "context_length_exceeded");
}

#[tokio::test]
async fn body_that_is_not_complete_in_time_is_refused() {
    let mut setup = Setup::default();
    setup.server.message_deadline = Duration::from_millis(10);
    let server = setup.start().await;
    let mut connection = ApiConnection::open(server.address).await;
    let request = post_text(server.address, CHAT, "", &hello().to_string());
    connection.send_raw(&request[..request.len() - 10]).await;
    let answer = connection.until("\"code\":\"request_timeout\"").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}
