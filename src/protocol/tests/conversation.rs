//! Conversations with tools, results of tools, documents and variables of the template.

use serde_json::{Value, json};

use crate::domain::{Conversation, JsonText, Prompt, Role, Tool, ToolCall, ToolChoice};
use crate::protocol::{ClientFrame, Code, Infer};

/// A frame with one message of the user and `fields`.
fn frame(fields: &Value) -> Value {
    let mut frame = json!({"op": "infer", "messages": [{"role": "user", "content": "x"}]});
    for (name, value) in fields.as_object().unwrap() {
        frame[name] = value.clone();
    }
    frame
}

fn infer(fields: &Value) -> Infer {
    match ClientFrame::parse(&frame(fields).to_string()) {
        Ok(ClientFrame::Infer(infer)) => *infer,
        other => panic!("{fields} became {other:?}"),
    }
}

fn conversation(fields: &Value) -> Conversation {
    match infer(fields).prompt {
        Prompt::Chat(conversation) => *conversation,
        other => panic!("{fields} became {other:?}"),
    }
}

/// The error message for `fields`; checks that the code is `invalid_params`.
fn refused(fields: &Value) -> String {
    let error = ClientFrame::parse(&frame(fields).to_string()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidParams, "{fields}: {error:?}");
    error.message().to_owned()
}

fn tools() -> Value {
    json!([
        {"type": "function", "function": {
            "name": "weather", "description": "Tells the weather.", "strict": true,
            "parameters": {"type": "object", "properties": {"b": {}, "a": {}}},
        }},
        {"name": "now", "parameters": null},
    ])
}

