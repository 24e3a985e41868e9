//! `/openapi.json` describes the routes, the bodies and their limits.

use std::collections::BTreeSet;
use std::path::Path;

use inference_core::domain::Params;
use serde_json::{Value, json};

use crate::common::{ApiResponse, TestServer, http, http_get, post_with};

const METHODS: [&str; 5] = ["get", "post", "delete", "put", "patch"];

async fn document(server: &TestServer) -> Value {
    let (status, text) = http_get(server.address, "/openapi.json").await;
    assert_eq!(status, 200);
    assert!(text.to_lowercase().contains("content-type: application/json"), "{text}");
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// The status of a request without a body.
async fn status(server: &TestServer, method: &str, path: &str) -> (u16, String) {
    let method = method.to_uppercase();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        server.address
    );
    http(server.address, &head).await
}

#[tokio::test]
async fn description_has_the_routes_and_methods_of_the_server() {
    let server = TestServer::start().await;
    let document = document(&server).await;
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let expected = BTreeSet::from([
        "/apply-template",
        "/chat/completions",
        "/completions",
        "/detokenize",
        "/health",
        "/healthz",
        "/metrics",
        "/models",
        "/openapi.json",
        "/plan",
        "/readyz",
        "/requests",
        "/requests/{id}",
        "/tokenize",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/responses/{id}",
        "/v1/responses/{id}/cancel",
        "/v1/responses/{id}/input_items",
    ]);
    assert_eq!(described, expected);
    for (path, operations) in paths {
        let path = path.replace("{name}", "x").replace("{id}", "x");
        for method in METHODS {
            let (status, text) = status(&server, method, &path).await;
            let is_described = operations.get(method).is_some();
            assert_eq!(status != 405, is_described, "{method} {path}: {text}");
            assert!(!text.contains("there is no /") && !text.contains("not found:"), "{text}");
        }
    }
}

#[tokio::test]
async fn description_has_the_limits_of_the_checks() {
    let server = TestServer::start().await;
    let document = document(&server).await;
    let schemas = &document["components"]["schemas"];
    let limit = |body: &str, field: &str| {
        let property = &schemas[body]["properties"][field];
        // Whatever wraps an optional field.
        let found = [&property["anyOf"][0]["maximum"], &property["maximum"]];
        found.into_iter().find_map(Value::as_f64)
    };
    for body in ["CompletionBody", "ResponsesBody", "MessagesBody"] {
        assert_eq!(limit(body, "temperature"), Some(Params::TEMP.max), "{body}");
        assert_eq!(limit(body, "top_k"), Some(Params::TOP_K.max), "{body}");
    }
    let too_hot = json!({"messages": [{"role": "user", "content": "a"}],
        "temperature": Params::TEMP.max + 1.0});
    let path = "/v1/chat/completions";
    let response = post_with(server.address, path, "", &too_hot.to_string()).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["error"]["param"], "temperature");
}

#[tokio::test]
async fn every_other_name_of_a_field_is_described() {
    let server = TestServer::start().await;
    let text = document(&server).await.to_string();
    let mut aliases = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            let found = source.split("alias = \"").skip(1);
            aliases.extend(found.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(aliases.len() > 1, "{aliases:?}");
    for alias in aliases {
        assert!(text.contains(&format!("\"{alias}\":")), "{alias} is not described");
    }
}

/// Posts `body` to `path` and expects the field to be refused.
async fn refused(server: &TestServer, path: &str, body: &Value) -> ApiResponse {
    let response = post_with(server.address, path, "", &body.to_string()).await;
    assert_eq!(response.status, 400, "{response:?}");
    response
}

#[tokio::test]
async fn error_names_the_field_as_the_client_sent_it() {
    let server = TestServer::start().await;
    let user = json!([{"role": "user", "content": "a"}]);
    for (path, body, param) in [
        (
            "/v1/chat/completions",
            json!({"messages": user, "repetition_penalty": 11}),
            "repetition_penalty",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": user, "response_format": {"type": "json_schema",
                "json_schema": {"schema": {"type": "nothing"}}}}),
            "response_format.json_schema.schema",
        ),
        ("/v1/completions", json!({"prompt": "a", "guided_regex": "("}), "guided_regex"),
        ("/v1/completions", json!({"prompt": [1, 1_000_000_000]}), "prompt"),
        (
            "/v1/responses",
            json!({"input": "a", "text": {"format": {"type": "json_schema", "name": "n",
                "schema": {"type": "nothing"}}}}),
            "text.format.schema",
        ),
        ("/v1/responses", json!({"input": "a", "metadata": 5}), "metadata"),
        ("/v1/responses", json!({"input": "a", "max_output_tokens": -2}), "max_output_tokens"),
        ("/v1/responses", json!({"input": [["a"]]}), "input[0]"),
    ] {
        let response = refused(&server, path, &body).await;
        let error = &response.json()["error"];
        assert_eq!(error["param"], param, "{error}");
        assert!(error["message"].as_str().unwrap().contains(param), "{error}");
    }
}

#[tokio::test]
async fn prompt_of_tokens_is_continued_as_its_text() {
    let server = TestServer::start().await;
    let post = async |path: &str, body: Value| {
        let response = post_with(server.address, path, "", &body.to_string()).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    };
    let tokens = post("/tokenize", json!({"content": "ab"})).await["tokens"].clone();
    let expected = post("/v1/completions", json!({"prompt": "ab"})).await;
    for prompt in [tokens.clone(), json!([tokens])] {
        let sent = json!({"prompt": prompt, "seed": 1_u64 << 40, "logit_bias": [[1, false]]});
        let answer = post("/v1/completions", sent).await;
        assert_eq!(answer["choices"][0]["text"], expected["choices"][0]["text"]);
        assert_eq!(answer["usage"], expected["usage"]);
    }
}
