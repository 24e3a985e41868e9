//! Tests of the events of a response.

use serde_json::{Value, json};

use super::*;
use crate::server::json::read_body;
use crate::server::openai::responses::request::ResponsesRequest;

fn stream_of(body: &str) -> ResponseStream {
    let (body, ignored) = read_body(body).unwrap();
    let request = ResponsesRequest::new(body, ignored).unwrap();
    let facts = ResponseFacts {
        id: "resp_a1".to_owned(),
        created_at: 1,
        model: "m".to_owned(),
        settings: request.settings,
        warnings: request.ignored.names().to_vec(),
    };
    ResponseStream::new(Arc::new(facts), request.names, None)
}

fn parsed(events: &[ResponseEvent]) -> Vec<Value> {
    let parse = |(number, event): (usize, &ResponseEvent)| {
        let value: Value = serde_json::from_str(&event.json).unwrap();
        assert_eq!(value["type"], event.name);
        assert_eq!(value["sequence_number"], number);
        value
    };
    events.iter().enumerate().map(parse).collect()
}

fn usage() -> Usage {
    let reasoning_tokens = 2;
    Usage { prompt_tokens: 5, cached_tokens: 2, tokens: 4, reasoning_tokens, ..Usage::default() }
}

/// The events of reasoning, text and a call.
const WHOLE_ANSWER: [&str; 20] = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_text.delta",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "response.completed",
];

fn check_items(events: &[Value]) {
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[2]["item"]["content"], json!([]));
    assert_eq!(events[8]["item"]["content"][0], json!({"type": "reasoning_text", "text": "hm"}));
    assert_eq!(events[11]["delta"], "ok");
    assert_eq!(events[11]["output_index"], 1);
    let call = json!({"type": "function_call", "id": "fc_a102", "call_id": "call_a102", "name": "f",
        "namespace": "n", "arguments": "{}", "status": "completed"});
    assert_eq!(events[18]["item"], call);
}

#[test]
fn answer_with_reasoning_text_and_a_call_has_the_events_of_the_standard() {
    let mut stream = stream_of(
        r#"{"input":"hi","metadata":{"a":"b"},"mystery":1,"tools":[{"type":"namespace","name":"n",
        "tools":[{"type":"function","name":"f"}]}]}"#,
    );
    let mut events = Vec::new();
    stream.begin(&mut events);
    for event in [
        AnswerEvent::Reasoning("h".to_owned()),
        AnswerEvent::Reasoning("m".to_owned()),
        AnswerEvent::Text("ok".to_owned()),
        AnswerEvent::CallBegan { name: "n__f".to_owned() },
        AnswerEvent::CallArguments("{}".to_owned()),
        AnswerEvent::CallEnded,
    ] {
        stream.push(event, &mut events);
    }
    stream.finish(FinishReason::Stop, &usage(), &mut events);
    let names: Vec<&str> = events.iter().map(|event| event.name).collect();
    assert_eq!(names, WHOLE_ANSWER);
    let events = parsed(&events);
    check_items(&events);
    let response = &events[19]["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"].as_array().unwrap().len(), 3);
    assert_eq!(response["metadata"], json!({"a": "b"}));
    assert_eq!(response["warnings"], json!(["mystery"]));
    let tokens = json!({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 9});
    assert_eq!(response["usage"], tokens);
    assert_eq!(serde_json::from_str::<Value>(&stream.json()).unwrap(), *response);
    let items: Vec<ResponseItem> = stream.items().into_iter().map(|(_, item)| item).collect();
    assert_eq!(items[0], ResponseItem::Reasoning("hm".to_owned()));
    let ResponseItem::Call(call) = &items[2] else { panic!("{items:?}") };
    assert_eq!((&*call.name, &*call.id), ("n__f", "call_a102"));
}

#[test]
fn answer_that_a_limit_cuts_is_incomplete() {
    for reason in [FinishReason::MaxTokens, FinishReason::ContextFull] {
        let mut stream = stream_of(r#"{"input":"hi"}"#);
        let mut events = Vec::new();
        stream.push(AnswerEvent::Text("o".to_owned()), &mut events);
        stream.finish(reason, &usage(), &mut events);
        let events = parsed(&events);
        let done = &events[events.len() - 2];
        assert_eq!(done["item"]["status"], "incomplete");
        let last = &events[events.len() - 1];
        assert_eq!(last["type"], "response.incomplete");
        let details = json!({"reason": "max_output_tokens"});
        assert_eq!(last["response"]["incomplete_details"], details);
    }
}

#[test]
fn failed_answer_keeps_its_text_and_says_why() {
    let mut stream = stream_of(r#"{"input":"hi"}"#);
    let mut events = Vec::new();
    stream.push(AnswerEvent::Text("o".to_owned()), &mut events);
    stream.fail("server_error", "broken".to_owned(), &mut events);
    let events = parsed(&events);
    let response = &events[events.len() - 1]["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"], json!({"code": "server_error", "message": "broken"}));
    assert_eq!(response["output"][0]["content"][0]["text"], "o");
}

#[test]
fn deltas_together_are_the_text_of_their_item() {
    let mut stream = stream_of(r#"{"input":"hi"}"#);
    let mut events = Vec::new();
    for text in ["a", "", "b", "c"] {
        stream.push(AnswerEvent::Text(text.to_owned()), &mut events);
    }
    stream.push(AnswerEvent::Warning("odd".to_owned()), &mut events);
    stream.finish(FinishReason::Stop, &usage(), &mut events);
    let events = parsed(&events);
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, "abc");
    let last = &events[events.len() - 1]["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], "abc");
    assert_eq!(last["warnings"], json!(["odd"]));
}

#[test]
fn broken_call_is_incomplete_and_text_for_the_next_turn() {
    let mut stream = stream_of(r#"{"input":"hi","tools":[{"type":"function","name":"f"}]}"#);
    let mut events = Vec::new();
    for event in [
        AnswerEvent::CallBegan { name: "f".to_owned() },
        AnswerEvent::CallArguments(r#"{"a"#.to_owned()),
        AnswerEvent::CallBroken,
        AnswerEvent::Text(" oh".to_owned()),
    ] {
        stream.push(event, &mut events);
    }
    stream.finish(FinishReason::Stop, &usage(), &mut events);
    let output = &parsed(&events).pop().unwrap()["response"]["output"];
    assert_eq!(output[0]["status"], "incomplete");
    assert_eq!(output[1]["content"][0]["text"], " oh");
    let items: Vec<ResponseItem> = stream.items().into_iter().map(|(_, item)| item).collect();
    let message =
        |text: &str| ResponseItem::Message { role: Role::Assistant, text: text.to_owned() };
    assert_eq!(items, [message("{\"a"), message(" oh")]);
}

#[test]
fn events_of_a_lane_have_its_id() {
    let mut stream = stream_of(r#"{"input":"hi"}"#);
    stream.writer = EventWriter::new(Some("lane".to_owned()));
    let mut events = Vec::new();
    stream.begin(&mut events);
    stream.finish(FinishReason::Stop, &usage(), &mut events);
    let events = parsed(&events);
    assert!(events.iter().all(|event| event["stream_id"] == "lane"), "{events:?}");
    assert_eq!(events[2]["response"]["output"], json!([]));
}
