//! `/requests`: what runs and what has ended, who sees it, and who may abort it.

use inference_core::domain::Right;
use inference_core::server::NewKey;
use serde_json::{Value, json};

use crate::common::{
    ApiConnection, ApiResponse, Client, KeyFile, Setup, TestServer, get_with, new_key, post,
};

/// The list as a client with this key sees it.
async fn list(server: &TestServer, key: Option<&NewKey>) -> Value {
    let response = get_with(server.address, "GET", "/requests", &bearer(key)).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

async fn abort(server: &TestServer, id: &Value, key: Option<&NewKey>) -> ApiResponse {
    let path = format!("/requests/{}", id.as_str().unwrap());
    get_with(server.address, "DELETE", &path, &bearer(key)).await
}

fn bearer(key: Option<&NewKey>) -> String {
    key.map_or_else(String::new, |key| format!("Authorization: Bearer {}\r\n", key.key().reveal()))
}

/// Values of one field of all rows of a list.
fn column<'a>(rows: &'a Value, name: &str) -> Vec<&'a Value> {
    rows.as_array().unwrap().iter().map(|row| &row[name]).collect()
}

#[tokio::test]
async fn running_requests_are_listed_with_their_progress_the_newest_first() {
    let server = Setup { pace: Setup::by_hand().pace, ..Setup::with_long_context() }.start().await;
    let mut client = Client::connect(&server).await;
    for id in ["a", "b", "waits"] {
        client.send_endless(id).await;
    }
    server.step_until(|now| now.numbers.tokens_total > 4).await;
    let mut seen = list(&server, None).await;
    while column(&seen["running"], "state") != ["queued", "decode", "decode"] {
        server.pace.allow(1);
        seen = list(&server, None).await;
    }
    assert_eq!(seen["finished"], json!([]));
    assert_eq!(column(&seen["running"], "id"), ["r-3", "r-2", "r-1"]);
    let [waiting, running] = [&seen["running"][0], &seen["running"][1]];
    assert_eq!(
        (&waiting["prompt_tokens"], &waiting["completion_tokens"]),
        (&Value::Null, &json!(0))
    );
    assert!(running["prompt_tokens"].as_u64().unwrap() > 0, "{running}");
    assert!(running["completion_tokens"].as_u64().unwrap() > 0, "{running}");
    for (name, value) in [
        ("surface", json!("native")),
        ("key", Value::Null),
        ("model", json!("scripted")),
        ("cached_tokens", json!(0)),
        ("can_abort", json!(true)),
    ] {
        assert_eq!(running[name], value, "{name}");
    }
    assert!(running["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{running}");
    assert!(running["age_ms"].as_u64() >= running["queued_ms"].as_u64(), "{running}");
}

#[tokio::test]
async fn ended_requests_of_every_interface_are_listed_without_their_text() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "secret words"})).await;
    client.expect_answer(None).await;
    let messages = json!([{"role": "user", "content": "secret words"}]);
    for (path, body) in [
        ("/v1/completions", json!({"prompt": "secret words", "max_tokens": 2})),
        ("/v1/chat/completions", json!({"messages": messages})),
        ("/v1/responses", json!({"input": "secret words"})),
        ("/v1/messages", json!({"messages": messages, "max_tokens": 2})),
    ] {
        let response = post(server.address, path, &body).await;
        assert_eq!(response.status, 200, "{path} {response:?}");
    }
    let seen = list(&server, None).await;
    assert_eq!(seen["running"], json!([]));
    let finished = &seen["finished"];
    let surfaces = ["messages", "responses", "chat", "completions", "native"];
    assert_eq!(column(finished, "surface"), surfaces);
    assert_eq!(finished[3]["finish_reason"], "max_tokens");
    assert_eq!(finished[4]["finish_reason"], "stop");
    for row in finished.as_array().unwrap() {
        assert_eq!(row["error"], Value::Null, "{row}");
        assert!(row["completion_tokens"].as_u64().unwrap() > 0, "{row}");
        assert!(row["ttft_ms"].as_u64() <= row["duration_ms"].as_u64(), "{row}");
        assert!(row["ended_at"].as_f64().unwrap() > 1.7e9, "{row}");
    }
    assert!(!seen.to_string().contains("secret"), "{seen}");
}

