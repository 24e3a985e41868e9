//! The conversation of a chat completion, from the fields of the request.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::domain::{Conversation, JsonText, Message, Role, Tool, ToolCall, ToolChoice};
use crate::protocol::Quoted;

use crate::server::json::{InvalidField, ObjectText};

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
        template_variables: template_variables(body, continues_last)?,
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
            // A call that the model broke off is in the history as it is: templates take any text.
            if text.trim().is_empty() { "{}".to_owned() } else { text }
        }
        Some(raw) if raw.get().starts_with('{') => raw.get().to_owned(),
        Some(raw) => {
            let sent: String = raw.get().chars().take(MAX_QUOTED_CHARS).collect();
            let reason = format_args!("must be an object or the text of one, not {sent}");
            return Err(ApiError::invalid(format!("{path}.function.arguments"), reason));
        }
    };
    Ok(ToolCall {
        id: sent.id.unwrap_or_else(|| format!("call_{message}_{index}")),
        name: sent.function.name,
        arguments: JsonText(arguments),
    })
}

/// Reads the tool at `index`.
fn tool(index: usize, sent: ToolFields) -> Result<Tool, ApiError> {
    let (kind, function) = (sent.r#type, sent.function);
    if kind != "function" {
        let reason = format_args!("must be function, not {}", Quoted(&kind));
        return Err(ApiError::invalid(format!("tools[{index}].type"), reason));
    }
    let Some(function) = function else {
        return Err(ApiError::invalid(format!("tools[{index}].function"), "is missing"));
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
    let ends_with_answer = messages.last().is_some_and(|last| last.role == Role::Assistant);
    match body.continue_final_message {
        None => Ok(adds_prompt == Some(false) && ends_with_answer),
        Some(false) => Ok(false),
        Some(true) if adds_prompt == Some(true) => {
            let reason = "and add_generation_prompt exclude each other";
            Err(ApiError::invalid("continue_final_message", reason))
        }
        Some(true) if ends_with_answer => Ok(true),
        Some(true) => {
            let reason = "needs a message of the assistant at the end";
            Err(ApiError::invalid("continue_final_message", reason))
        }
    }
}

/// The variables for the chat template. Those of `chat_template_kwargs` have precedence.
fn template_variables(
    body: &mut CompletionBody,
    continues_last: bool,
) -> Result<Vec<(String, JsonText)>, ApiError> {
    let mut variables: Vec<(String, JsonText)> = Vec::new();
    let mut set = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), JsonText(value)));
    };
    if body.add_generation_prompt == Some(false) && !continues_last {
        set("add_generation_prompt", "false".to_owned());
    }
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
        check_variable(&name)?;
        set(&name, value.get().to_owned());
    }
    Ok(variables)
}

/// Checks that a request may set the variable `name` of the chat template.
///
/// # Errors
/// [`InvalidField`], if the server sets it.
pub(super) fn check_variable(name: &str) -> Result<(), InvalidField> {
    if SET_VARIABLES.contains(&name) {
        let path = format!("chat_template_kwargs.{name}");
        return Err(InvalidField::new(path, "is set by the server: leave it out"));
    }
    Ok(())
}

/// The text of a value, which is moved.
pub(super) fn json_text(raw: Box<RawValue>) -> JsonText {
    JsonText(Box::<str>::from(raw).into_string())
}

/// Variables of chat templates that the server sets.
const SET_VARIABLES: [&str; 5] = ["messages", "tools", "documents", "bos_token", "eos_token"];

/// Most characters of a value that an error quotes.
const MAX_QUOTED_CHARS: usize = 40;

#[cfg(test)]
mod tests;
