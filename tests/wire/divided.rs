//! Answers that are divided into thinking, text and calls of tools.

use serde_json::{Value, json};

use crate::common::{Client, Setup, TestServer, http, upgrade_request};

/// The frames of the answer to `content`, which the scripted model repeats, with further fields.
async fn frames_of(content: &str, fields: Value) -> Vec<Value> {
    let mut setup = Setup::default();
    (setup.limits.slot_tokens, setup.engine.ctx_size) = (20_000, 10_000);
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    let mut frame = json!({"op": "infer", "messages": [{"role": "user", "content": content}]});
    for (name, value) in fields.as_object().unwrap() {
        frame[name] = value.clone();
    }
    client.send(frame).await;
    let mut frames = Vec::new();
    loop {
        frames.push(client.frame().await);
        if frames.last().unwrap()["op"] == "end" {
            return frames;
        }
    }
}

/// The field `name` of all frames with this `op`, joined.
fn joined(frames: &[Value], op: &str, name: &str) -> String {
    let frames = frames.iter().filter(|frame| frame["op"] == op);
    frames.map(|frame| frame[name].as_str().unwrap()).collect()
}

const ANSWER: &str =
    "<think>Hm.</think>\nSo: <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";

#[tokio::test]
async fn request_without_tools_and_reasoning_gets_its_answer_as_it_is() {
    let frames = frames_of(ANSWER, json!({"params": {"max_tokens": 1000}})).await;
    assert_eq!(joined(&frames, "token", "content"), format!("user: {ANSWER}\n"));
    let end = frames.last().unwrap();
    assert_eq!((&end["finish_reason"], end.get("limit")), (&json!("stop"), None));
    let frames = frames_of(ANSWER, json!({"params": {"max_tokens": 5}})).await;
    let end = frames.last().unwrap();
    assert_eq!((&end["finish_reason"], end.get("limit")), (&json!("length"), None));
}

#[tokio::test]
async fn request_with_tools_gets_thinking_text_and_calls_apart() {
    let frames = frames_of(ANSWER, json!({"tools": [{"name": "f"}]})).await;
    assert_eq!(joined(&frames, "reasoning", "content"), "Hm.");
    assert_eq!(joined(&frames, "token", "content"), "user: So: ");
    let calls: Vec<_> = frames.iter().filter(|frame| frame["op"] == "tool_call").collect();
    let [call] = calls[..] else { panic!("{calls:?}") };
    assert_eq!((&call["index"], &call["name"]), (&json!(0), &json!("f")));
    assert_eq!(call["arguments"], "{}");
    assert_eq!(call["call_id"].as_str().unwrap().len(), 9);
    assert_eq!(frames.last().unwrap()["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn request_with_reasoning_alone_gets_calls_as_text() {
    let frames = frames_of(ANSWER, json!({"reasoning": true})).await;
    assert_eq!(joined(&frames, "reasoning", "content"), "Hm.");
    let (_, text) = ANSWER.split_once('\n').unwrap();
    assert_eq!(joined(&frames, "token", "content"), format!("user: {text}\n"));
    assert_eq!(frames.last().unwrap()["finish_reason"], "stop");
}

#[tokio::test]
async fn call_that_breaks_is_text_and_the_end_warns() {
    let answer = "<tool_call>{\"name\": \"f\", \"arguments\": {oops}}</tool_call>";
    let frames = frames_of(answer, json!({"tools": [{"name": "f"}], "colour": 1})).await;
    assert_eq!(joined(&frames, "token", "content"), format!("user: {answer}\n"));
    let end = frames.last().unwrap();
    assert_eq!(end["finish_reason"], "stop");
    let warnings = end["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().starts_with("colour"), "{warnings:?}");
    assert!(warnings[1].as_str().unwrap().contains("call of a tool"), "{warnings:?}");
}

#[tokio::test]
async fn long_arguments_come_in_frames_and_may_be_cut_by_max_tokens() {
    let arguments = format!("{{\"text\": \"{}\"}}", "word ".repeat(600));
    let answer = format!("<tool_call>{{\"name\": \"f\", \"arguments\": {arguments}}}</tool_call>");
    let frames = frames_of(&answer, json!({"tools": [{"name": "f"}]})).await;
    assert_eq!(joined(&frames, "tool_call", "arguments"), arguments);
    let named = frames.iter().filter(|frame| frame.get("call_id").is_some());
    assert_eq!(named.count(), 1);
    assert_eq!(frames.last().unwrap()["finish_reason"], "tool_calls");

    let cut = json!({"tools": [{"name": "f"}], "params": {"max_tokens": 2000}});
    let frames = frames_of(&answer, cut).await;
    assert!(arguments.starts_with(&joined(&frames, "tool_call", "arguments")));
    let end = frames.last().unwrap();
    assert_eq!((&end["finish_reason"], &end["limit"]), (&json!("length"), &json!("max_tokens")));
    assert!(end["warnings"][0].as_str().unwrap().contains("is not complete"), "{end}");
}

#[tokio::test]
async fn answer_that_fills_the_context_says_so() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let messages = json!([{"role": "user", "content": "x"}]);
    let params = json!({"ignore_eos": true});
    client
        .send(json!({"op": "infer", "messages": messages, "reasoning": true, "params": params}))
        .await;
    let end = client.expect_terminal().await;
    assert_eq!((&end["finish_reason"], &end["limit"]), (&json!("length"), &json!("context")));
}

#[tokio::test]
async fn every_token_of_a_divided_answer_has_its_logprobs() {
    let fields = json!({"tools": [{"name": "f"}], "params": {"logprobs": 1}});
    let frames = frames_of(ANSWER, fields).await;
    let tokens = frames.iter().filter_map(|frame| frame["logprobs"].as_array());
    let n_tokens: usize = tokens.map(Vec::len).sum();
    assert_eq!(n_tokens as u64, frames.last().unwrap()["stats"]["tokens"].as_u64().unwrap());
}

#[tokio::test]
async fn address_with_metrics_0_gets_no_metrics_until_it_asks() {
    let server = TestServer::start().await;
    let mut quiet = Client::connect_to(&server, "/?x=1&metrics=0").await;
    let mut other = Client::connect_to(&server, "/?metrics=1").await;
    other.expect_metrics(|_| true).await;
    other.expect_metrics(|_| true).await;
    quiet.send(json!({"op": "ping"})).await;
    assert_eq!(quiet.any_frame().await["op"], "pong");
    quiet.send(json!({"op": "subscribe_metrics"})).await;
    quiet.expect("metrics_subscribed").await;
    quiet.expect_metrics(|_| true).await;

    let host = format!("Host: {}\r\n", server.address);
    let (status, body) = http(server.address, &upgrade_request("/?metrics=no", &host)).await;
    assert_eq!(status, 400, "{body}");
}
