//! Calls of tools, stop strings and thinking, as each API tells them.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::common::{ApiConnection, Client, GUARD, Setup, TestServer, get_with, http_get, post};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";

/// A server with space for long answers.
async fn server() -> TestServer {
    let mut setup = Setup::default();
    (setup.limits.slot_tokens, setup.engine.ctx_size) = (20_000, 10_000);
    setup.start().await
}

/// The answer that the scripted model gives to `content`, in what all APIs have in common.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    text: String,
    /// Names and arguments.
    calls: Vec<(String, String)>,
    finish: String,
    warnings: Vec<String>,
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().map(|list| list.iter().map(string).collect()).unwrap_or_default()
}

/// The tools `f`, in OpenAI's form.
fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f"}}])
}

fn chat_body(say: &str, is_parallel: bool) -> Value {
    json!({"messages": [{"role": "user", "content": format!("say {say}")}], "tools": tools(),
        "parallel_tool_calls": is_parallel})
}

async fn chat(server: &TestServer, say: &str, is_parallel: bool) -> Told {
    let body = post(server.address, CHAT, &chat_body(say, is_parallel)).await.json();
    let choice = &body["choices"][0];
    let calls = choice["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
    let call =
        |call: &Value| (string(&call["function"]["name"]), string(&call["function"]["arguments"]));
    Told {
        text: string(&choice["message"]["content"]),
        calls: calls.iter().map(call).collect(),
        finish: string(&choice["finish_reason"]),
        warnings: strings(&body["warnings"]),
    }
}

async fn streamed_chat(server: &TestServer, say: &str, is_parallel: bool) -> Told {
    let mut body = chat_body(say, is_parallel);
    body["stream"] = true.into();
    let chunks = post(server.address, CHAT, &body).await.chunks();
    let mut told = Told {
        text: String::new(),
        calls: Vec::new(),
        finish: String::new(),
        warnings: Vec::new(),
    };
    for chunk in &chunks {
        let choice = &chunk["choices"][0];
        told.text += choice["delta"]["content"].as_str().unwrap_or_default();
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = call["function"]["name"].as_str() {
                told.calls.push((name.to_owned(), String::new()));
            }
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            told.calls.last_mut().unwrap().1 += arguments;
        }
        told.finish += choice["finish_reason"].as_str().unwrap_or_default();
        told.warnings.extend(strings(&chunk["warnings"]));
    }
    told
}

