//! What the HTTP APIs say beside their answers: ids, ignored parameters, and refusals of what can
//! never succeed.

use inference_core::domain::AccountLimits;
use serde_json::json;

use crate::common::{Setup, TestServer, at_most, get_with, http, post, post_with};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn every_response_of_an_api_has_an_id() {
    let server = TestServer::start().await;
    let mut ids = Vec::new();
    for path in ["/v1/models", "/v1/nothing"] {
        let response = get_with(server.address, "GET", path, "").await;
        let id = response.header("request-id").unwrap();
        assert_eq!(response.header("x-request-id"), Some(id));
        ids.push(id.to_owned());
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn unknown_parameters_of_the_address_are_named() {
    let server = TestServer::start().await;
    let body = json!({"messages": [{"role": "user", "content": "a"}], "x_field": 1});
    let response = post(server.address, "/v1/chat/completions?beta=true", &body).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("x-inference-core-ignored"), Some("x_field, beta"));
    let body = json!({"input": "a"});
    let created = post(server.address, "/v1/responses", &body).await.json();
    let path = format!("/v1/responses/{}", created["id"].as_str().unwrap());
    let send =
        async |rest: &str| get_with(server.address, "GET", &format!("{path}{rest}"), "").await;
    let response = send("?include=x&stream=false").await;
    assert_eq!(response.header("x-inference-core-ignored"), Some("include"));
    assert_eq!(send("/input_items?limit=1").await.header("x-inference-core-ignored"), None);
    let response = send("?stream=true&starting_after=1").await;
    assert_eq!(response.status, 400, "{response:?}");
    assert_eq!(response.json()["error"]["param"], "stream");
}

#[tokio::test]
async fn more_answers_than_the_limits_allow_are_refused_for_good() {
    for limits in [
        AccountLimits { requests: at_most(2), ..Default::default() },
        AccountLimits { waiting: at_most(2), ..Default::default() },
    ] {
        let mut setup = Setup::default();
        setup.server.address_limits = limits;
        let server = setup.start().await;
        let body = json!({"messages": [{"role": "user", "content": "a"}], "n": 3});
        let response = post(server.address, CHAT, &body).await;
        assert_eq!(response.status, 400, "{response:?}");
        assert_eq!(response.header("retry-after"), None);
        let error = response.json()["error"].clone();
        assert_eq!(error["param"], "n");
        assert!(error["message"].as_str().unwrap().contains("limit of 2"), "{error}");
        let body = json!({"prompt": ["a", "b", "c"]});
        let response = post(server.address, "/v1/completions", &body).await;
        assert_eq!(response.json()["error"]["param"], "prompt", "{response:?}");
        let body = json!({"prompt": ["a", "b"], "max_tokens": 1});
        assert_eq!(post(server.address, "/v1/completions", &body).await.status, 200);
    }
}

#[tokio::test]
async fn tokens_of_a_prompt_beyond_the_context_are_counted() {
    let server = TestServer::start().await;
    let text = "x".repeat(5000);
    let body = json!({"max_tokens": 1, "messages": [{"role": "user", "content": text}]});
    let response = post(server.address, "/v1/messages/count_tokens", &body).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.json()["input_tokens"].as_u64().unwrap() > 5000, "{response:?}");
    let body = json!({"input": text});
    let response = post(server.address, "/v1/responses/input_tokens", &body).await;
    assert!(response.json()["input_tokens"].as_u64().unwrap() > 5000, "{response:?}");
}

#[tokio::test]
async fn input_without_a_usable_item_is_not_called_missing() {
    let server = TestServer::start().await;
    for (body, expected) in [
        (json!({"input": [{"type": "foo"}]}), "input has no item that the model can use"),
        (json!({"input": []}), "input has no item that the model can use"),
        (json!({}), "input is missing"),
    ] {
        let response = post(server.address, "/v1/responses", &body).await;
        let message = response.json()["error"]["message"].clone();
        assert!(message.as_str().unwrap().starts_with(expected), "{message}");
    }
}

#[tokio::test]
async fn compressed_body_is_refused_with_its_encoding() {
    let server = TestServer::start().await;
    let response = post_with(server.address, CHAT, "Content-Encoding: gzip\r\n", "{}").await;
    assert_eq!(response.status, 415, "{response:?}");
    assert!(response.json()["error"]["message"].as_str().unwrap().contains("\"gzip\""));
    let response = post_with(server.address, CHAT, "Content-Encoding: identity\r\n", "{}").await;
    assert_eq!(response.status, 400, "{response:?}");
}

#[tokio::test]
async fn client_that_asks_first_is_told_at_once_that_its_body_is_too_long() {
    let server = TestServer::start().await;
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Length: 99999999999\r\n\r\n",
        server.address
    );
    let (status, text) = http(server.address, &request).await;
    assert_eq!(status, 413, "{text}");
    assert!(!text.contains("100 Continue"), "{text}");
}

#[tokio::test]
async fn unknown_action_on_responses_is_not_found() {
    let server = TestServer::start().await;
    let response = post(server.address, "/v1/responses/compact", &json!({})).await;
    assert_eq!(response.status, 404, "{response:?}");
    let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("/v1/responses/compact") && message.contains("/tokenize"));
}

#[tokio::test]
async fn model_has_the_fields_of_both_apis_and_they_stay_the_same() {
    let server = TestServer::start().await;
    let list = get_with(server.address, "GET", "/v1/models", "").await.json();
    let model = &list["data"][0];
    assert_eq!((&model["type"], &model["display_name"]), (&json!("model"), &json!("scripted")));
    assert!(model["created_at"].as_str().unwrap().ends_with('Z'), "{model}");
    assert_eq!((&list["has_more"], &list["last_id"]), (&json!(false), &json!("scripted")));
    let again = get_with(server.address, "GET", "/v1/models/SCRIPTED", "").await.json();
    assert_eq!(again, *model);
}
