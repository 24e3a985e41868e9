//! What the request allows: which tools there are, and how many calls.

use crate::domain::{AnswerStart, Conversation, ToolCallStyle};

use super::super::calls::HELD_BYTES;
use super::{AllowedCalls, AnswerEvent, AnswerParser, calls, conversation, events, style, text};

fn parser(tool_calls: ToolCallStyle, conversation: &Conversation) -> AnswerParser {
    let allowed = AllowedCalls::of(conversation);
    AnswerParser::new(&style(tool_calls), AnswerStart::default(), allowed)
}

#[test]
fn call_of_a_tool_that_the_request_lacks_is_text_with_a_warning() {
    for (style, answer) in [
        (
            ToolCallStyle::Hermes,
            r#"<tool_call>{"name": "g", "arguments": {"a": 1}}</tool_call> so"#,
        ),
        (ToolCallStyle::Hermes, r#"<tool_call>{"arguments": {"a": 1}, "name": "g"}</tool_call>"#),
        (ToolCallStyle::QwenXml, "<tool_call><function=g></function></tool_call>"),
        (ToolCallStyle::LlamaJson, r#"{"name": "g", "parameters": {"a": "<think>"}} so"#),
        (ToolCallStyle::Pythonic, "[f(a=1), g(b=2)]"),
        (ToolCallStyle::Mistral, r#"[TOOL_CALLS][{"name": "g", "arguments": {}}]"#),
        (ToolCallStyle::Mistral, "[TOOL_CALLS]g[ARGS]{}"),
        (ToolCallStyle::Gemma, "<|tool_call>call:g{a:1}<tool_call|>"),
        (ToolCallStyle::DeepSeek, "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜>"),
        (ToolCallStyle::Glm, "<tool_call>g\n</tool_call>"),
        (ToolCallStyle::Granite, r#"<|tool_call|>[{"name": "g", "arguments": {}}]"#),
        (ToolCallStyle::Harmony, "<|channel|>commentary to=functions.g<|message|>{\"a\": 1}"),
    ] {
        let found = events(parser(style, &conversation(&["f"])), &[answer]);
        let warning = "a call of a tool could not be read: the request has no tool \"g\"; it is \
                       in the text";
        assert_eq!(found, [AnswerEvent::Warning(warning.to_owned()), text(answer)], "{answer}");
    }
}

#[test]
fn call_of_an_unknown_tool_after_a_known_one_is_text() {
    let f = r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#;
    let g = f.replace("\"f\"", "\"g\"");
    let found = events(parser(ToolCallStyle::Hermes, &conversation(&["f"])), &[f, &g, f]);
    let call = calls(&[("f", r#"{"a": 1}"#)]);
    assert_eq!(found[..3], call);
    assert!(matches!(found[3], AnswerEvent::Warning(_)));
    assert_eq!(found[4], text(&g));
    assert_eq!(found[5..], call);
}

#[test]
fn answer_without_parallel_calls_ends_with_the_first() {
    let one = Conversation { parallel_tool_calls: false, ..conversation(&["f"]) };
    for (style, answer) in [
        (
            ToolCallStyle::Hermes,
            "<tool_call>{\"name\": \"f\"}</tool_call><tool_call>{\"name\": \"f\"}</tool_call>",
        ),
        (ToolCallStyle::Hermes, "<tool_call>{\"name\": \"f\"}</tool_call> and more"),
        (ToolCallStyle::LlamaJson, r#"{"name": "f", "parameters": {}}; {"name": "f"}"#),
        (ToolCallStyle::Pythonic, "[f(), f()]"),
        (ToolCallStyle::Mistral, r#"[TOOL_CALLS][{"name": "f"}, {"name": "f"}]"#),
        (
            ToolCallStyle::Harmony,
            " to=functions.f<|message|>{}<|call|> to=functions.f<|message|>{}",
        ),
    ] {
        let mut parser = parser(style, &one);
        let mut found = Vec::new();
        parser.push(answer, &mut found);
        assert!(parser.is_over());
        parser.push(" and more", &mut found);
        parser.finish(&mut found);
        assert_eq!(found, calls(&[("f", "{}")]), "{answer}");
    }
    let mut parser = parser(ToolCallStyle::Hermes, &one);
    parser.push("<tool_call>{\"name\": \"g\"}</tool_call>", &mut Vec::new());
    assert!(!parser.is_over(), "there is no such tool");
}

#[test]
fn broken_call_is_text_from_its_beginning_if_only_whole_calls_are_told() {
    let head = r#"<tool_call>{"name": "f", "arguments": {"text": ""#;
    let answer = format!("{head}{}\" oh", "x".repeat(2 * HELD_BYTES));
    let allowed = AllowedCalls::of(&conversation(&["f"])).map(AllowedCalls::only_whole);
    let parser = AnswerParser::new(&style(ToolCallStyle::Hermes), AnswerStart::default(), allowed);
    let found = events(parser, &[&answer]);
    assert!(matches!(found[0], AnswerEvent::Warning(_)), "{found:?}");
    assert_eq!(found[1..], [text(&answer)]);
}
