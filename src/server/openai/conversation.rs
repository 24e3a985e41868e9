//! The conversation of a chat completion, from the fields of the request.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::domain::{Conversation, JsonText, Message, Role, Tool, ToolCall, ToolChoice};
use crate::protocol::Quoted;

use crate::server::json::ObjectText;

use super::error::ApiError;
use super::fields::{ChatRole, CompletionBody, MessageFields, ToolCallFields, ToolFields};
use super::forms::{AllowedMode, AllowedTools, ContentFields, ContentPart, ToolChoiceFields};

/// Takes the conversation out of `body`.
pub(super) fn conversation(body: &mut CompletionBody) -> Result<Conversation, ApiError> {
    let sent = body.messages.take().map(|messages| messages.0).unwrap_or_default();
    if sent.is_empty() {
        return Err(ApiError::invalid("messages", "must not be empty: send at least one"));
    }
    let messages = sent.into_iter().enumerate().map(|(i, sent)| message(i, sent));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let tools = body.tools.take().map(|tools| tools.0).unwrap_or_default();
    let tools = tools.into_iter().enumerate().map(|(i, sent)| tool(i, sent));
    let mut tools = tools.collect::<Result<Vec<_>, _>>()?;
    check_names(&tools)?;
    let tool_choice = tool_choice(body.tool_choice.take(), &mut tools)?;
    let documents = body.documents.take().map(|documents| documents.0).unwrap_or_default();
    let continues_last = continues_last(body, &messages)?;
    Ok(Conversation {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: body.parallel_tool_calls.unwrap_or(true),
        documents: documents.into_iter().map(json_text).collect(),
        template_variables: template_variables(body),
        continues_last,
    })
}

/// Reads the message at `index`.
fn message(index: usize, sent: MessageFields) -> Result<Message, ApiError> {
    let field = |name: &str| format!("messages[{index}].{name}");
    let role = match sent.role {
        ChatRole::System => Role::System,
        ChatRole::Developer => Role::Developer,
        ChatRole::User => Role::User,
        ChatRole::Assistant => Role::Assistant,
        ChatRole::Tool => Role::Tool,
    };
    let is_assistant = role == Role::Assistant;
    let calls = sent.tool_calls.map(|calls| calls.0).unwrap_or_default();
    if !calls.is_empty() && !is_assistant {
        return Err(ApiError::invalid(field("tool_calls"), "belong to messages of the assistant"));
    }
    let content = match sent.content {
        Some(ContentFields::Text(text)) => text,
        Some(ContentFields::Parts(parts)) => joined(&field("content"), parts.0)?,
        None => match sent.refusal {
            Some(refusal) => refusal,
            None if is_assistant => String::new(),
            None => return Err(ApiError::invalid(field("content"), "is missing: send a string")),
        },
    };
    let tool_calls = calls.into_iter().enumerate().map(|(i, call)| {
        let path = format!("messages[{index}].tool_calls[{i}]");
        tool_call(&path, index, i, call)
    });
    let reasoning = sent.reasoning_content.or(sent.reasoning).filter(|_| is_assistant);
    Ok(Message {
        role,
        content,
        reasoning,
        tool_calls: tool_calls.collect::<Result<_, _>>()?,
        tool_call_id: sent.tool_call_id,
        name: sent.name,
    })
}

/// The text of all parts of a content, each on lines of its own.
fn joined(field: &str, parts: Vec<ContentPart>) -> Result<String, ApiError> {
    let text = |(i, part): (usize, ContentPart)| match (
        part.r#type.as_deref().unwrap_or("text"),
        part.text,
    ) {
        ("text" | "input_text" | "output_text", Some(text)) => Ok(text),
        ("refusal", _) => Ok(part.refusal.unwrap_or_default()),
        ("text" | "input_text" | "output_text", None) => {
            Err(ApiError::invalid(format!("{field}[{i}].text"), "is missing"))
        }
        (kind, _) => {
            let reason =
                format_args!("must be text, not {}: the model reads text only", Quoted(kind));
            Err(ApiError::invalid(format!("{field}[{i}].type"), reason))
        }
    };
    let texts = parts.into_iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("\n"))
}

/// Reads a call of a tool.
fn tool_call(
    path: &str,
    message: usize,
    index: usize,
    sent: ToolCallFields,
) -> Result<ToolCall, ApiError> {
    let arguments = match sent.function.arguments {
        None => "{}".to_owned(),
        Some(raw) if raw.get().starts_with('"') => {
            let text: String = serde_json::from_str(raw.get()).map_err(|error| {
                ApiError::invalid(
                    format!("{path}.function.arguments"),
                    format!("is wrong: {error}"),
                )
            })?;
            if text.trim().is_empty() { "{}".to_owned() } else { text }
        }
        Some(raw) => raw.get().to_owned(),
    };
    let is_object = arguments.trim_start().starts_with('{')
        && serde_json::from_str::<&RawValue>(&arguments).is_ok();
    if !is_object {
        let reason = "must be the text of a JSON object";
        return Err(ApiError::invalid(format!("{path}.function.arguments"), reason));
    }
    Ok(ToolCall {
        id: sent.id.unwrap_or_else(|| format!("call_{message}_{index}")),
        name: sent.function.name,
        arguments: JsonText(arguments),
    })
}

