//! Reads `system` and `messages`.

use std::borrow::Cow;

use crate::domain::{JsonText, Message, Role, ToolCall};
use crate::protocol::{JsonSlice, Quoted};
use crate::server::json_fields::{InvalidField, JsonFields, values_of};

use super::attribution::without_attribution;

/// Reads `system`: a text or a list of text blocks. Lines about billing are left out, unless
/// `keeps_attribution`.
pub(super) fn system(
    sent: JsonSlice<'_>,
    keeps_attribution: bool,
) -> Result<Option<Message>, InvalidField> {
    let texts = match sent.text() {
        Some(text) => vec![text.into_owned()],
        None => {
            let blocks = blocks("system", sent)?;
            blocks.into_iter().map(text_block).collect::<Result<Vec<_>, _>>()?
        }
    };
    let normal = |text: &str| match keeps_attribution {
        true => text.to_owned(),
        false => without_attribution(text).into_owned(),
    };
    let texts: Vec<String> =
        texts.iter().map(|text| normal(text)).filter(|text| !text.is_empty()).collect();
    let text = texts.join("\n\n");
    Ok((!text.is_empty()).then(|| Message::text(Role::System, text)))
}

/// Reads `messages` and adds them to `messages`. Several messages of one author after another
/// become one, as in Anthropic's API.
pub(super) fn read_messages(
    sent: JsonSlice<'_>,
    messages: &mut Vec<Message>,
) -> Result<(), InvalidField> {
    for (path, value) in values_of("messages", sent)? {
        let mut fields = JsonFields::of(&path, value)?;
        let role = fields.required_text("role")?;
        let content =
            fields.take("content").ok_or_else(|| fields.invalid("content", "is missing"))?;
        let path = fields.path("content");
        match &*role {
            "user" => read_user(&path, content, messages)?,
            "assistant" => read_assistant(&path, content, messages)?,
            "system" => messages.push(Message::text(Role::System, text_of(&path, content)?)),
            other => {
                let reason = format!("must be user or assistant, not {}", Quoted(other));
                return Err(fields.invalid("role", reason));
            }
        }
    }
    Ok(())
}

/// Reads a message of the user: its text, and the results of tools, each of which is a message.
fn read_user(
    path: &str,
    sent: JsonSlice<'_>,
    messages: &mut Vec<Message>,
) -> Result<(), InvalidField> {
    if let Some(text) = sent.text() {
        add_user_text(&text, messages);
        return Ok(());
    }
    for mut block in blocks(path, sent)? {
        match &*block.kind {
            "tool_result" => {
                let id = block.fields.required_text("tool_use_id")?;
                let content = match block.fields.take("content") {
                    Some(sent) => text_of(&block.fields.path("content"), sent)?,
                    None => String::new(),
                };
                let calls = messages.iter().rev().flat_map(|message| &message.tool_calls);
                let name =
                    calls.into_iter().find(|call| call.id == id).map(|call| call.name.clone());
                let message = Message::text(Role::Tool, content);
                messages.push(Message { tool_call_id: Some(id), name, ..message });
            }
            _ => add_user_text(&text_block(block)?, messages),
        }
    }
    Ok(())
}

fn add_user_text(text: &str, messages: &mut Vec<Message>) {
    match messages.last_mut() {
        Some(last) if last.role == Role::User => {
            last.content.push('\n');
            last.content.push_str(text);
        }
        _ => messages.push(Message::text(Role::User, text)),
    }
}

/// Reads a message of the assistant: thinking, text and calls of tools.
fn read_assistant(
    path: &str,
    sent: JsonSlice<'_>,
    messages: &mut Vec<Message>,
) -> Result<(), InvalidField> {
    if messages.last().is_none_or(|last| last.role != Role::Assistant) {
        messages.push(Message::text(Role::Assistant, ""));
    }
    let Some(message) = messages.last_mut() else { return Ok(()) };
    if let Some(text) = sent.text() {
        message.content.push_str(&text);
        return Ok(());
    }
    for mut block in blocks(path, sent)? {
        match &*block.kind {
            "thinking" => {
                let text = block.fields.required_text("thinking")?;
                message.reasoning.get_or_insert_default().push_str(&text);
            }
            // Only Anthropic can read it.
            "redacted_thinking" => {}
            "tool_use" => {
                let id = block.fields.required_text("id")?;
                let name = block.fields.required_text("name")?;
                let input = block.fields.object_text("input")?;
                let arguments = input.unwrap_or_else(|| JsonText("{}".to_owned()));
                message.tool_calls.push(ToolCall { id, name, arguments });
            }
            _ => message.content.push_str(&text_block(block)?),
        }
    }
    Ok(())
}

/// The text of `sent`: a string, or a list of text blocks.
fn text_of(path: &str, sent: JsonSlice<'_>) -> Result<String, InvalidField> {
    if let Some(text) = sent.text() {
        return Ok(text.into_owned());
    }
    let texts = blocks(path, sent)?.into_iter().map(text_block);
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// A block of content with its type.
struct ContentBlock<'a> {
    kind: Cow<'a, str>,
    fields: JsonFields<'a>,
}

fn blocks<'a>(path: &str, sent: JsonSlice<'a>) -> Result<Vec<ContentBlock<'a>>, InvalidField> {
    if sent.array(0).is_none() {
        let reason = format!("must be a string or a list of blocks, not {sent}");
        return Err(InvalidField::new(path, reason));
    }
    let read = |(path, value): (String, JsonSlice<'a>)| {
        let mut fields = JsonFields::of(&path, value)?;
        let kind = fields.text("type")?.ok_or_else(|| fields.invalid("type", "is missing"))?;
        Ok(ContentBlock { kind, fields })
    };
    values_of(path, sent)?.into_iter().map(read).collect()
}

/// The text of a block, which has to be a text block.
fn text_block(mut block: ContentBlock<'_>) -> Result<String, InvalidField> {
    match &*block.kind {
        "text" => block.fields.required_text("text"),
        other => {
            let reason = format!("the model reads text only, not {}", Quoted(other));
            Err(block.fields.invalid("type", reason))
        }
    }
}
