//! The conversation of an `infer` frame: `messages`, and the fields beside them that change how the
//! chat template writes them.

use std::borrow::Cow;

use crate::domain::{Conversation, JsonText, Message, Refusal, Role};

use super::fields::{Fields, expected, invalid};
use super::json::{JsonArray, JsonSlice, Quoted};
use super::tools;
use super::warnings::{Place, Warnings};

/// Reads the conversation whose messages are `sent`, in a frame with `fields`; `None` if `sent` is
/// not a list.
pub(super) fn parse(
    sent: JsonSlice<'_>,
    fields: &Fields<'_>,
    warnings: &mut Warnings,
) -> Option<Result<Conversation, Refusal>> {
    sent.array(MAX_MESSAGES).map(|array| conversation(&array, fields, warnings))
}

fn conversation(
    array: &JsonArray<'_>,
    fields: &Fields<'_>,
    warnings: &mut Warnings,
) -> Result<Conversation, Refusal> {
    let messages = messages(array, warnings)?;
    let tools = tools::definitions(fields)?;
    let continues_last = fields.flag("continue_final_message")?.unwrap_or(false);
    if continues_last && messages.last().is_none_or(|last| last.role != Role::Assistant) {
        let reason = "needs a last message of the assistant: send one, or leave it out";
        return Err(invalid("continue_final_message", reason));
    }
    Ok(Conversation {
        tool_choice: tools::choice(fields, &tools)?,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?.unwrap_or(true),
        documents: documents(fields)?,
        template_variables: template_variables(fields)?,
        continues_last,
        messages,
        tools,
    })
}