async fn message(server: &TestServer, say: &str, is_parallel: bool) -> Told {
    let choice = json!({"type": "auto", "disable_parallel_tool_use": !is_parallel});
    let body = json!({"max_tokens": 9000, "tool_choice": choice,
        "messages": [{"role": "user", "content": format!("say {say}")}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
    let body = post(server.address, MESSAGES, &body).await.json();
    let mut calls = Vec::new();
    let mut text = String::new();
    for block in body["content"].as_array().unwrap() {
        match &block["type"] {
            kind if kind == "text" => text += block["text"].as_str().unwrap(),
            _ => calls.push((string(&block["name"]), block["input"].to_string())),
        }
    }
    // The names of OpenAI, to compare.
    let finish = match body["stop_reason"].as_str().unwrap() {
        "tool_use" => "tool_calls",
        "end_turn" => "stop",
        other => other,
    };
    Told { text, calls, finish: finish.to_owned(), warnings: strings(&body["warnings"]) }
}

async fn response(server: &TestServer, say: &str, is_parallel: bool) -> Told {
    let body = json!({"input": format!("say {say}"), "parallel_tool_calls": is_parallel,
        "tools": [{"type": "function", "name": "f"}]});
    let body = post(server.address, RESPONSES, &body).await.json();
    assert_eq!(body["status"], "completed", "{body}");
    let mut calls = Vec::new();
    let mut text = String::new();
    for item in body["output"].as_array().unwrap() {
        match &item["type"] {
            kind if kind == "message" => text += item["content"][0]["text"].as_str().unwrap(),
            _ => calls.push((string(&item["name"]), string(&item["arguments"]))),
        }
    }
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    Told { text, calls, finish: finish.to_owned(), warnings: strings(&body["warnings"]) }
}

async fn frames(server: &TestServer, say: &str, is_parallel: bool) -> Told {
    let mut client = Client::connect(server).await;
    let content = format!("say {say}");
    client
        .send(json!({"op": "infer", "messages": [{"role": "user", "content": content}],
            "tools": tools(), "parallel_tool_calls": is_parallel}))
        .await;
    let mut told = Told {
        text: String::new(),
        calls: Vec::new(),
        finish: String::new(),
        warnings: Vec::new(),
    };
    loop {
        let frame = client.frame().await;
        match frame["op"].as_str().unwrap() {
            "token" => told.text += frame["content"].as_str().unwrap(),
            "tool_call" => {
                if let Some(name) = frame["name"].as_str() {
                    told.calls.push((name.to_owned(), String::new()));
                }
                told.calls.last_mut().unwrap().1 += frame["arguments"].as_str().unwrap();
            }
            "end" => {
                told.finish = string(&frame["finish_reason"]);
                told.warnings = strings(&frame["warnings"]);
                return told;
            }
            _ => {}
        }
    }
}

/// What each API tells of an answer.
async fn of_all(server: &TestServer, say: &str, is_parallel: bool) -> [(&'static str, Told); 5] {
    [
        ("chat", chat(server, say, is_parallel).await),
        ("streamed chat", streamed_chat(server, say, is_parallel).await),
        ("message", message(server, say, is_parallel).await),
        ("response", response(server, say, is_parallel).await),
        ("frames", frames(server, say, is_parallel).await),
    ]
}

const CALL: &str = r#"<tool_call>{"name": "f", "arguments": {"a":1}}</tool_call>"#;

#[tokio::test]
async fn answer_without_parallel_calls_ends_after_the_first() {
    let server = server().await;
    // It would go on until the context is full.
    let say = format!("loop {CALL}");
    for (api, told) in of_all(&server, &say, false).await {
        let calls = vec![("f".to_owned(), r#"{"a":1}"#.to_owned())];
        let (text, finish) = ("loop ".to_owned(), "tool_calls".to_owned());
        assert_eq!(told, Told { text, calls, finish, warnings: Vec::new() }, "{api}");
    }
    server.until(|now| now.numbers.active == 0).await;
    for (api, told) in of_all(&server, &format!("{CALL}{CALL}"), true).await {
        assert_eq!(told.calls.len(), 2, "{api}");
    }
}

#[tokio::test]
async fn call_of_a_tool_that_the_request_lacks_is_text_with_a_warning() {
    let server = server().await;
    let say = CALL.replace("\"f\"", "\"g\"") + " tail";
    for (api, told) in of_all(&server, &say, true).await {
        assert_eq!((&told.text, &told.finish), (&say, &"stop".to_owned()), "{api}");
        assert!(told.calls.is_empty(), "{api}: {told:?}");
        assert!(told.warnings[0].contains("no tool \"g\""), "{api}: {told:?}");
    }
}

#[tokio::test]
async fn text_after_a_call_keeps_its_space() {
    let server = server().await;
    for (api, told) in of_all(&server, &format!("{CALL} tail"), true).await {
        assert_eq!((told.text.as_str(), told.calls.len()), (" tail", 1), "{api}");
    }
}

#[tokio::test]
async fn long_call_that_breaks_is_no_call() {
    let server = server().await;
    let long = "x".repeat(2000);
    let say = format!("<tool_call>{{\"name\": \"f\", \"arguments\": {{\"a\": \"{long}\" oh");
    for (api, told) in of_all(&server, &say, true).await {
        assert_eq!(told.finish, "stop", "{api}: {told:?}");
        assert_eq!(told.warnings.len(), 1, "{api}: {told:?}");
        if api.starts_with("streamed") || api == "frames" {
            // What was told cannot be taken back.
            assert!(told.calls[0].1.starts_with("{\"a\": \"xxx"), "{api}: {told:?}");
            assert_eq!(told.text, "oh", "{api}");
        } else {
            assert_eq!((&told.text, told.calls.len()), (&say, 0), "{api}");
        }
    }
}

#[tokio::test]
async fn stop_string_is_told_to_those_who_ask() {
    let server = server().await;
    let messages = json!([{"role": "user", "content": "say one END two"}]);
    let mut body = json!({"messages": messages, "max_tokens": 100, "stop_sequences": ["x", "END"]});
    let whole = post(server.address, MESSAGES, &body).await.json();
    assert_eq!(whole["content"][0]["text"], "one ");
    let reason = |value: &Value| (string(&value["stop_reason"]), string(&value["stop_sequence"]));
    let expected = ("stop_sequence".to_owned(), "END".to_owned());
    assert_eq!(reason(&whole), expected);
    body["stream"] = true.into();
    let events = post(server.address, MESSAGES, &body).await.events();
    let end: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!(reason(&end["delta"]), expected);

    let mut client = Client::connect(&server).await;
    let mut frame = json!({"op": "infer", "messages": messages, "reasoning": true,
        "params": {"stop": ["x", "END"]}});
    client.send(frame.clone()).await;
    assert_eq!(client.expect_answer(None).await.end["stop"], "END");
    frame["reasoning"] = false.into();
    client.send(frame).await;
    assert_eq!(client.expect_answer(None).await.end.get("stop"), None);
}

#[tokio::test]
async fn log_probabilities_end_where_the_stop_string_cuts_the_text() {
    let server = server().await;
    let mut body = json!({"messages": [{"role": "user", "content": "say one END two"}],
        "logprobs": true, "stop": "END"});
    let whole = post(server.address, CHAT, &body).await.json();
    let tokens = |choice: &Value| -> String {
        let tokens = choice["logprobs"]["content"].as_array();
        tokens.into_iter().flatten().map(|token| token["token"].as_str().unwrap()).collect()
    };
    assert_eq!(whole["choices"][0]["message"]["content"], "one ");
    assert_eq!(tokens(&whole["choices"][0]), "one ");
    body["stream"] = true.into();
    let chunks = post(server.address, CHAT, &body).await.chunks();
    assert_eq!(chunks.iter().map(|chunk| tokens(&chunk["choices"][0])).collect::<String>(), "one ");
}

#[tokio::test]
async fn tokens_of_thinking_are_counted() {
    let server = server().await;
    let say = "<think>Hm.</think>\nSo.";
    let body = json!({"messages": [{"role": "user", "content": format!("say {say}")}]});
    let usage = post(server.address, CHAT, &body).await.json()["usage"].clone();
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 3);
    assert_eq!(usage["completion_tokens"], say.len());
    let body = json!({"input": format!("say {say}")});
    let usage = post(server.address, RESPONSES, &body).await.json()["usage"].clone();
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 3);
}

#[tokio::test]
async fn call_that_is_held_back_is_charged() {
    let mut setup = Setup::by_hand();
    (setup.limits.slot_tokens, setup.engine.ctx_size) = (200_000, 100_000);
    let server = setup.start().await;
    // Without its name it is never told.
    let say = format!("<tool_call>{{\"arguments\": {{\"a\": \"{}", "x".repeat(20_000));
    let mut connection = ApiConnection::open(server.address).await;
    let body = json!({"messages": [{"role": "user", "content": format!("say {say}")}],
        "tools": tools(), "stream": true});
    connection.post(CHAT, &body).await;
    let charged = async || -> usize {
        let (_, page) = http_get(server.address, "/metrics").await;
        let name = "inference_core_message_memory_bytes ";
        let value = page.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.parse::<f64>().unwrap() as usize
    };
    let until_generated = async |n: u64| {
        server
            .until(|now| {
                let has_enough = now.numbers.tokens_total >= n;
                server.pace.allow(if has_enough { 0 } else { 100 });
                has_enough
            })
            .await;
    };
    until_generated(500).await;
    let few = charged().await;
    until_generated(8000).await;
    // Four times the text: that of the parser, and that of the reader.
    let growing = async { while charged().await < few + 4 * 4000 {} };
    timeout(GUARD, growing).await.expect("what is held back is charged");
}

#[tokio::test]
async fn allowed_page_may_read_every_page() {
    let mut setup = Setup::default();
    setup.server.allowed_origins = vec!["https://chat.example".parse().unwrap()];
    let server = setup.start().await;
    for path in ["/health", "/healthz", "/readyz", "/metrics"] {
        for (origin, expected) in
            [("https://chat.example", Some("https://chat.example")), ("https://evil.example", None)]
        {
            let fields = format!("Origin: {origin}\r\n");
            let response = get_with(server.address, "GET", path, &fields).await;
            assert_eq!(response.status, 200, "{path}");
            assert_eq!(response.header("access-control-allow-origin"), expected, "{path}");
        }
    }
}