#[test]
fn tools_are_parsed_with_and_without_the_object_around_them() {
    let frame = r#"{"op":"infer","messages":[{"role":"user","content":"x"}],"tools":[
        {"type":"function","function":{"name":"f","parameters":{ "b": 1, "a":"\ud800" }}}]}"#;
    let Ok(ClientFrame::Infer(infer)) = ClientFrame::parse(frame) else {
        panic!("the frame is refused");
    };
    let Prompt::Chat(chat) = infer.prompt else { panic!("the frame has no conversation") };
    // As it was written, but for half an emoji, which JSON parsers refuse.
    let parameters = chat.tools[0].parameters.clone();
    assert_eq!(parameters, Some(JsonText(r#"{ "b": 1, "a":"\ufffd" }"#.to_owned())));
    let found = conversation(&json!({"tools": tools()}));
    assert_eq!(found.tools[0].description.as_deref(), Some("Tells the weather."));
    let now = Tool { name: "now".to_owned(), description: None, parameters: None };
    assert_eq!((found.tools.len(), &found.tools[1]), (2, &now));
    assert!(found.parallel_tool_calls);
    assert!(!conversation(&json!({"parallel_tool_calls": false})).parallel_tool_calls);
}

#[test]
fn tool_choice_is_one_of_four_kinds() {
    let named = || ToolChoice::Named("now".to_owned());
    for (sent, expected) in [
        (json!(null), ToolChoice::Auto),
        (json!("auto"), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (json!({"type": "function", "function": {"name": "now"}}), named()),
        (json!({"type": "function", "name": "now"}), named()),
    ] {
        let found = conversation(&json!({"tools": tools(), "tool_choice": sent}));
        assert_eq!(found.tool_choice, expected);
    }
    let message = refused(&json!({"tools": tools(), "tool_choice": {"name": "later"}}));
    assert_eq!(message, "tool_choice: names \"later\", which is not among tools");
    assert!(refused(&json!({"tool_choice": "required"})).contains("needs tools"));
    assert!(refused(&json!({"tool_choice": "any"})).contains("\"auto\", \"none\""));
}

#[test]
fn calls_and_results_of_tools_are_parsed() {
    let found = conversation(&json!({"messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
            {"id": "1", "type": "function", "index": 0,
             "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            {"id": null, "function": {"name": "g", "arguments": {"b": 2}}},
            {"name": "h", "arguments": ""},
        ]},
        {"role": "tool", "content": "7", "tool_call_id": "1", "name": "f"},
    ]}));
    let [developer, user, assistant, tool] = &found.messages[..] else { panic!("{found:?}") };
    assert_eq!((developer.role, user.content.as_str()), (Role::Developer, "a\nb"));
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: JsonText(arguments.to_owned()),
    };
    let calls = [call("1", "f", r#"{"a": 1}"#), call("", "g", r#"{"b":2}"#), call("", "h", "{}")];
    assert_eq!(assistant.tool_calls, calls);
    assert_eq!((assistant.content.as_str(), assistant.reasoning.as_deref()), ("", Some("Hm.")));
    assert_eq!((tool.role, tool.tool_call_id.as_deref()), (Role::Tool, Some("1")));
    assert_eq!(tool.name.as_deref(), Some("f"));
}

#[test]
fn variables_and_documents_of_the_template_are_parsed() {
    let found = conversation(&json!({
        "reasoning_effort": "low", "enable_thinking": false,
        "chat_template_kwargs": {"builtin_tools": ["a"]}, "documents": [{"title": "T"}],
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "So"}],
        "continue_final_message": true,
    }));
    let variable = |name: &str, value: &str| (name.to_owned(), JsonText(value.to_owned()));
    let expected = [
        variable("reasoning_effort", "\"low\""),
        variable("enable_thinking", "false"),
        variable("builtin_tools", "[\"a\"]"),
    ];
    assert_eq!(found.template_variables, expected);
    assert_eq!(found.documents, [JsonText(r#"{"title":"T"}"#.to_owned())]);
    assert!(found.continues_last);
}

#[test]
fn wrong_fields_of_conversations_are_refused_with_their_path() {
    let message = |message: Value| json!({"messages": [message]});
    let call =
        |call: Value| message(json!({"role": "assistant", "content": "", "tool_calls": [call]}));
    let many: Vec<Value> = (0..513).map(|i| json!({"name": format!("f{i}")})).collect();
    for (fields, path) in [
        (json!({"tools": {}}), "tools: "),
        (json!({"tools": many}), "tools: must have at most 512 tools, not 513"),
        (json!({"tools": [5]}), "tools[0]: "),
        (json!({"tools": [{}]}), "tools[0].name: is missing"),
        (json!({"tools": [{"function": {"name": ""}}]}), "tools[0].function.name: "),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type: "),
        (json!({"tools": [{"name": "f", "parameters": "x"}]}), "tools[0].parameters: "),
        (json!({"tools": [{"name": "f", "description": 1}]}), "tools[0].description: "),
        (json!({"tools": [{"name": "f"}, {"name": "f"}]}), "tools: has several tools"),
        (json!({"documents": ["x"]}), "documents[0]: "),
        (json!({"enable_thinking": "no"}), "enable_thinking: "),
        (json!({"reasoning_effort": 3}), "reasoning_effort: "),
        (json!({"reasoning": 1}), "reasoning: "),
        (json!({"chat_template_kwargs": []}), "chat_template_kwargs: "),
        (json!({"chat_template_kwargs": {"messages": []}}), "chat_template_kwargs: "),
        (
            json!({"enable_thinking": true, "chat_template_kwargs": {"enable_thinking": true}}),
            "chat_template_kwargs: has enable_thinking",
        ),
        (json!({"continue_final_message": true}), "continue_final_message: needs"),
        (json!({"reasoning": true, "params": {"special": false}}), "special: "),
        (message(json!({"role": "user", "content": null})), "messages[0].content: "),
        (
            message(json!({"role": "user", "content": [{"type": "image_url"}]})),
            "messages[0].content[0].type: must be \"text\", not \"image_url\"",
        ),
        (
            message(json!({"role": "user", "content": "", "tool_calls": []})),
            "messages[0].tool_calls: belongs to messages of the assistant",
        ),
        (
            message(json!({"role": "user", "content": "", "tool_call_id": "1"})),
            "messages[0].tool_call_id: belongs to messages of tools",
        ),
        (message(json!({"role": "user", "content": "", "name": 1})), "messages[0].name: "),
        (
            call(json!({"function": {"name": "f", "arguments": "{\"a\""}})),
            "messages[0].tool_calls[0].function.arguments: ",
        ),
        (call(json!({"name": "f", "arguments": [1]})), "messages[0].tool_calls[0].arguments: "),
        (call(json!({"id": 1, "name": "f"})), "messages[0].tool_calls[0].id: "),
    ] {
        let message = refused(&fields);
        assert!(message.starts_with(path), "{message}");
    }
}

#[test]
fn fields_of_conversations_are_refused_beside_a_prompt() {
    for name in ["tools", "reasoning", "enable_thinking"] {
        let error = ClientFrame::parse(&json!({"op": "infer", "prompt": "", name: 1}).to_string());
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::InvalidParams);
        assert!(error.message().starts_with(name), "{}", error.message());
    }
}

#[test]
fn answer_is_divided_if_there_are_tools_or_reasoning_is_wanted() {
    assert!(infer(&json!({"tools": tools()})).is_divided);
    assert!(infer(&json!({"reasoning": true})).is_divided);
    assert!(!infer(&json!({"reasoning": false, "tools": []})).is_divided);
}