/// Reads 1 to [`MAX_MESSAGES`] messages.
fn messages(array: &JsonArray<'_>, warnings: &mut Warnings) -> Result<Vec<Message>, Refusal> {
    if array.len == 0 {
        return Err(invalid("messages", "must not be empty: send at least one"));
    }
    if array.len > MAX_MESSAGES {
        let reason = format!("must have at most {MAX_MESSAGES} messages, not {}", array.len);
        return Err(invalid("messages", reason));
    }
    let mut n_calls = 0;
    let mut messages = Vec::with_capacity(array.items.len());
    for (i, &item) in array.items.iter().enumerate() {
        let message = message(i, item, warnings)?;
        n_calls += message.tool_calls.len();
        if n_calls > MAX_CALLS {
            let reason = format!("must have at most {MAX_CALLS} calls of tools in all");
            return Err(invalid("messages", reason));
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Reads the message at `index` of a conversation.
fn message(index: usize, sent: JsonSlice<'_>, warnings: &mut Warnings) -> Result<Message, Refusal> {
    let field = |name: &str| format!("messages[{index}]{name}");
    let fields = Fields::of(sent, Place::Message(index), warnings)
        .ok_or_else(|| expected(&field(""), "an object with role and content", sent))?;
    let Some(role) = fields.raw("role") else {
        return Err(invalid(&field(".role"), format!("is missing: send {ROLE_NAMES}")));
    };
    let role = role
        .text()
        .and_then(|name| role_named(&name))
        .ok_or_else(|| expected(&field(".role"), ROLE_NAMES, role))?;
    let of_role = |name: &str, of: Role| match fields.get(name) {
        Some(_) if role != of => {
            let whose = if of == Role::Tool { "tools" } else { "the assistant" };
            let reason = format!("belongs to messages of {whose}: leave it out");
            Err(invalid(&field(&format!(".{name}")), reason))
        }
        sent => Ok(sent),
    };
    let text = |name: &str, sent: Option<JsonSlice<'_>>| match sent {
        Some(sent) => match sent.text() {
            Some(text) => Ok(Some(text.into_owned())),
            None => Err(expected(&field(&format!(".{name}")), "a string", sent)),
        },
        None => Ok(None),
    };
    let tool_calls = match of_role("tool_calls", Role::Assistant)? {
        Some(sent) => tools::calls(&field(".tool_calls"), sent)?,
        None => Vec::new(),
    };
    let content = match fields.raw("content") {
        Some(sent) if !sent.is_null() => content(&field(".content"), sent)?,
        _ if !tool_calls.is_empty() => String::new(),
        Some(sent) => return Err(expected(&field(".content"), CONTENT, sent)),
        None => return Err(invalid(&field(".content"), "is missing: send a string")),
    };
    let reasoning = of_role("reasoning_content", Role::Assistant)?;
    let tool_call_id = of_role("tool_call_id", Role::Tool)?;
    Ok(Message {
        role,
        content,
        reasoning: text("reasoning_content", reasoning)?,
        tool_calls,
        tool_call_id: text("tool_call_id", tool_call_id)?,
        name: text("name", fields.get("name"))?,
    })
}

/// Reads a content: a string, or a list of parts, whose texts become one with line breaks between
/// them.
fn content(field: &str, sent: JsonSlice<'_>) -> Result<String, Refusal> {
    if let Some(text) = sent.text() {
        return Ok(text.into_owned());
    }
    let array = sent.array(MAX_PARTS).ok_or_else(|| expected(field, CONTENT, sent))?;
    if array.len > MAX_PARTS {
        let reason = format!("must have at most {MAX_PARTS} parts, not {}", array.len);
        return Err(invalid(field, reason));
    }
    let texts = array.items.iter().enumerate().map(|(i, &part)| {
        let field = format!("{field}[{i}]");
        let fields = part
            .fields(&["type", "text"], |_, _| {})
            .ok_or_else(|| expected(&field, PART, part))?;
        let kind = fields.get("type").and_then(|kind| kind.text());
        if kind.as_deref() != Some("text") {
            let kind = kind.unwrap_or(Cow::Borrowed(""));
            let reason =
                format!("must be \"text\", not {}: the server reads text only", Quoted(&kind));
            return Err(invalid(&format!("{field}.type"), reason));
        }
        let text = fields.get("text").and_then(|text| text.text());
        text.ok_or_else(|| expected(&field, PART, part))
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// Reads `documents`.
fn documents(fields: &Fields<'_>) -> Result<Vec<JsonText>, Refusal> {
    let Some(sent) = fields.get("documents") else { return Ok(Vec::new()) };
    let array = sent
        .array(MAX_DOCUMENTS)
        .ok_or_else(|| expected("documents", "a list of objects", sent))?;
    if array.len > MAX_DOCUMENTS {
        let reason = format!("must have at most {MAX_DOCUMENTS} documents, not {}", array.len);
        return Err(invalid("documents", reason));
    }
    let document = |(i, document): (usize, &JsonSlice<'_>)| match document.is_object() {
        true => Ok(document.to_json_text()),
        false => Err(expected(&format!("documents[{i}]"), "an object", document)),
    };
    array.items.iter().enumerate().map(document).collect()
}

/// Reads `reasoning_effort`, `enable_thinking` and `chat_template_kwargs`, which all become
/// variables of the chat template.
fn template_variables(fields: &Fields<'_>) -> Result<Vec<(String, JsonText)>, Refusal> {
    let mut variables = Vec::new();
    if let Some(sent) = fields.get("reasoning_effort") {
        let is_short = sent.text().is_some_and(|text| text.len() <= MAX_EFFORT_BYTES);
        if !is_short {
            let allowed = "a short string, such as \"low\" or \"high\"";
            return Err(expected("reasoning_effort", allowed, sent));
        }
        variables.push(("reasoning_effort".to_owned(), sent.to_json_text()));
    }
    if let Some(enabled) = fields.flag("enable_thinking")? {
        variables.push(("enable_thinking".to_owned(), JsonText(enabled.to_string())));
    }
    let Some(sent) = fields.get(KWARGS) else { return Ok(variables) };
    let object = sent.object(MAX_VARIABLES).ok_or_else(|| expected(KWARGS, "an object", sent))?;
    if object.len > MAX_VARIABLES {
        let reason = format!("must have at most {MAX_VARIABLES} variables, not {}", object.len);
        return Err(invalid(KWARGS, reason));
    }
    for (name, value) in object.items {
        if RESERVED_VARIABLES.contains(&name.as_str()) {
            let reason = format!("must not have {name}: the server sets it");
            return Err(invalid(KWARGS, reason));
        }
        if variables.iter().any(|(other, _)| *other == name) {
            let reason = format!("has {name}, which the frame has as well: send it once");
            return Err(invalid(KWARGS, reason));
        }
        variables.push((name, value.to_json_text()));
    }
    Ok(variables)
}

/// The role called `name` on the wire.
fn role_named(name: &str) -> Option<Role> {
    let roles = [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool];
    roles.into_iter().find(|role| role.name() == name)
}

/// The names of all roles, for error messages.
const ROLE_NAMES: &str = "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"";

/// What a content may be, for error messages.
const CONTENT: &str = "a string, or a list of parts {\"type\":\"text\",\"text\":…}";

/// What a part of a content may be, for error messages.
const PART: &str = "{\"type\":\"text\",\"text\":…}";

/// The field with variables of the template.
const KWARGS: &str = "chat_template_kwargs";

/// Variables that the server sets from other fields.
const RESERVED_VARIABLES: [&str; 4] = ["messages", "tools", "documents", "add_generation_prompt"];

/// Maximum number of messages of a conversation. At 64 tokens per message it fills a context of a
/// million tokens. Rendering a chat template takes far more memory per message than its text has.
const MAX_MESSAGES: usize = 16_384;

/// Most calls of tools in all messages of a conversation. A call takes far more memory than the
/// shortest text of one (ADR-0022).
const MAX_CALLS: usize = 16_384;

/// Most parts of one content.
const MAX_PARTS: usize = 1024;

/// Most documents of a conversation.
const MAX_DOCUMENTS: usize = 1024;

/// Most variables of the chat template that a request may set.
const MAX_VARIABLES: usize = 64;

/// Most bytes of `reasoning_effort`.
const MAX_EFFORT_BYTES: usize = 32;
