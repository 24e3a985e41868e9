//! OpenAI's HTTP APIs: answers, errors and models.

use serde_json::{Value, json};

use crate::common::{ApiConnection, Setup, TestServer, get_with, post, post_with};

const CHAT: &str = "/v1/chat/completions";

/// A request for the answer to "hello", which the scripted model repeats with the role.
fn hello() -> Value {
    json!({"model": "any", "messages": [{"role": "user", "content": "hello"}]})
}

/// `hello()` with more fields.
fn hello_with(fields: &Value) -> Value {
    let mut body = hello();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn chat_completion_has_the_form_of_openai() {
    let server = TestServer::start().await;
    let response = post(server.address, CHAT, &hello()).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-inference-core-ignored"), None);
    let body = response.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"), "{body}");
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "scripted");
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000, "{body}");
    assert!(body["system_fingerprint"].as_str().unwrap().starts_with("0.1.0-"), "{body}");
    let choice = json!({
        "index": 0,
        "message": {"role": "assistant", "content": "user: hello\n", "refusal": null},
        "logprobs": null,
        "finish_reason": "stop",
    });
    assert_eq!(body["choices"], json!([choice]));
    let usage = json!({
        "prompt_tokens": 12,
        "completion_tokens": 12,
        "total_tokens": 24,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    });
    assert_eq!(body["usage"], usage);
    let again = post(server.address, CHAT, &hello()).await.json();
    let cached = again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached > 0, "{again}");
    assert_ne!(again["id"], body["id"]);
}

#[tokio::test]
async fn streamed_chat_completion_has_the_chunks_of_openai() {
    let server = TestServer::start().await;
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let response = post(server.address, CHAT, &hello_with(&options)).await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let chunks = response.chunks();
    let [first, .., last, usage] = chunks.as_slice() else { panic!("{chunks:?}") };
    let delta = |chunk: &Value| chunk["choices"][0]["delta"].clone();
    assert_eq!(delta(first), json!({"role": "assistant", "content": ""}));
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "user: hello\n");
    let end = json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"});
    assert_eq!(last["choices"], json!([end]));
    assert_eq!(last["usage"], Value::Null);
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["total_tokens"], 24);
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!((&chunk["id"], &chunk["created"]), (&first["id"], &first["created"]));
    }
    let plain = post(server.address, CHAT, &hello_with(&json!({"stream": true}))).await;
    assert!(plain.chunks().iter().all(|chunk| chunk.get("usage").is_none()), "{plain:?}");
}

#[tokio::test]
async fn several_answers_are_told_apart_by_their_index() {
    let server = TestServer::start().await;
    for is_streamed in [false, true] {
        let options = json!({"n": 3, "seed": 7, "stream": is_streamed});
        let response = post(server.address, CHAT, &hello_with(&options)).await;
        let mut texts = vec![String::new(); 3];
        if is_streamed {
            for chunk in response.chunks() {
                let choice = &chunk["choices"][0];
                let text = choice["delta"]["content"].as_str().unwrap_or_default();
                texts[choice["index"].as_u64().unwrap() as usize].push_str(text);
            }
        } else {
            let body = response.json();
            assert_eq!(body["usage"]["prompt_tokens"], 12, "the prompt counts once: {body}");
            assert_eq!(body["usage"]["completion_tokens"], 36, "{body}");
            for (i, text) in texts.iter_mut().enumerate() {
                text.push_str(body["choices"][i]["message"]["content"].as_str().unwrap());
            }
        }
        assert_eq!(texts, ["user: hello\n"; 3], "{response:?}");
    }
}

#[tokio::test]
async fn end_of_the_answer_has_its_reason() {
    let server = TestServer::start().await;
    for (options, reason, text) in [
        (json!({"max_tokens": 4}), "length", "user"),
        (json!({"max_completion_tokens": 4}), "length", "user"),
        (json!({"stop": ["hell"]}), "stop", "user: "),
    ] {
        let body = post(server.address, CHAT, &hello_with(&options)).await.json();
        let choice = &body["choices"][0];
        assert_eq!(choice["finish_reason"], reason, "{body}");
        assert_eq!(choice["message"]["content"], text, "{body}");
    }
}

#[tokio::test]
async fn log_probabilities_are_those_of_the_tokens() {
    let server = TestServer::start().await;
    let options = json!({"logprobs": true, "top_logprobs": 1, "max_tokens": 2});
    let body = post(server.address, CHAT, &hello_with(&options)).await.json();
    let token = |byte: u8, text: &str| json!({"token": text, "logprob": 0.0, "bytes": [byte]});
    let mut expected = [token(b'u', "u"), token(b's', "s")];
    for entry in &mut expected {
        entry["top_logprobs"] = json!([entry.clone()]);
    }
    let logprobs = &body["choices"][0]["logprobs"];
    assert_eq!(*logprobs, json!({"content": expected, "refusal": null}));
    let options = json!({"logprobs": true, "max_tokens": 2, "stream": true});
    let chunks = post(server.address, CHAT, &hello_with(&options)).await.chunks();
    let entries: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .collect();
    assert_eq!(entries.len(), 2, "{chunks:?}");
    assert_eq!(entries[0]["top_logprobs"], json!([]));
}

