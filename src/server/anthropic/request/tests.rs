//! Tests of what becomes of a body.

use super::*;
use crate::domain::ToolCall;
use crate::server::json::read_body;

fn read(text: &str) -> Result<MessagesRequest, String> {
    read_with(text, false)
}

fn read_with(text: &str, keeps_attribution: bool) -> Result<MessagesRequest, String> {
    let (body, ignored) = read_body(text).map_err(|error| error.to_string())?;
    MessagesRequest::new(body, ignored, keeps_attribution).map_err(|error| error.to_string())
}

#[test]
fn turn_of_an_agent_becomes_a_conversation_and_parameters() {
    let request = read(
        r#"{"model":"claude","max_tokens":100,"stream":true,"temperature":1,"top_k":5,
        "stop_sequences":["\n\nHuman:"],"thinking":{"type":"enabled","budget_tokens":50},
        "metadata":{"user_id":"u"},"context_management":{},
        "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=abcde;"},
            {"type":"text","text":"be short","cache_control":{"type":"ephemeral"}}],
        "tools":[{"name":"f","description":"d","input_schema":{"type":"object"}},
            {"type":"web_search_20250305","name":"web_search"}],
        "tool_choice":{"type":"auto","disable_parallel_tool_use":true},
        "messages":[{"role":"user","content":"hi"},
            {"role":"user","content":[{"type":"text","text":"there"}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},
                {"type":"text","text":"ok"},
                {"type":"tool_use","id":"t1","name":"f","input":{"a":1}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1",
                "content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},
                {"type":"text","text":"go on"}]}]}"#,
    )
    .unwrap();
    let call = ToolCall {
        id: "t1".to_owned(),
        name: "f".to_owned(),
        arguments: JsonText(r#"{"a":1}"#.to_owned()),
    };
    let expected = [
        Message::text(Role::System, "be short"),
        Message::text(Role::User, "hi\nthere"),
        Message {
            reasoning: Some("hm".to_owned()),
            tool_calls: vec![call],
            ..Message::text(Role::Assistant, "ok")
        },
        Message {
            tool_call_id: Some("t1".to_owned()),
            name: Some("f".to_owned()),
            ..Message::text(Role::Tool, "1\n2")
        },
        Message::text(Role::User, "go on"),
    ];
    let MessagesRequest { conversation, params, is_stream, ignored, .. } = request;
    assert_eq!(conversation.messages, expected);
    assert_eq!(conversation.tools.len(), 1);
    assert!(is_stream && !conversation.parallel_tool_calls && !conversation.continues_last);
    assert_eq!(
        (params.max_tokens, params.reasoning_budget, params.top_k),
        (Some(100), Some(50), 5)
    );
    assert_eq!(params.stop, ["\n\nHuman:"]);
    assert_eq!(ignored.names(), ["context_management", "tools[1] (web_search_20250305)"]);
}

#[test]
fn attribution_does_not_change_the_conversation_and_can_be_kept() {
    let body = |cch: &str| {
        format!(
            r#"{{"system":[{{"type":"text","text":"x-anthropic-billing-header: a; cch={cch};"}},
            {{"type":"text","text":"s"}}],"messages":[{{"role":"user","content":"hi"}}]}}"#
        )
    };
    assert_eq!(read(&body("1")).unwrap().conversation, read(&body("2")).unwrap().conversation);
    let body = body("1");
    let kept = read_with(&body, true).unwrap().conversation;
    assert_eq!(kept.messages[0].content, "x-anthropic-billing-header: a; cch=1;\n\ns");
}

#[test]
fn last_message_of_the_assistant_is_continued() {
    let text = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#;
    let conversation = read(text).unwrap().conversation;
    assert!(conversation.continues_last);
    assert_eq!(conversation.messages[1], Message::text(Role::Assistant, "b"));
}

#[test]
fn tool_choice_and_formats_are_read() {
    let body = |rest: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"a"}}],"tools":[{{"name":"f"}}],{rest}}}"#
        )
    };
    let choice = |rest| read(&body(rest)).unwrap().conversation.tool_choice;
    assert_eq!(choice(r#""tool_choice":{"type":"any"}"#), ToolChoice::Required);
    assert_eq!(choice(r#""tool_choice":{"type":"none"}"#), ToolChoice::None);
    let named = choice(r#""tool_choice":{"type":"tool","name":"f"}"#);
    assert_eq!(named, ToolChoice::Named("f".to_owned()));
    let schema = Constraint::JsonSchema(JsonText("{}".to_owned()));
    for rest in [
        r#""output_format":{"type":"json_schema","schema":{}}"#,
        r#""output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}}"#,
    ] {
        assert_eq!(
            read(&body(rest)).unwrap().params.constraint.as_deref(),
            Some(&schema),
            "{rest}"
        );
    }
}

#[test]
fn unusable_request_is_refused_with_the_path_of_the_field() {
    let user = r#""messages":[{"role":"user","content":"a"}]"#;
    for (text, expected) in [
        ("{}".to_owned(), "messages is missing"),
        (r#"{"messages":[]}"#.to_owned(), "messages must have at least one message"),
        (
            r#"{"messages":[{"role":"bot","content":"a"}]}"#.to_owned(),
            "messages[0].role must be user, assistant or system, not \"bot\"",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}"#.to_owned(),
            "messages[0].content[0].type must be text, not \"image\": the model reads text only",
        ),
        (
            r#"{"messages":[{"role":"user","content":3}]}"#.to_owned(),
            "messages[0].content must be a string or a list of blocks, not 3",
        ),
        (
            format!(r#"{{{user},"tool_choice":{{"type":"any"}}}}"#),
            "tool_choice.type is any, but there are no tools",
        ),
        (
            format!(r#"{{{user},"tool_choice":{{"type":"tool","name":"g"}}}}"#),
            "tool_choice.name \"g\" is none of the tools",
        ),
        (
            format!(r#"{{{user},"stop_sequences":[""]}}"#),
            "stop_sequences[0] must be a text of 1 to 1024 bytes, not \"\"",
        ),
        (
            format!(r#"{{{user},"thinking":{{"type":"maybe"}}}}"#),
            "thinking.type must be enabled, adaptive or disabled, not \"maybe\"",
        ),
    ] {
        assert_eq!(read(&text).unwrap_err(), expected, "{text}");
    }
}