/// Reads the tool at `index`.
fn tool(index: usize, sent: ToolFields) -> Result<Tool, ApiError> {
    let (kind, function) = (sent.r#type, sent.function);
    let Some(function) = function.filter(|_| kind == "function") else {
        let kind: String = kind.chars().take(40).collect();
        let reason = format!("must be a function, not {kind:?}");
        return Err(ApiError::invalid(format!("tools[{index}]"), reason));
    };
    if function.name.is_empty() {
        return Err(ApiError::invalid(format!("tools[{index}].function.name"), "is empty"));
    }
    Ok(Tool {
        name: function.name,
        description: function.description,
        parameters: function.parameters.map(ObjectText::into_text),
    })
}

/// Checks that all tools differ in their names: calls are told apart by them.
fn check_names(tools: &[Tool]) -> Result<(), ApiError> {
    let mut known = BTreeSet::new();
    match tools.iter().position(|tool| !known.insert(&tool.name)) {
        Some(i) => {
            let reason = format_args!("{} occurs twice", Quoted(&tools[i].name));
            Err(ApiError::invalid(format!("tools[{i}].function.name"), reason))
        }
        None => Ok(()),
    }
}

/// Reads `tool_choice`, which must fit the `tools`. A list of allowed tools removes the others.
fn tool_choice(
    sent: Option<ToolChoiceFields>,
    tools: &mut Vec<Tool>,
) -> Result<ToolChoice, ApiError> {
    let name = match sent {
        None => return Ok(ToolChoice::Auto),
        Some(ToolChoiceFields::Named(word)) => match word.as_str() {
            "auto" => return Ok(ToolChoice::Auto),
            "none" => return Ok(ToolChoice::None),
            "required" | "any" if tools.is_empty() => {
                let reason = "asks for a tool, but there are no tools";
                return Err(ApiError::invalid("tool_choice", reason));
            }
            "required" | "any" => return Ok(ToolChoice::Required),
            word => {
                let allowed = "must be auto, none, required or an object";
                let reason = format_args!("{allowed}, not {}", Quoted(word));
                return Err(ApiError::invalid("tool_choice", reason));
            }
        },
        Some(ToolChoiceFields::Tool(chosen)) => {
            match (chosen.r#type.as_str(), chosen.function, chosen.allowed_tools) {
                ("function", Some(function), _) => function.name,
                ("function", None, _) => {
                    return Err(ApiError::invalid("tool_choice.function", "is missing"));
                }
                ("allowed_tools", _, Some(allowed)) => return only_allowed(allowed, tools),
                ("allowed_tools", _, None) => {
                    return Err(ApiError::invalid("tool_choice.allowed_tools", "is missing"));
                }
                (kind, ..) => {
                    let allowed = "must be function or allowed_tools";
                    let reason = format_args!("{allowed}, not {}", Quoted(kind));
                    return Err(ApiError::invalid("tool_choice.type", reason));
                }
            }
        }
    };
    if !tools.iter().any(|tool| tool.name == name) {
        let reason = format_args!("{} is none of the tools", Quoted(&name));
        return Err(ApiError::invalid("tool_choice.function.name", reason));
    }
    Ok(ToolChoice::Named(name))
}

/// Removes the tools that are not `allowed`.
fn only_allowed(allowed: AllowedTools, tools: &mut Vec<Tool>) -> Result<ToolChoice, ApiError> {
    let allowed_names: Vec<String> =
        allowed.tools.0.into_iter().map(|tool| tool.function.name).collect();
    let is_known = |name: &String| tools.iter().any(|tool| tool.name == *name);
    if let Some(i) = allowed_names.iter().position(|name| !is_known(name)) {
        let path = format!("tool_choice.allowed_tools.tools[{i}].function.name");
        let reason = format_args!("{} is none of the tools", Quoted(&allowed_names[i]));
        return Err(ApiError::invalid(path, reason));
    }
    tools.retain(|tool| allowed_names.contains(&tool.name));
    match allowed.mode {
        Some(AllowedMode::Required) if tools.is_empty() => {
            let reason = "is required, but no tool is allowed";
            Err(ApiError::invalid("tool_choice.allowed_tools.mode", reason))
        }
        Some(AllowedMode::Required) => Ok(ToolChoice::Required),
        Some(AllowedMode::Auto) | None => Ok(ToolChoice::Auto),
    }
}

/// Whether the last message is to be continued.
fn continues_last(body: &CompletionBody, messages: &[Message]) -> Result<bool, ApiError> {
    let adds_prompt = body.add_generation_prompt;
    let continues = body.continue_final_message.unwrap_or_else(|| adds_prompt == Some(false));
    if !continues {
        return Ok(false);
    }
    if adds_prompt == Some(true) {
        let reason = "and add_generation_prompt exclude each other";
        return Err(ApiError::invalid("continue_final_message", reason));
    }
    match messages.last() {
        Some(last) if last.role == Role::Assistant => Ok(true),
        _ => {
            let reason = "needs a message of the assistant at the end";
            Err(ApiError::invalid("continue_final_message", reason))
        }
    }
}

/// The variables for the chat template. Those of `chat_template_kwargs` have precedence.
fn template_variables(body: &mut CompletionBody) -> Vec<(String, JsonText)> {
    let mut variables: Vec<(String, JsonText)> = Vec::new();
    let mut set = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), JsonText(value)));
    };
    if let Some(effort) = &body.reasoning_effort {
        set("reasoning_effort", serde_json::Value::from(effort.as_str()).to_string());
        if effort == "none" {
            set("enable_thinking", "false".to_owned());
        }
    }
    if let Some(is_enabled) = body.enable_thinking {
        set("enable_thinking", is_enabled.to_string());
    }
    for (name, value) in body.chat_template_kwargs.take().map(|all| all.0).unwrap_or_default() {
        set(&name, value.get().to_owned());
    }
    variables
}

/// The text of a value, which is moved.
pub(super) fn json_text(raw: Box<RawValue>) -> JsonText {
    JsonText(Box::<str>::from(raw).into_string())
}

#[cfg(test)]
mod tests {
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
}