#[tokio::test]
async fn conversation_reaches_the_model_with_its_roles_and_parts() {
    let server = TestServer::start().await;
    let messages = json!([
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "result"},
        {"role": "user", "content": "c"},
    ]);
    let body = post(server.address, CHAT, &json!({ "messages": messages })).await.json();
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text, "developer: be brief\nuser: a\nb\nassistant: \ntool: result\nuser: c\n");
}

#[tokio::test]
async fn fields_that_are_ignored_are_named_in_a_header() {
    let server = TestServer::start().await;
    let fields = json!({"user": "u", "store": true, "metadata": {"a": 1}, "max_tokens": 1});
    for is_streamed in [false, true] {
        let mut body = hello_with(&fields);
        body["stream"] = is_streamed.into();
        body["messages"][0]["audio"] = 1.into();
        let response = post(server.address, CHAT, &body).await;
        assert_eq!(response.status, 200);
        let header = response.header("x-inference-core-ignored").unwrap();
        let mut names: Vec<&str> = header.split(", ").collect();
        names.sort_unstable();
        assert_eq!(names, ["messages[].audio", "metadata", "store", "user"]);
    }
}

#[tokio::test]
async fn wrong_requests_are_refused_with_the_field() {
    let server = TestServer::start().await;
    let user = json!([{"role": "user", "content": "a"}]);
    for (body, param) in [
        (json!({}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "a"}), "messages"),
        (json!({"messages": [{"role": "robot", "content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "messages[0].content[0].type",
        ),
        (json!({"messages": user, "temperature": 99}), "temperature"),
        (json!({"messages": user, "temperature": "hot"}), "temperature"),
        (json!({"messages": user, "n": 9}), "n"),
        (json!({"messages": user, "top_logprobs": 2}), "top_logprobs"),
        (json!({"messages": user, "tool_choice": "required"}), "tool_choice"),
        (json!({"messages": user, "tools": [{"type": "web"}]}), "tools[0].type"),
        (json!({"messages": user, "response_format": {"type": "xml"}}), "response_format.type"),
        (json!({"messages": user, "continue_final_message": true}), "continue_final_message"),
        (json!({"messages": user, "logit_bias": {"999": 1}}), "logit_bias"),
    ] {
        for is_streamed in [false, true] {
            let mut body = body.clone();
            body["stream"] = is_streamed.into();
            let response = post(server.address, CHAT, &body).await;
            let error = &response.json()["error"];
            assert_eq!(response.status, 400, "{body} {error}");
            assert_eq!(error["param"], param, "{body} {error}");
            assert_eq!(error["type"], "invalid_request_error");
            assert_eq!(error["code"], "invalid_params");
        }
    }
    let response = post_with(server.address, CHAT, "", "{\"messages\": [").await;
    assert_eq!((response.status, &response.json()["error"]["code"]), (400, &json!("bad_json")));
}

#[tokio::test]
async fn prompt_that_is_too_long_is_refused_before_the_stream_begins() {
    let server = TestServer::start().await;
    for is_streamed in [false, true] {
        let message = json!([{"role": "user", "content": "x".repeat(2000)}]);
        let body = json!({"messages": message, "stream": is_streamed});
        let response = post(server.address, CHAT, &body).await;
        assert_eq!(response.status, 400, "{response:?}");
        assert_eq!(response.json()["error"]["code"], "context_length_exceeded");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_get_errors_of_the_api() {
    let server = TestServer::start().await;
    for (method, path, status, kind) in [
        ("GET", "/v1/nothing", 404, "not_found_error"),
        ("POST", "/v1", 404, "not_found_error"),
        ("POST", "/api/generate", 404, "not_found_error"),
        ("GET", "/v1/models/other", 404, "not_found_error"),
        ("GET", CHAT, 405, "invalid_request_error"),
        ("DELETE", "/v1/models", 405, "invalid_request_error"),
    ] {
        let response = get_with(server.address, method, path, "").await;
        let error = &response.json()["error"];
        assert_eq!((response.status, error["type"].as_str()), (status, Some(kind)), "{path}");
    }
    let response = get_with(server.address, "GET", "/other", "").await;
    assert_eq!(response.status, 404);
    assert!(!response.body.starts_with('{'), "{response:?}");
}

#[tokio::test]
async fn model_is_listed_and_found_by_its_name() {
    let server = TestServer::start().await;
    let list = get_with(server.address, "GET", "/v1/models", "").await.json();
    assert_eq!(list["object"], "list");
    let model = &list["data"][0];
    assert_eq!((&model["id"], &model["object"]), (&json!("scripted"), &json!("model")));
    assert_eq!(model["max_model_len"], 1000);
    let named = get_with(server.address, "GET", "/v1/models/scripted", "").await.json();
    assert_eq!(named["id"], "scripted");
}

#[tokio::test]
async fn completion_continues_texts() {
    let server = TestServer::start().await;
    let path = "/v1/completions";
    let body = json!({"prompt": "abc", "logprobs": 1});
    let body = post(server.address, path, &body).await.json();
    assert_eq!(body["object"], "text_completion");
    let choice = &body["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("abc"), &json!("stop")));
    assert_eq!(choice["logprobs"]["tokens"], json!(["a", "b", "c"]));
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 1, 2]));
    assert_eq!(choice["logprobs"]["top_logprobs"][0], json!({"a": 0.0}));
    let body = json!({"prompt": ["ab", "cd"], "n": 2, "max_tokens": 2});
    let body = post(server.address, path, &body).await.json();
    let texts = [0, 1, 2, 3].map(|i| body["choices"][i]["text"].as_str().unwrap());
    assert_eq!(texts, ["ab", "ab", "cd", "cd"]);
    assert_eq!(body["usage"]["prompt_tokens"], 4);
    let body = json!({"prompt": "abc", "stream": true, "stream_options": {"include_usage": true}});
    let chunks = post(server.address, path, &body).await.chunks();
    let texts = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str());
    assert_eq!(texts.collect::<String>(), "abc");
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 3);
    for (body, param) in [
        (json!({}), "prompt"),
        (json!({"prompt": "a", "echo": true}), "echo"),
        (json!({"prompt": "a", "suffix": "b"}), "suffix"),
        (json!({"prompt": "a", "best_of": 2}), "best_of"),
        (json!({"prompt": [[1, -2]]}), "prompt[0][1]"),
    ] {
        let response = post(server.address, path, &body).await;
        assert_eq!(response.json()["error"]["param"], param, "{body}");
    }
}

#[tokio::test]
async fn texts_and_conversations_are_turned_into_tokens_and_back() {
    let server = TestServer::start().await;
    let tokens: Vec<u8> = b"user: hello\n".to_vec();
    for (body, n) in [(json!({"content": "user: hello\n"}), 12), (hello(), 12)] {
        let reply = post(server.address, "/tokenize", &body).await.json();
        assert_eq!((&reply["tokens"], &reply["count"]), (&json!(tokens), &json!(n)), "{body}");
    }
    let body = json!({ "tokens": tokens });
    let reply = post(server.address, "/detokenize", &body).await.json();
    assert_eq!(reply["content"], "user: hello\n");
    let reply = post(server.address, "/apply-template", &hello()).await.json();
    assert_eq!(reply, json!({"prompt": "user: hello\n"}));
    for (path, body, param) in [
        ("/tokenize", json!({}), "content"),
        ("/apply-template", json!({"content": "a"}), "messages"),
        ("/detokenize", json!({"tokens": [257]}), "tokens"),
        ("/detokenize", json!({"tokens": ["a"]}), "tokens[0]"),
    ] {
        let response = post(server.address, path, &body).await;
        assert_eq!((response.status, &response.json()["error"]["param"]), (400, &json!(param)));
    }
}

#[tokio::test]
async fn connection_serves_one_request_after_another() {
    let server = TestServer::start().await;
    let mut connection = ApiConnection::open(server.address).await;
    for _ in 0..20 {
        connection.post(CHAT, &hello()).await;
        connection.until("user: hello").await;
        connection.until("}\n").await;
        connection.post(CHAT, &hello_with(&json!({"stream": true}))).await;
        connection.until("[DONE]").await;
        connection.until("0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn failure_in_the_middle_of_a_stream_is_its_last_event() {
    let server = Setup::by_hand().start().await;
    let mut connection = ApiConnection::open(server.address).await;
    connection.post(CHAT, &hello_with(&json!({"stream": true, "ignore_eos": true}))).await;
    server.step_until(|now| now.numbers.active == 1).await;
    server.pace.allow(2);
    connection.until("\"content\":\"u\"").await;
    server.model.stop();
    let end = connection.until("0\r\n\r\n").await;
    assert!(end.contains("\"code\":\"shutting_down\"") && !end.contains("[DONE]"), "{end}");
}

#[tokio::test]
async fn fields_of_conversations_have_no_effect_on_completions_and_are_named() {
    let server = TestServer::start().await;
    let body = json!({
        "prompt": "a", "max_tokens": 1, "tools": [], "tool_choice": "none", "documents": [],
        "parallel_tool_calls": true, "chat_template_kwargs": {}, "reasoning_effort": "low",
        "enable_thinking": true, "reasoning_budget": 3, "continue_final_message": false,
        "add_generation_prompt": true, "top_logprobs": 1, "content": "b",
    });
    let response = post(server.address, "/v1/completions", &body).await;
    assert_eq!(response.status, 200, "{response:?}");
    let mut names: Vec<_> =
        response.header("x-inference-core-ignored").unwrap().split(", ").collect();
    names.sort_unstable();
    let mut expected: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    expected.retain(|name| !["prompt", "max_tokens"].contains(name));
    expected.sort_unstable();
    assert_eq!(names, expected);
}
