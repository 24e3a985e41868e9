//! The conversation of a chat completion, from the fields of the request.

use serde_json::value::RawValue;

use crate::domain::{Conversation, JsonText, Message, Role, Tool, ToolCall, ToolChoice};

use super::error::ApiError;
use super::fields::{
    CompletionBody, ContentFields, ContentPart, MessageFields, ToolCallFields, ToolChoiceFields,
    ToolFields,
};

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
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let tool_choice = tool_choice(body.tool_choice.take(), &tools)?;
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
    let role = role(&sent.role).ok_or_else(|| {
        let role: String = sent.role.chars().take(40).collect();
        let reason = format!("must be system, developer, user, assistant or tool, not {role:?}");
        ApiError::invalid(field("role"), reason)
    })?;
    let is_assistant = role == Role::Assistant;
    let calls = sent.tool_calls.map(|calls| calls.0).unwrap_or_default();
    if !calls.is_empty() && !is_assistant {
        return Err(ApiError::invalid(field("tool_calls"), "belong to messages of the assistant"));
    }
    let content = match sent.content {
        Some(ContentFields::Text(text)) => text,
        Some(ContentFields::Parts(parts)) => joined(&field("content"), parts)?,
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

/// The role called `name`.
fn role(name: &str) -> Option<Role> {
    let roles = [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];
    roles.into_iter().find(|role| role.name() == name)
}

/// The text of all parts of a content, each on lines of its own.
fn joined(field: &str, parts: Vec<ContentPart>) -> Result<String, ApiError> {
    let text = |(i, part): (usize, ContentPart)| match (part.r#type.as_str(), part.text) {
        ("text" | "input_text" | "output_text", Some(text)) => Ok(text),
        ("refusal", _) => Ok(part.refusal.unwrap_or_default()),
        (kind, _) => {
            let kind: String = kind.chars().take(40).collect();
            let reason = format!("has the type {kind:?}: the model reads parts of type text only");
            Err(ApiError::invalid(format!("{field}[{i}]"), reason))
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
        parameters: function.parameters.map(json_text),
    })
}

/// Reads `tool_choice`, which must fit the `tools`.
fn tool_choice(sent: Option<ToolChoiceFields>, tools: &[Tool]) -> Result<ToolChoice, ApiError> {
    let invalid = |reason: String| Err(ApiError::invalid("tool_choice", reason));
    let choice = match sent {
        None => return Ok(ToolChoice::Auto),
        Some(ToolChoiceFields::Named(name)) => match name.as_str() {
            "auto" => return Ok(ToolChoice::Auto),
            "none" => return Ok(ToolChoice::None),
            "required" | "any" => ToolChoice::Required,
            _ => {
                let name: String = name.chars().take(40).collect();
                return invalid(format!("must be auto, none, required or a tool, not {name:?}"));
            }
        },
        Some(ToolChoiceFields::Tool(chosen)) => match (chosen.r#type.as_str(), chosen.function) {
            ("function", Some(function)) => ToolChoice::Named(function.name),
            _ => return invalid("must name a function: {\"type\": \"function\", …}".to_owned()),
        },
    };
    match &choice {
        ToolChoice::Named(name) if !tools.iter().any(|tool| tool.name == *name) => {
            let name: String = name.chars().take(40).collect();
            invalid(format!("names {name:?}, which is not among the tools"))
        }
        _ if tools.is_empty() => invalid("asks for a tool, but there are no tools".to_owned()),
        _ => Ok(choice),
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
