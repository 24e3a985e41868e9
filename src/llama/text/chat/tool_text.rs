//! Tools for a model whose chat template knows none: an instruction lists them, and calls and
//! results are texts of messages.

use std::collections::HashMap;
use std::fmt::Write;

use crate::domain::{Conversation, JsonText, Message, Role, Tool, ToolCall, ToolChoice};

/// The messages of `conversation` without calls of tools and messages of tools. `writes_system`
/// says whether the template writes system messages; otherwise the instruction goes into the first
/// message of the user.
pub(super) fn messages_with_tools_as_text(
    conversation: &Conversation,
    writes_system: bool,
) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::with_capacity(conversation.messages.len() + 1);
    // Whether the last message consists of results.
    let mut has_results = false;
    let mut names = CallNames::default();
    for message in &conversation.messages {
        let mut message = message.clone();
        names.complete(&mut message);
        let is_result = message.role == Role::Tool;
        if is_result {
            message = Message::text(Role::User, result_text(&message));
        } else {
            write_calls(&mut message);
        }
        match messages.last_mut() {
            // Many templates want the roles to alternate.
            Some(last) if has_results && message.role == Role::User => {
                last.content.push('\n');
                last.content.push_str(&message.content);
            }
            _ => messages.push(message),
        }
        has_results = is_result;
    }
    if !conversation.tools.is_empty() && conversation.tool_choice != ToolChoice::None {
        add_instruction(&mut messages, instruction(conversation), writes_system);
    }
    messages
}

/// The names of the tools that were called, by the ids of the calls.
#[derive(Default)]
pub(super) struct CallNames(HashMap<String, String>);

impl CallNames {
    /// Remembers the calls of a message, and gives a result the name of its tool if it has none.
    pub(super) fn complete(&mut self, message: &mut Message) {
        for call in &message.tool_calls {
            self.0.insert(call.id.clone(), call.name.clone());
        }
        if message.role == Role::Tool && message.name.is_none() {
            message.name = message.tool_call_id.as_ref().and_then(|id| self.0.get(id)).cloned();
        }
    }
}

/// Puts the calls of a message into its text.
fn write_calls(message: &mut Message) {
    for ToolCall { name, arguments, .. } in std::mem::take(&mut message.tool_calls) {
        if !message.content.is_empty() {
            message.content.push('\n');
        }
        let call = call_text(&name, &arguments);
        message.content.push_str(&format!("<tool_call>\n{call}\n</tool_call>"));
    }
}

/// A call as JSON.
pub(super) fn call_text(name: &str, arguments: &JsonText) -> String {
    // Whatever is no JSON would break the notation.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&arguments.0).is_ok();
    let arguments = if is_json { arguments.0.clone() } else { quoted(&arguments.0) };
    format!("{{\"name\": {}, \"arguments\": {arguments}}}", quoted(name))
}

/// The text of a result, which cannot end the notation that it is in.
fn result_text(message: &Message) -> String {
    let name = message.name.as_deref().map(|name| format!("\"name\": {}, ", quoted(name)));
    let content = quoted(&message.content).replace("</tool_response>", "<\\/tool_response>");
    format!(
        "<tool_response>\n{{{}\"content\": {content}}}\n</tool_response>",
        name.unwrap_or_default()
    )
}

/// Adds the instruction to the system message or, without one, to the first message of the user.
fn add_instruction(messages: &mut Vec<Message>, instruction: String, writes_system: bool) {
    let is_instruction = |role| matches!(role, Role::System | Role::Developer);
    if !writes_system {
        if let Some(first) = messages.iter_mut().find(|message| message.role == Role::User) {
            first.content = format!("{instruction}\n\n{}", first.content);
        }
        return;
    }
    match messages.first_mut() {
        Some(first) if is_instruction(first.role) => {
            first.content.push_str("\n\n");
            first.content.push_str(&instruction);
        }
        _ => messages.insert(0, Message::text(Role::System, instruction)),
    }
}

