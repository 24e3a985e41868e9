//! Reads `system` and `messages`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess};

use crate::domain::{JsonText, Message, Role, ToolCall};
use crate::protocol::Quoted;
use crate::server::json::{AtMost, InvalidField, ObjectText, Unused, read_forms, words};

use super::attribution::without_attribution;

words! {
    /// Who wrote a message.
    enum SentRole {
        User = "user",
        Assistant = "assistant",
        System = "system",
    }
}

/// One message of the conversation.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SentMessage {
    role: SentRole,
    content: BlockContent,
}

/// Content: a text, or a list of blocks.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum BlockContent {
    Text(String),
    Blocks(AtMost<ContentBlock, MAX_BLOCKS>),
}

read_forms! {
    BlockContent, "a string or a list of blocks",
    fn visit_str<E: Error>(self, text: &str) -> Result<BlockContent, E> {
        Ok(BlockContent::Text(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<BlockContent, E> {
        Ok(BlockContent::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<BlockContent, A::Error> {
        AtMost::deserialize(SeqAccessDeserializer::new(list)).map(BlockContent::Blocks)
    }
}

/// A block of content, which has the fields of its type.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ContentBlock {
    /// `text`, `thinking`, `redacted_thinking`, `tool_use` or `tool_result`.
    r#type: String,
    /// Of `text`.
    text: Option<String>,
    /// Of `thinking`.
    thinking: Option<String>,
    /// Of `tool_use`.
    id: Option<String>,
    /// Of `tool_use`.
    name: Option<String>,
    /// Of `tool_use`: the arguments.
    input: Option<ObjectText>,
    /// Of `tool_result`: the call that it answers.
    tool_use_id: Option<String>,
    /// Of `tool_result`.
    content: Option<Box<BlockContent>>,
    #[serde(rename = "cache_control")]
    _cache_control: Option<Unused>,
    #[serde(rename = "signature")]
    _signature: Option<Unused>,
    #[serde(rename = "data")]
    _data: Option<Unused>,
    #[serde(rename = "citations")]
    _citations: Option<Unused>,
    #[serde(rename = "is_error")]
    _is_error: Option<Unused>,
}

/// Reads `system`: a text or a list of text blocks. Lines about billing are left out, unless
/// `keeps_attribution`.
pub(super) fn system(
    sent: BlockContent,
    keeps_attribution: bool,
) -> Result<Option<Message>, InvalidField> {
    let texts = texts_of("system", sent)?;
    let normal = |text: &str| match keeps_attribution {
        true => text.to_owned(),
        false => without_attribution(text).into_owned(),
    };
    let texts: Vec<String> =
        texts.iter().map(|text| normal(text)).filter(|text| !text.is_empty()).collect();
    let text = texts.join("\n\n");
    Ok((!text.is_empty()).then(|| Message::text(Role::System, text)))
}

/// Adds what a client sent to `messages`. Several messages of one author after another become one,
/// as in Anthropic's API.
pub(super) fn add_messages(
    sent: Vec<SentMessage>,
    messages: &mut Vec<Message>,
) -> Result<(), InvalidField> {
    for (i, SentMessage { role, content }) in sent.into_iter().enumerate() {
        let path = format!("messages[{i}].content");
        match role {
            SentRole::User => add_user(&path, content, messages)?,
            SentRole::Assistant => add_assistant(&path, content, messages)?,
            SentRole::System => {
                let text = texts_of(&path, content)?.join("\n");
                messages.push(Message::text(Role::System, text));
            }
        }
    }
    Ok(())
}

/// Adds a message of the user: its text, and the results of tools, each of which is a message.
fn add_user(
    path: &str,
    sent: BlockContent,
    messages: &mut Vec<Message>,
) -> Result<(), InvalidField> {
    let blocks = match sent {
        BlockContent::Text(text) => {
            add_user_text(&text, messages);
            return Ok(());
        }
        BlockContent::Blocks(blocks) => blocks.0,
    };
    for (i, block) in blocks.into_iter().enumerate() {
        let path = format!("{path}[{i}]");
        match &*block.r#type {
            "tool_result" => {
                let id = required(&path, "tool_use_id", block.tool_use_id)?;
                let content = match block.content {
                    Some(sent) => texts_of(&format!("{path}.content"), *sent)?.join("\n"),
                    None => String::new(),
                };
                let calls = messages.iter().rev().flat_map(|message| &message.tool_calls);
                let name =
                    calls.into_iter().find(|call| call.id == id).map(|call| call.name.clone());
                let message = Message::text(Role::Tool, content);
                messages.push(Message { tool_call_id: Some(id), name, ..message });
            }
            _ => add_user_text(&text_of(&path, block)?, messages),
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

/// Adds a message of the assistant: thinking, text and calls of tools.
fn add_assistant(
    path: &str,
    sent: BlockContent,
    messages: &mut Vec<Message>,
) -> Result<(), InvalidField> {
    if messages.last().is_none_or(|last| last.role != Role::Assistant) {
        messages.push(Message::text(Role::Assistant, ""));
    }
    let Some(message) = messages.last_mut() else { return Ok(()) };
    let blocks = match sent {
        BlockContent::Text(text) => {
            message.content.push_str(&text);
            return Ok(());
        }
        BlockContent::Blocks(blocks) => blocks.0,
    };
    for (i, block) in blocks.into_iter().enumerate() {
        let path = format!("{path}[{i}]");
        match &*block.r#type {
            "thinking" => {
                let text = required(&path, "thinking", block.thinking)?;
                message.reasoning.get_or_insert_default().push_str(&text);
            }
            // Only Anthropic can read it.
            "redacted_thinking" => {}
            "tool_use" => {
                let id = required(&path, "id", block.id)?;
                let name = required(&path, "name", block.name)?;
                let arguments = block.input.map(ObjectText::into_text);
                let arguments = arguments.unwrap_or_else(|| JsonText("{}".to_owned()));
                message.tool_calls.push(ToolCall { id, name, arguments });
            }
            _ => message.content.push_str(&text_of(&path, block)?),
        }
    }
    Ok(())
}

/// The texts of `sent`: a string, or a list of text blocks.
fn texts_of(path: &str, sent: BlockContent) -> Result<Vec<String>, InvalidField> {
    match sent {
        BlockContent::Text(text) => Ok(vec![text]),
        BlockContent::Blocks(blocks) => {
            let blocks = blocks.0.into_iter().enumerate();
            blocks.map(|(i, block)| text_of(&format!("{path}[{i}]"), block)).collect()
        }
    }
}

/// The text of a block, which has to be a text block.
fn text_of(path: &str, block: ContentBlock) -> Result<String, InvalidField> {
    match &*block.r#type {
        "text" => required(path, "text", block.text),
        other => {
            let reason = format!("must be text, not {}: the model reads text only", Quoted(other));
            Err(InvalidField::new(format!("{path}.type"), reason))
        }
    }
}

fn required(path: &str, name: &str, sent: Option<String>) -> Result<String, InvalidField> {
    sent.ok_or_else(|| InvalidField::new(format!("{path}.{name}"), "is missing"))
}

/// Most blocks of a content.
const MAX_BLOCKS: usize = 16 * 1024;
