//! Tests of the events of a message.

use serde_json::Value;

use super::*;

fn usage() -> Usage {
    Usage { prompt_tokens: 5, cached_tokens: 2, tokens: 4, ..Usage::default() }
}

fn ended(reason: FinishReason) -> GenerationEnd {
    GenerationEnd { reason, stop: None, usage: usage(), warnings: Vec::new() }
}

fn answered(parts: Vec<AnswerEvent>, end: &GenerationEnd) -> (Vec<Value>, Value) {
    let mut stream = MessageStream::new("msg_a1".to_owned(), "m".to_owned());
    let mut events = Vec::new();
    stream.begin(&mut events);
    for part in parts {
        stream.push(part, &mut events);
    }
    stream.finish(end, &mut events);
    let parse = |event: &MessageEvent| {
        let value: Value = serde_json::from_str(&event.json).unwrap();
        assert_eq!(value["type"], event.name);
        value
    };
    let message = serde_json::from_str(&stream.message(end)).unwrap();
    (events.iter().map(parse).collect(), message)
}

#[test]
fn answer_with_thinking_text_and_a_call_has_the_events_of_the_api() {
    let (events, message) = answered(
        vec![
            AnswerEvent::Reasoning("hm".to_owned()),
            AnswerEvent::Text("o".to_owned()),
            AnswerEvent::Text("k".to_owned()),
            AnswerEvent::CallBegan { name: "f".to_owned() },
            AnswerEvent::CallArguments(r#"{"a":"#.to_owned()),
            AnswerEvent::CallArguments("1}".to_owned()),
            AnswerEvent::CallEnded,
        ],
        &ended(FinishReason::Stop),
    );
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| match &event["delta"]["type"] {
            Value::String(kind) => kind,
            _ => event["type"].as_str().unwrap(),
        })
        .collect();
    let expected = [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "text_delta",
        "content_block_stop",
        "content_block_start",
        "input_json_delta",
        "input_json_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
    let usage = json!({"input_tokens": 3, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2, "output_tokens": 4});
    assert_eq!(events[13]["usage"], usage);
    assert_eq!(events[13]["delta"]["stop_reason"], "tool_use");
    let whole = json!({"id": "msg_a1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "ok"},
            {"type": "tool_use", "id": "toolu_a102", "name": "f", "input": {"a": 1}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": usage});
    assert_eq!(message, whole);
}

#[test]
fn limit_is_the_stop_reason_and_cut_arguments_are_text() {
    let call = vec![
        AnswerEvent::CallBegan { name: "f".to_owned() },
        AnswerEvent::CallArguments(r#"{"a"#.to_owned()),
    ];
    let (_, message) = answered(call, &ended(FinishReason::MaxTokens));
    assert_eq!(message["stop_reason"], "max_tokens");
    assert_eq!(message["content"], json!([{"type": "text", "text": "{\"a"}]));
    let (events, message) = answered(Vec::new(), &ended(FinishReason::ContextFull));
    assert_eq!(message["stop_reason"], "model_context_window_exceeded");
    assert_eq!(events.len(), 3);
}

#[test]
fn stop_string_is_the_stop_reason_unless_a_tool_was_called() {
    let end = GenerationEnd { stop: Some("END".to_owned()), ..ended(FinishReason::Stop) };
    let (events, message) = answered(Vec::new(), &end);
    let expected = json!({"stop_reason": "stop_sequence", "stop_sequence": "END"});
    assert_eq!(events[1]["delta"], expected);
    assert_eq!(
        (&message["stop_reason"], &message["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    let call = vec![
        AnswerEvent::CallBegan { name: "f".to_owned() },
        AnswerEvent::CallArguments("{}".to_owned()),
        AnswerEvent::CallEnded,
    ];
    let (_, message) = answered(call, &end);
    assert_eq!(message["stop_reason"], "tool_use");
}

#[test]
fn broken_call_is_no_reason_to_wait_for_results() {
    let call = vec![
        AnswerEvent::CallBegan { name: "f".to_owned() },
        AnswerEvent::CallArguments(r#"{"a"#.to_owned()),
        AnswerEvent::CallBroken,
        AnswerEvent::Text(" oh".to_owned()),
    ];
    let (_, message) = answered(call, &ended(FinishReason::Stop));
    assert_eq!(message["stop_reason"], "end_turn");
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(message["content"], json!([text("{\"a"), text(" oh")]));
}
