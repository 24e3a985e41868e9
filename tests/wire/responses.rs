//! The Responses API over HTTP.

use inference_core::domain::Right;
use serde_json::{Value, json};

use crate::common::{
    ApiConnection, KeyFile, Setup, TestServer, get_with, new_key, post, post_with,
};

const RESPONSES: &str = "/v1/responses";

/// The types of events.
fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The text of the first message of a response.
fn text(response: &Value) -> &str {
    let items = response["output"].as_array().unwrap();
    let message = items.iter().find(|item| item["type"] == "message");
    message.map_or("", |item| item["content"][0]["text"].as_str().unwrap())
}

#[tokio::test]
async fn response_has_the_form_of_openai() {
    let server = TestServer::start().await;
    let body = json!({"model": "any", "input": "hello", "metadata": {"a": "b"}, "mystery": 1});
    let response = post(server.address, RESPONSES, &body).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("x-inference-core-ignored"), Some("mystery"));
    let body = response.json();
    assert!(body["id"].as_str().unwrap().starts_with("resp_"), "{body}");
    assert_eq!((&body["object"], &body["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(body["model"], "scripted");
    assert_eq!(body["metadata"], json!({"a": "b"}));
    assert_eq!(body["output"].as_array().unwrap().len(), 1);
    assert_eq!(text(&body), "user: hello\n");
    assert_eq!(body["usage"]["total_tokens"], 24);
    assert_eq!(body["error"], Value::Null);
    assert_eq!(body["warnings"], json!(["mystery"]));
}

#[tokio::test]
async fn streamed_response_has_the_events_of_openai() {
    let server = TestServer::start().await;
    let response =
        post(server.address, RESPONSES, &json!({"input": "hello", "stream": true})).await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let events = response.chunks();
    let all = kinds(&events);
    assert_eq!(
        all[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    assert_eq!(
        all[all.len() - 4..],
        [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, "user: hello\n");
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    assert!(response.body.contains("event: response.created\ndata: {"), "{}", response.body);
    assert_eq!(text(&events[events.len() - 1]["response"]), "user: hello\n");
}

#[tokio::test]
async fn limit_makes_a_response_incomplete() {
    let server = TestServer::start().await;
    let body = json!({"input": "hello", "max_output_tokens": 3});
    let body = post(server.address, RESPONSES, &body).await.json();
    assert_eq!(body["status"], "incomplete");
    assert_eq!(body["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(text(&body), "use");
}

#[tokio::test]
async fn stored_response_is_continued_retrieved_and_deleted() {
    let server = TestServer::start().await;
    let first = json!({"input": "a", "instructions": "i"});
    let first = post(server.address, RESPONSES, &first).await.json();
    let id = first["id"].as_str().unwrap();
    assert_eq!(text(&first), "system: i\nuser: a\n");
    let body = json!({"input": "b", "previous_response_id": id});
    let second = post(server.address, RESPONSES, &body).await.json();
    // Instructions are those of one request.
    assert_eq!(text(&second), "user: a\nassistant: system: i\nuser: a\n\nuser: b\n");
    assert_eq!(second["previous_response_id"], id);
    let item = first["output"][0]["id"].as_str().unwrap();
    let body = json!({"input": [{"type": "item_reference", "id": item}]});
    let third = post(server.address, RESPONSES, &body).await.json();
    assert_eq!(text(&third), "assistant: system: i\nuser: a\n\n");

    let path = format!("{RESPONSES}/{id}");
    let got = get_with(server.address, "GET", &path, "").await;
    assert_eq!((got.status, got.json()), (200, first.clone()));
    let deleted = get_with(server.address, "DELETE", &path, "").await.json();
    assert_eq!(deleted, json!({"id": id, "object": "response", "deleted": true}));
    let gone = get_with(server.address, "GET", &path, "").await;
    assert_eq!((gone.status, &gone.json()["error"]["type"]), (404, &json!("not_found_error")));
    let body = json!({"input": "b", "previous_response_id": id});
    let refused = post(server.address, RESPONSES, &body).await;
    assert_eq!(refused.status, 400);
    let error = refused.json()["error"].clone();
    assert_eq!(error["code"], "previous_response_not_found");
    assert_eq!(error["param"], "previous_response_id");
}

#[tokio::test]
async fn response_with_store_false_is_not_kept() {
    let server = TestServer::start().await;
    let body = json!({"input": "a", "store": false});
    let response = post(server.address, RESPONSES, &body).await.json();
    assert_eq!(response["store"], false);
    let path = format!("{RESPONSES}/{}", response["id"].as_str().unwrap());
    assert_eq!(get_with(server.address, "GET", &path, "").await.status, 404);
}

#[tokio::test]
async fn stored_response_belongs_to_its_key() {
    let keys = [new_key("one", &[Right::Infer]), new_key("two", &[Right::Infer])];
    let file = KeyFile::new(&[&keys[0], &keys[1]]);
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let header = |key: usize| format!("Authorization: Bearer {}\r\n", keys[key].key().reveal());
    let created = post_with(server.address, RESPONSES, &header(0), r#"{"input":"a"}"#).await;
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{RESPONSES}/{id}");
    assert_eq!(get_with(server.address, "GET", &path, &header(0)).await.status, 200);
    assert_eq!(get_with(server.address, "GET", &path, &header(1)).await.status, 404);
    assert_eq!(get_with(server.address, "DELETE", &path, &header(1)).await.status, 404);
    let body = json!({"input": "b", "previous_response_id": id}).to_string();
    let refused = post_with(server.address, RESPONSES, &header(1), &body).await;
    assert_eq!(refused.json()["error"]["code"], "previous_response_not_found");
    assert_eq!(get_with(server.address, "GET", &path, "").await.status, 401);
}

#[tokio::test]
async fn running_response_is_cancelled() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    connection.post(RESPONSES, &json!({"input": "hello", "stream": true})).await;
    let begun = connection.until("response.in_progress").await;
    let (_, rest) = begun.split_once("\"id\":\"").unwrap();
    let (id, _) = rest.split_once('"').unwrap();
    let path = format!("{RESPONSES}/{id}/cancel");
    let cancelled = post(server.address, &path, &json!({})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(cancelled.json()["status"], "cancelled");
    connection.until("[DONE]").await;
    server.pace.allow(1000);
    server.until(|snapshot| snapshot.numbers.active == 0).await;
    let again = post(server.address, &path, &json!({})).await;
    assert_eq!(again.json()["status"], "cancelled", "it is stored");
    let unknown = post(server.address, "/v1/responses/resp_x/cancel", &json!({})).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn unusable_request_is_refused_with_its_field() {
    let server = TestServer::start().await;
    for (body, param) in [
        (json!({}), "input"),
        (json!({"input": [{"role": "bot", "content": "a"}]}), "input[0].role"),
        (json!({"input": "a", "temperature": "warm"}), "temperature"),
        (json!({"input": "a", "background": true}), "background"),
    ] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = stream.into();
            let response = post(server.address, RESPONSES, &body).await;
            assert_eq!(response.status, 400, "{body}");
            let error = response.json()["error"].clone();
            assert_eq!(error["type"], "invalid_request_error", "{body}");
            assert_eq!(error["param"], param, "{body}");
        }
    }
    let broken = post_with(server.address, RESPONSES, "", "{").await;
    assert_eq!((broken.status, &broken.json()["error"]["code"]), (400, &json!("bad_json")));
    let long = json!({"input": "x".repeat(2000), "stream": true});
    let long = post(server.address, RESPONSES, &long).await;
    assert_eq!(long.json()["error"]["code"], "context_length_exceeded", "{long:?}");
    let method = get_with(server.address, "GET", RESPONSES, "").await;
    assert_eq!(
        (method.status, &method.json()["error"]["code"]),
        (405, &json!("method_not_allowed"))
    );
}

#[tokio::test]
async fn page_of_a_foreign_origin_cannot_ask_for_a_response() {
    let server = TestServer::start().await;
    let fields = "Origin: https://evil.example\r\n";
    let refused = post_with(server.address, RESPONSES, fields, r#"{"input":"a"}"#).await;
    assert_eq!(refused.status, 403);
    assert!(refused.json()["error"]["message"].is_string(), "{refused:?}");
}

#[tokio::test]
async fn client_that_goes_away_stops_its_response() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    connection.post(RESPONSES, &json!({"input": "hello", "stream": true})).await;
    connection.until("response.in_progress").await;
    server.until_held().await;
    drop(connection);
    server.step_until(|snapshot| snapshot.numbers.active == 0).await;
}

#[tokio::test]
async fn running_response_can_be_retrieved() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    connection.post(RESPONSES, &json!({"input": "a", "stream": true})).await;
    let begun = connection.until("response.in_progress\",").await;
    let id = begun.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("{RESPONSES}/{id}");
    let got = get_with(server.address, "GET", &path, "").await;
    assert_eq!(got.status, 200, "{got:?}");
    let got = got.json();
    assert_eq!((&got["id"], &got["status"]), (&json!(id), &json!("in_progress")));
    assert_eq!(got["output"], json!([]));
    let items = get_with(server.address, "GET", &format!("{path}/input_items"), "").await.json();
    assert_eq!(items["data"][0]["content"][0]["text"], "a");

    let mut connection = ApiConnection::open(server.address).await;
    connection.post(RESPONSES, &json!({"input": "a", "stream": true, "store": false})).await;
    let begun = connection.until("response.in_progress\",").await;
    let id = begun.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let hidden = get_with(server.address, "GET", &format!("{RESPONSES}/{id}"), "").await;
    assert_eq!(hidden.status, 404, "the client does not want it stored");
}

#[tokio::test]
async fn input_of_a_response_is_listed_page_by_page() {
    let server = TestServer::start().await;
    let first = post(server.address, RESPONSES, &json!({"input": "say b"})).await.json();
    let body = json!({"input": "c", "previous_response_id": first["id"]});
    let second = post(server.address, RESPONSES, &body).await.json();
    let path = format!("{RESPONSES}/{}/input_items", second["id"].as_str().unwrap());
    let list = get_with(server.address, "GET", &format!("{path}?order=asc"), "").await.json();
    let texts = |list: &Value| -> Vec<String> {
        let items = list["data"].as_array().unwrap().iter();
        items.map(|item| item["content"][0]["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&list), ["say b", "b", "c"]);
    assert_eq!(list["data"][1]["id"], first["output"][0]["id"]);
    assert_eq!(list["has_more"], false);
    let newest = get_with(server.address, "GET", &format!("{path}?limit=1"), "").await.json();
    assert_eq!((texts(&newest), &newest["has_more"]), (vec!["c".to_owned()], &json!(true)));
    let after = newest["last_id"].as_str().unwrap();
    let rest = get_with(server.address, "GET", &format!("{path}?after={after}"), "").await.json();
    assert_eq!(texts(&rest), ["b", "say b"]);
    let wrong = get_with(server.address, "GET", &format!("{path}?limit=0"), "").await;
    assert_eq!((wrong.status, &wrong.json()["error"]["param"]), (400, &json!("limit")));
    let unknown = get_with(server.address, "GET", "/v1/responses/resp_x/input_items", "").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn tokens_of_the_input_are_counted() {
    let server = TestServer::start().await;
    let path = "/v1/responses/input_tokens";
    let body = json!({"input": "hello"});
    let counted = post(server.address, path, &body).await;
    let expected = json!({"object": "response.input_tokens", "input_tokens": 12});
    assert_eq!((counted.status, counted.json()), (200, expected));
    let usage = post(server.address, RESPONSES, &body).await.json()["usage"].clone();
    assert_eq!(usage["input_tokens"], 12);
    let refused = post(server.address, path, &json!({"input": 3})).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("input")));
}