#[tokio::test]
async fn list_keeps_the_last_hundred_ended_requests() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for _ in 0..103 {
        client.send(json!({"op": "infer", "prompt": "a", "params": {"max_tokens": 1}})).await;
        client.expect_answer(None).await;
    }
    let seen = list(&server, None).await;
    let ids = column(&seen["finished"], "id");
    assert_eq!((ids.len(), ids[0], ids[99]), (100, &json!("r-103"), &json!("r-4")));
}

#[tokio::test]
async fn failed_request_is_listed_with_its_code() {
    let mut setup = Setup::default();
    setup.engine.ctx_size = 32;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "too long ".repeat(50)})).await;
    assert_eq!(client.expect("error").await["code"], "context_overflow");
    let row = &list(&server, None).await["finished"][0];
    assert_eq!(row["finish_reason"], "error");
    assert_eq!(row["error"], "context_overflow");
}

#[tokio::test]
async fn aborted_request_ends_for_its_client_and_cannot_be_aborted_again() {
    let server = Setup::with_long_context().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.expect("token").await;
    let id = json!("r-1");
    assert_eq!(abort(&server, &id, None).await.status, 204);
    assert_eq!(client.expect_terminal().await["finish_reason"], "abort");
    assert_eq!(list(&server, None).await["finished"][0]["finish_reason"], "aborted");
    for id in [id, json!("r-2"), json!("r--1"), json!("1"), json!("r-99999999999999999999")] {
        let response = abort(&server, &id, None).await;
        assert_eq!(response.status, 404, "{response:?}");
        assert!(response.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn aborted_request_of_an_http_api_ends_with_an_error() {
    let server = Setup::with_long_context().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    let body = json!({"prompt": "a", "ignore_eos": true, "max_tokens": 1_000_000, "stream": true});
    connection.post("/v1/completions", &body).await;
    connection.until("data: ").await;
    assert_eq!(abort(&server, &json!("r-1"), None).await.status, 204);
    connection.until("\"aborted\"").await;
}

#[tokio::test]
async fn request_of_a_client_that_disconnects_is_listed_as_aborted() {
    let server = Setup::with_long_context().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.expect("token").await;
    drop(client);
    server.until(|now| now.numbers.active == 0).await;
    let mut seen = list(&server, None).await;
    while seen["finished"] == json!([]) {
        seen = list(&server, None).await;
    }
    assert_eq!(seen["finished"][0]["finish_reason"], "aborted");
}

#[tokio::test]
async fn rights_decide_who_sees_and_aborts_what() {
    let owner = new_key("owner", &[Right::Infer]);
    let other = new_key("other", &[Right::Infer]);
    let viewer = new_key("viewer", &[Right::Metrics]);
    let admin = new_key("admin", &[Right::Admin]);
    let file = KeyFile::new(&[&owner, &other, &viewer, &admin]);
    let mut setup = Setup::with_long_context();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    for path in ["/requests", "/requests/r-1"] {
        let method = if path == "/requests" { "GET" } else { "DELETE" };
        assert_eq!(get_with(server.address, method, path, "").await.status, 401, "{path}");
    }
    let value = format!("Bearer {}", owner.key().reveal());
    let mut client = Client::connect_with_header(&server, "authorization", &value).await;
    client.send_endless("a").await;
    client.expect("token").await;
    for (key, can_abort) in [(&owner, true), (&viewer, false), (&admin, true)] {
        let row = &list(&server, Some(key)).await["running"][0];
        assert_eq!(row["can_abort"], can_abort, "{key:?}");
        assert_eq!(row["key"], "owner", "{key:?}");
    }
    assert_eq!(list(&server, Some(&other)).await["running"], json!([]));
    let id = json!("r-1");
    assert_eq!(abort(&server, &id, Some(&other)).await.status, 404);
    assert_eq!(abort(&server, &id, Some(&viewer)).await.status, 403);
    assert_eq!(abort(&server, &id, Some(&admin)).await.status, 204);
    assert_eq!(client.expect_terminal().await["finish_reason"], "abort");
    assert_eq!(list(&server, Some(&other)).await["finished"], json!([]));
    assert_eq!(list(&server, Some(&owner)).await["finished"][0]["key"], "owner");
}

#[tokio::test]
async fn foreign_page_cannot_abort_a_request() {
    let server = Setup::with_long_context().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    client.expect("token").await;
    let origin = "Origin: https://evil.com\r\n";
    let response = get_with(server.address, "DELETE", "/requests/r-1", origin).await;
    assert_eq!(response.status, 403, "{response:?}");
    assert_eq!(list(&server, None).await["running"].as_array().unwrap().len(), 1);
}