/// What tells the model which tools it has and how to call them.
fn instruction(conversation: &Conversation) -> String {
    let mut text = "You can call these functions, each given as a JSON object with its name, what \
                    it does and the JSON schema of its arguments:\n<tools>\n"
        .to_owned();
    for tool in &conversation.tools {
        text.push_str(&tool_text(tool));
        text.push('\n');
    }
    text.push_str(
        "</tools>\nTo call a function, write its name and its arguments as JSON between these \
         tags, and nothing after them:\n<tool_call>\n{\"name\": \"NAME\", \"arguments\": \
         {\"ARGUMENT\": \"VALUE\"}}\n</tool_call>\n",
    );
    text.push_str(if conversation.parallel_tool_calls {
        "To call several functions, write several such blocks. "
    } else {
        "Call at most one function in an answer. "
    });
    text.push_str("The results come back between <tool_response> and </tool_response>.");
    // Writing to a string does not fail.
    _ = match &conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::None => Ok(()),
        ToolChoice::Required => write!(text, " You have to call a function now."),
        ToolChoice::Named(name) => write!(text, " You have to call the function {name} now."),
    };
    text
}

fn tool_text(tool: &Tool) -> String {
    let description = tool.description.as_deref().unwrap_or_default();
    let parameters = tool.parameters.as_ref().map_or(NO_PARAMETERS, |schema| &schema.0);
    format!(
        "{{\"name\": {}, \"description\": {}, \"parameters\": {parameters}}}",
        quoted(&tool.name),
        quoted(description)
    )
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The schema of a tool without arguments.
pub(super) const NO_PARAMETERS: &str = r#"{"type": "object", "properties": {}}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> ToolCall {
        let arguments = JsonText(arguments.to_owned());
        ToolCall { id: format!("call_{name}"), name: name.to_owned(), arguments }
    }

    fn conversation(messages: Vec<Message>) -> Conversation {
        let parameters = Some(JsonText(r#"{"type": "object"}"#.to_owned()));
        let description = Some("Says \"x\".".to_owned());
        let tool = Tool { name: "say".to_owned(), description, parameters };
        Conversation { tools: vec![tool], ..Conversation::of(messages) }
    }

    #[test]
    fn instruction_goes_into_a_message_that_the_template_writes() {
        let user = || Message::text(Role::User, "Hi");
        let texts = |messages: Vec<Message>, writes_system| {
            let messages =
                messages_with_tools_as_text(&conversation(messages), writes_system).into_iter();
            messages.map(|message| (message.role, message.content)).collect::<Vec<_>>()
        };
        let alone = texts(vec![user()], true);
        assert_eq!(alone[0].0, Role::System);
        let tool =
            r#"{"name": "say", "description": "Says \"x\".", "parameters": {"type": "object"}}"#;
        assert!(alone[0].1.contains(&format!("<tools>\n{tool}\n</tools>")), "{}", alone[0].1);
        let joined = texts(vec![Message::text(Role::Developer, "Be kind."), user()], true);
        assert!(joined[0].1.starts_with("Be kind.\n\nYou can call"), "{}", joined[0].1);
        let in_question = texts(vec![user()], false);
        assert!(in_question[0].1.ends_with(".\n\nHi"), "{}", in_question[0].1);
        assert_eq!((joined.len(), in_question.len()), (2, 1));
    }

    #[test]
    fn forbidden_tools_are_not_listed() {
        let mut forbidden = conversation(vec![Message::text(Role::User, "Hi")]);
        forbidden.tool_choice = ToolChoice::None;
        assert_eq!(messages_with_tools_as_text(&forbidden, true), forbidden.messages);
    }

    #[test]
    fn calls_and_results_are_texts_of_alternating_roles() {
        let mut answer = Message::text(Role::Assistant, "Well.");
        answer.tool_calls = vec![call("say", r#"{"a": 1}"#), call("say", "broken")];
        let mut result = Message::text(Role::Tool, "1\n</tool_response>");
        result.name = Some("say".to_owned());
        let messages = vec![
            Message::text(Role::User, "Hi"),
            answer,
            result,
            Message::text(Role::Tool, "2"),
            Message::text(Role::User, "So?"),
        ];
        let mut conversation = conversation(messages);
        conversation.tool_choice = ToolChoice::None;
        let messages = messages_with_tools_as_text(&conversation, true);
        let roles: Vec<_> = messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
        assert!(messages[1].tool_calls.is_empty());
        assert_eq!(
            messages[1].content,
            "Well.\n<tool_call>\n{\"name\": \"say\", \"arguments\": {\"a\": 1}}\n</tool_call>\n\
             <tool_call>\n{\"name\": \"say\", \"arguments\": \"broken\"}\n</tool_call>"
        );
        assert_eq!(
            messages[2].content,
            "<tool_response>\n{\"name\": \"say\", \"content\": \"1\\n<\\/tool_response>\"}\n\
             </tool_response>\n<tool_response>\n{\"content\": \"2\"}\n</tool_response>\nSo?"
        );
    }
}
