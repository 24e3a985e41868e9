//! Calls that break, and calls that are long.

use crate::domain::{AnswerStart, ToolCallStyle};

use super::super::calls::{HELD_BYTES, MAX_CALL_BYTES};
use super::{AnswerEvent, AnswerParser, allowed, calls, style, text, with_tools};

#[test]
fn call_that_breaks_is_text_with_one_warning() {
    for (style, answer) in [
        (ToolCallStyle::Hermes, "<tool_call>weather in Lyon</tool_call>"),
        (ToolCallStyle::Hermes, r#"<tool_call>{"name": "f", "arguments": {"a": tru}}</tool_call>"#),
        (ToolCallStyle::Hermes, r#"<tool_call>{"name": "f", "arguments": [1]}</tool_call>"#),
        (ToolCallStyle::Hermes, r#"<tool_call>{"arguments": {}}</tool_call>"#),
        (ToolCallStyle::Hermes, r#"<tool_call>{"name": "f", "arguments": {"a": "b"#),
        (ToolCallStyle::Hermes, "<tool_call>"),
        (ToolCallStyle::QwenXml, "<tool_call><function=f><parameter=a>b</function></tool_call>"),
        (ToolCallStyle::QwenXml, "<tool_call>f()</tool_call>"),
        (ToolCallStyle::LlamaJson, "<|python_tag|>print(1)"),
        (ToolCallStyle::Pythonic, "[f(1)]"),
        (ToolCallStyle::Pythonic, "<|python_start|>f(a=1)"),
        (ToolCallStyle::Mistral, "[TOOL_CALLS]?"),
        (ToolCallStyle::Mistral, "[TOOL_CALLS]f[ARGS]{a}"),
        (ToolCallStyle::Gemma, "<|tool_call>f{}<tool_call|>"),
        (ToolCallStyle::Gemma, "```tool_code\nx = 1\n```"),
        (ToolCallStyle::DeepSeek, "<｜tool▁calls▁begin｜>none"),
        (ToolCallStyle::DeepSeek, "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{1}"),
        (ToolCallStyle::Glm, "<tool_call>f<arg_key>a</tool_call>"),
        (ToolCallStyle::Granite, "<|tool_call|>[{}]"),
    ] {
        let found = with_tools(style, &format!("So: {answer}"));
        let warnings = found.iter().filter(|event| matches!(event, AnswerEvent::Warning(_)));
        let is_unmarked = style == ToolCallStyle::Pythonic && answer.starts_with('[');
        assert_eq!(warnings.count(), usize::from(!is_unmarked), "{found:?}");
        let texts = found.iter().filter_map(|event| match event {
            AnswerEvent::Text(text) => Some(text.as_str()),
            AnswerEvent::Warning(_) => None,
            other => panic!("{answer} became {other:?}"),
        });
        assert_eq!(texts.collect::<String>(), format!("So: {answer}"));
    }
    let found = with_tools(ToolCallStyle::Pythonic, "[f(1)]");
    assert!(matches!(&found[..], [AnswerEvent::Warning(_), AnswerEvent::Text(_)]), "{found:?}");
}

#[test]
fn call_after_a_broken_one_is_read() {
    let answer = "<tool_call>{\"name\": <tool_call>{\"name\": \"now\"}</tool_call>";
    let found = with_tools(ToolCallStyle::Hermes, answer);
    assert_eq!(found[1], text("<tool_call>{\"name\": "));
    assert_eq!(found[2..], calls(&[("now", "{}")]));
}

#[test]
fn long_arguments_are_told_as_they_come() {
    let mut parser =
        AnswerParser::new(&style(ToolCallStyle::Hermes), AnswerStart::default(), allowed(true));
    let mut found = Vec::new();
    parser.push(r#"<tool_call>{"name": "write", "arguments": {"text": ""#, &mut found);
    parser.push(&"x".repeat(HELD_BYTES / 2), &mut found);
    assert_eq!(found, []);
    assert!(parser.held_bytes() > HELD_BYTES / 2, "{}", parser.held_bytes());
    parser.push(&"x".repeat(HELD_BYTES / 2), &mut found);
    assert_eq!(found[0], AnswerEvent::CallBegan { name: "write".to_owned() });
    assert_eq!(parser.held_bytes(), 0);
    found.clear();
    parser.push("more", &mut found);
    assert_eq!(found, [AnswerEvent::CallArguments("more".to_owned())]);
    found.clear();
    // It breaks: the beginning of JSON stays told, and the rest is text.
    parser.push("\" oh", &mut found);
    parser.finish(&mut found);
    assert_eq!(found[0], AnswerEvent::CallArguments("\" ".to_owned()));
    assert_eq!(found[1], AnswerEvent::CallBroken);
    assert!(matches!(&found[2], AnswerEvent::Warning(_)));
    assert_eq!(found[3..], [text("oh")]);
}

#[test]
fn endless_or_deep_arguments_are_bounded() {
    let head = r#"<tool_call>{"arguments": {"text": ""#;
    let answer = format!("{head}{}", "x".repeat(MAX_CALL_BYTES));
    let found = with_tools(ToolCallStyle::Hermes, &answer);
    assert!(matches!(&found[0], AnswerEvent::Warning(_)));
    assert_eq!(found[1..], [text(&answer)]);
    for (style, begin, open) in [
        (ToolCallStyle::Hermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": ", "["),
        (ToolCallStyle::Gemma, "<|tool_call>call:f{a:", "["),
        (ToolCallStyle::Pythonic, "<|python_start|>[f(a=", "("),
        (ToolCallStyle::QwenXml, "<tool_call><function=f>", "<parameter=a></function>"),
    ] {
        let answer = format!("{begin}{}", open.repeat(20_000));
        let found = with_tools(style, &answer);
        assert!(matches!(&found[0], AnswerEvent::Warning(_)), "{:?}", found[0]);
        assert_eq!(found[1..], [text(&answer)]);
    }
}
