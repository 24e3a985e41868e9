//! Anthropic's API.

use inference_core::domain::Right;
use serde_json::{Value, json};

use crate::common::{
    ApiConnection, ApiResponse, KeyFile, Setup, TestServer, get_with, new_key, post, post_with,
};

const MESSAGES: &str = "/v1/messages";

fn hello() -> Value {
    json!({"model": "any", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]})
}

fn hello_with(name: &str, value: Value) -> Value {
    let mut body = hello();
    body[name] = value;
    body
}

#[tokio::test]
async fn message_has_the_form_of_anthropic() {
    let server = TestServer::start().await;
    let response = post(server.address, MESSAGES, &hello_with("mystery", json!(1))).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("x-inference-core-ignored"), Some("mystery"));
    let mut body = response.json();
    assert!(body["id"].as_str().unwrap().starts_with("msg_"), "{body}");
    body["id"] = Value::Null;
    let usage = json!({"input_tokens": 12, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0, "output_tokens": 12});
    let expected = json!({"id": null, "type": "message", "role": "assistant", "model": "scripted",
        "content": [{"type": "text", "text": "user: hello\n"}], "stop_reason": "end_turn",
        "stop_sequence": null, "usage": usage});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn streamed_message_has_the_events_of_anthropic() {
    let server = TestServer::start().await;
    let response = post(server.address, MESSAGES, &hello_with("stream", json!(true))).await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let events: Vec<Value> =
        response.events().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(text, "user: hello\n");
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(
        (&end["usage"]["input_tokens"], &end["usage"]["output_tokens"]),
        (&json!(12), &json!(12))
    );
}

#[tokio::test]
async fn limit_and_text_to_continue_are_honoured() {
    let server = TestServer::start().await;
    let body = post(server.address, MESSAGES, &hello_with("max_tokens", json!(3))).await.json();
    assert_eq!(body["stop_reason"], "max_tokens");
    assert_eq!(body["content"], json!([{"type": "text", "text": "use"}]));
}

#[tokio::test]
async fn changing_attribution_keeps_the_prefix_cache() {
    let server = TestServer::start().await;
    let body = |cch: &str| {
        let line = format!("x-anthropic-billing-header: cc_version=2.1; cch={cch};");
        let system = json!([{"type": "text", "text": line}, {"type": "text", "text": "be short"}]);
        hello_with("system", system)
    };
    let first = post(server.address, MESSAGES, &body("00000")).await.json();
    assert_eq!(first["content"][0]["text"], "system: be short\nuser: hello\n");
    let second = post(server.address, MESSAGES, &body("fffff")).await.json();
    let usage = &second["usage"];
    assert_eq!(usage["input_tokens"], 1, "all but the last token comes from the cache: {usage}");
}

#[tokio::test]
async fn tokens_are_counted_as_the_message_has_them() {
    let server = TestServer::start().await;
    let path = "/v1/messages/count_tokens";
    let counted = post(server.address, path, &hello()).await;
    assert_eq!((counted.status, counted.json()), (200, json!({"input_tokens": 12})));
    let refused = post(server.address, path, &json!({})).await;
    assert_eq!((refused.status, &refused.json()["type"]), (400, &json!("error")));
}

#[tokio::test]
async fn errors_have_the_form_of_anthropic() {
    let key = new_key("one", &[Right::Infer]);
    let file = KeyFile::new(&[&key]);
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let header = format!("x-api-key: {}\r\n", key.key().reveal());
    let error = |response: ApiResponse| {
        let body = response.json();
        assert_eq!(body["type"], "error", "{body}");
        let kind = body["error"]["type"].as_str().unwrap().to_owned();
        (response.status, kind)
    };
    let body = hello().to_string();
    let good = post_with(server.address, MESSAGES, &header, &body).await;
    assert_eq!(good.status, 200, "{good:?}");
    let refused = post_with(server.address, MESSAGES, "", &body).await;
    assert_eq!(error(refused), (401, "authentication_error".to_owned()));
    let refused = post_with(server.address, MESSAGES, &header, "{").await;
    assert_eq!(error(refused), (400, "invalid_request_error".to_owned()));
    let refused = post_with(server.address, MESSAGES, &header, "{}").await;
    assert_eq!(error(refused), (400, "invalid_request_error".to_owned()));
    let unknown = get_with(server.address, "GET", "/v1/messages/more", &header).await;
    assert_eq!(error(unknown), (404, "not_found_error".to_owned()));
    let method = get_with(server.address, "GET", MESSAGES, &header).await;
    assert_eq!(error(method), (405, "invalid_request_error".to_owned()));
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(2000)}], "stream": true});
    let long = post_with(server.address, MESSAGES, &header, &long.to_string()).await;
    assert_eq!(error(long), (400, "invalid_request_error".to_owned()));
}

#[tokio::test]
async fn client_that_goes_away_stops_its_message() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    connection.post(MESSAGES, &hello_with("stream", json!(true))).await;
    connection.until("message_start").await;
    // A message without text is a sign of life.
    connection.until("event: ping").await;
    server.until_held().await;
    drop(connection);
    server.step_until(|snapshot| snapshot.numbers.active == 0).await;
}
