//! Tests of the conversation of a chat completion.

use super::*;
use crate::server::json::read_body;

const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"f"}},
    {"type":"function","function":{"name":"g"}}],"messages":[{"role":"user","content":"a"}]"#;

fn read(text: &str) -> Result<Conversation, ApiError> {
    conversation(&mut read_body(text)?.0)
}

#[test]
fn tool_choice_is_a_word_a_function_or_a_list_of_allowed_ones() {
    let allowed = |mode: &str| {
        format!(
            r#"{{"type":"allowed_tools","allowed_tools":{{"mode":"{mode}","tools":[
            {{"type":"function","function":{{"name":"g"}}}}]}}}}"#
        )
    };
    for (choice, expected, n_tools) in [
        (r#""none""#.to_owned(), ToolChoice::None, 2),
        (r#""required""#.to_owned(), ToolChoice::Required, 2),
        (
            r#"{"type":"function","function":{"name":"f"}}"#.to_owned(),
            ToolChoice::Named("f".to_owned()),
            2,
        ),
        (allowed("auto"), ToolChoice::Auto, 1),
        (allowed("required"), ToolChoice::Required, 1),
    ] {
        let conversation = read(&format!(r#"{{{TOOLS},"tool_choice":{choice}}}"#)).unwrap();
        assert_eq!(conversation.tool_choice, expected, "{choice}");
        assert_eq!(conversation.tools.len(), n_tools, "{choice}");
    }
}

#[test]
fn unusable_field_is_refused_with_its_path() {
    let twice = r#"{"tools":[{"type":"function","function":{"name":"f"}},
        {"type":"function","function":{"name":"f"}}],
        "messages":[{"role":"user","content":"a"}]}"#;
    let choice = |choice: &str| format!(r#"{{{TOOLS},"tool_choice":{choice}}}"#);
    for (text, expected) in [
        (twice.to_owned(), "tools[1].function.name \"f\" occurs twice"),
        (
            choice(r#"{"type":"function","function":{"name":"q"}}"#),
            "tool_choice.function.name \"q\" is none of the tools",
        ),
        (
            choice(
                r#"{"type":"allowed_tools","allowed_tools":{"tools":[{"function":{"name":"q"}}]}}"#,
            ),
            "tool_choice.allowed_tools.tools[0].function.name \"q\" is none of the tools",
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}"#
                .to_owned(),
            "tools[0].function is missing",
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"web"}]}"#.to_owned(),
            "tools[0].type must be function, not \"web\"",
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}],
                "chat_template_kwargs":{"messages":[]}}"#
                .to_owned(),
            "chat_template_kwargs.messages is set by the server: leave it out",
        ),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[
                {"function":{"name":"f","arguments":[1]}}]}]}"#
                .to_owned(),
            "messages[0].tool_calls[0].function.arguments must be an object or the text of \
             one, not [1]",
        ),
        (choice(r#""x""#), "tool_choice must be auto, none, required or an object, not \"x\""),
        (
            r#"{"messages":[{"role":"bot"}]}"#.to_owned(),
            "messages[0].role must be system, developer, user, assistant or tool, not \"bot\"",
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert_eq!(error.message, expected, "{text}");
        assert!(expected.starts_with(&error.param.unwrap()), "{expected}");
    }
}

#[test]
fn broken_call_in_the_history_is_kept_as_it_is() {
    for arguments in ["{bad", "null", "[]"] {
        let body = serde_json::json!({"messages": [
            {"role": "assistant", "tool_calls": [
                {"function": {"name": "f", "arguments": arguments}}]},
        ]});
        let conversation = read(&body.to_string()).unwrap();
        assert_eq!(conversation.messages[0].tool_calls[0].arguments.0, arguments);
    }
}

#[test]
fn prompt_without_a_beginning_of_the_answer_needs_no_answer_to_continue() {
    for (last, expected) in [("user", false), ("assistant", true)] {
        let text = format!(
            r#"{{"messages":[{{"role":"{last}","content":"a"}}],
                "add_generation_prompt":false}}"#
        );
        let conversation = read(&text).unwrap();
        assert_eq!(conversation.continues_last, expected, "{last}");
        let has_variable = !conversation.template_variables.is_empty();
        assert_eq!(has_variable, !expected, "the template learns it otherwise");
    }
}
