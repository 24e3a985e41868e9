//! Turns the events of an answer into those of a message.
//!
//! A [`MessageStream`] holds the message as far as it has come: blocks of thinking, text and calls
//! of tools. Its events are `message_start` first, then block by block, and `message_delta` and
//! `message_stop` last. At most one block is open at a time.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::answer::AnswerEvent;
use crate::domain::{FinishReason, Usage};
use crate::server::openai::generation::GenerationEnd;

/// A message that is being generated.
#[derive(Debug)]
pub(super) struct MessageStream {
    id: String,
    model: String,
    blocks: Vec<MessageBlock>,
    /// Whether the last block has not ended.
    is_open: bool,
    /// Whether a call is complete.
    has_called: bool,
}

/// A block of the message.
#[derive(Debug)]
enum MessageBlock {
    Thinking(String),
    Text(String),
    ToolUse { id: String, name: String, input: String },
}

/// An event that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageEvent {
    /// Its type, such as `message_start`.
    pub(super) name: &'static str,
    /// It in JSON.
    pub(super) json: String,
}

impl MessageEvent {
    fn new(name: &'static str, body: impl Serialize) -> Self {
        let json = serde_json::to_string(&body).expect("events have string keys");
        Self { name, json }
    }

    /// The sign of life.
    pub(super) fn ping() -> Self {
        Self::new("ping", json!({"type": "ping"}))
    }
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    r#type: &'static str,
    index: usize,
    delta: DeltaBody<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum DeltaBody<'a> {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

impl MessageStream {
    /// The message `id` of `model`.
    pub(super) fn new(id: String, model: String) -> Self {
        Self { id, model, blocks: Vec::new(), is_open: false, has_called: false }
    }

    /// The first event. The number of tokens is not known yet; the last events have it.
    pub(super) fn begin(&self, events: &mut Vec<MessageEvent>) {
        let message = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": message_usage(&Usage::default()),
        });
        let body = json!({"type": "message_start", "message": message});
        events.push(MessageEvent::new("message_start", body));
    }

    /// Adds the events for a part of the answer.
    pub(super) fn push(&mut self, event: AnswerEvent, events: &mut Vec<MessageEvent>) {
        match event {
            AnswerEvent::Reasoning(text) if text.is_empty() => {}
            AnswerEvent::Reasoning(text) => {
                if !(self.is_open && matches!(self.blocks.last(), Some(MessageBlock::Thinking(_))))
                {
                    let start = json!({"type": "thinking", "thinking": "", "signature": ""});
                    self.begin_block(MessageBlock::Thinking(String::new()), &start, events);
                }
                self.delta(DeltaBody::Thinking { thinking: &text }, events);
            }
            AnswerEvent::Text(text) if text.is_empty() => {}
            AnswerEvent::Text(text) => {
                if !(self.is_open && matches!(self.blocks.last(), Some(MessageBlock::Text(_)))) {
                    let start = json!({"type": "text", "text": ""});
                    self.begin_block(MessageBlock::Text(String::new()), &start, events);
                }
                self.delta(DeltaBody::Text { text: &text }, events);
            }
            AnswerEvent::CallBegan { name } => {
                let id = self.call_id();
                let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                let block = MessageBlock::ToolUse { id, name, input: String::new() };
                self.begin_block(block, &start, events);
            }
            AnswerEvent::CallArguments(text) => {
                self.delta(DeltaBody::InputJson { partial_json: &text }, events);
            }
            AnswerEvent::CallEnded => {
                self.has_called = true;
                self.end_block(events);
            }
            AnswerEvent::CallBroken => self.end_block(events),
            AnswerEvent::Warning(_) => {}
        }
    }

    /// Adds the last events.
    pub(super) fn finish(&mut self, end: &GenerationEnd, events: &mut Vec<MessageEvent>) {
        self.end_block(events);
        let (reason, stop) = self.stop_reason(end);
        let delta = json!({"stop_reason": reason, "stop_sequence": stop});
        let usage = message_usage(&end.usage);
        let mut body = json!({"type": "message_delta", "delta": delta, "usage": usage});
        if !end.warnings.is_empty() {
            body["warnings"] = end.warnings.clone().into();
        }
        events.push(MessageEvent::new("message_delta", body));
        events.push(MessageEvent::new("message_stop", json!({"type": "message_stop"})));
    }

    /// The whole message in JSON.
    pub(super) fn message(&self, end: &GenerationEnd) -> String {
        let (stop_reason, stop_sequence) = self.stop_reason(end);
        let content: Vec<WholeBlock<'_>> = self.blocks.iter().map(WholeBlock::of).collect();
        let message = WholeMessage {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content,
            stop_reason,
            stop_sequence,
            usage: message_usage(&end.usage),
            warnings: &end.warnings,
        };
        serde_json::to_string(&message).expect("messages have string keys")
    }

    /// Why the message ended, and the stop string if that is the reason. A client has to answer
    /// calls of tools, whatever ended the message after them.
    fn stop_reason<'e>(&self, end: &'e GenerationEnd) -> (&'static str, Option<&'e str>) {
        match (end.reason, end.stop.as_deref()) {
            (FinishReason::Stop, _) if self.has_called => ("tool_use", None),
            (FinishReason::Stop, Some(stop)) => ("stop_sequence", Some(stop)),
            (FinishReason::Stop | FinishReason::Abort, _) => ("end_turn", None),
            (FinishReason::MaxTokens, _) => ("max_tokens", None),
            (FinishReason::ContextFull, _) => ("model_context_window_exceeded", None),
        }
    }

    fn begin_block(
        &mut self,
        block: MessageBlock,
        content_block: &serde_json::Value,
        events: &mut Vec<MessageEvent>,
    ) {
        self.end_block(events);
        let index = self.blocks.len();
        let body =
            json!({"type": "content_block_start", "index": index, "content_block": content_block});
        events.push(MessageEvent::new("content_block_start", body));
        self.blocks.push(block);
        self.is_open = true;
    }

    /// More of the open block.
    fn delta(&mut self, delta: DeltaBody<'_>, events: &mut Vec<MessageEvent>) {
        let Some(last) = self.blocks.last_mut() else { return };
        match (&delta, last) {
            (DeltaBody::Thinking { thinking: more }, MessageBlock::Thinking(text))
            | (DeltaBody::Text { text: more }, MessageBlock::Text(text))
            | (
                DeltaBody::InputJson { partial_json: more },
                MessageBlock::ToolUse { input: text, .. },
            ) => {
                text.push_str(more);
            }
            _ => {}
        }
        let index = self.blocks.len() - 1;
        let body = BlockDelta { r#type: "content_block_delta", index, delta };
        events.push(MessageEvent::new("content_block_delta", body));
    }

    fn end_block(&mut self, events: &mut Vec<MessageEvent>) {
        if !std::mem::replace(&mut self.is_open, false) {
            return;
        }
        let index = self.blocks.len() - 1;
        if matches!(self.blocks.last(), Some(MessageBlock::Thinking(_))) {
            // Clients wait for it. There is nothing to sign.
            let signature = DeltaBody::Signature { signature: "" };
            self.delta(signature, events);
        }
        let body = json!({"type": "content_block_stop", "index": index});
        events.push(MessageEvent::new("content_block_stop", body));
    }

    /// The id of the next call: unguessable as that of the message, and different from others.
    fn call_id(&self) -> String {
        let random = self.id.split_once('_').map_or("", |(_, random)| random);
        format!("toolu_{random}{:02x}", self.blocks.len())
    }
}

/// A message as a whole.
#[derive(Serialize, JsonSchema)]
pub(super) struct WholeMessage<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<WholeBlock<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: MessageUsage,
    /// What could not be read. Not a field of Anthropic's.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WholeBlock<'a> {
    Thinking { thinking: &'a str, signature: &'static str },
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Box<RawValue> },
}

impl<'a> WholeBlock<'a> {
    fn of(block: &'a MessageBlock) -> Self {
        match block {
            MessageBlock::Thinking(text) => Self::Thinking { thinking: text, signature: "" },
            MessageBlock::Text(text) => Self::Text { text },
            MessageBlock::ToolUse { id, name, input } => match RawValue::from_string(input.clone())
            {
                Ok(input) => Self::ToolUse { id, name, input },
                // A limit has cut the arguments, which then are no JSON.
                Err(_) => Self::Text { text: input },
            },
        }
    }
}

/// The tokens of a message. What came from the prefix cache counts apart.
#[derive(Serialize, JsonSchema)]
struct MessageUsage {
    input_tokens: usize,
    cache_creation_input_tokens: usize,
    cache_read_input_tokens: usize,
    output_tokens: usize,
}

fn message_usage(usage: &Usage) -> MessageUsage {
    MessageUsage {
        input_tokens: usage.prompt_tokens - usage.cached_tokens,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: usage.cached_tokens,
        output_tokens: usage.tokens,
    }
}

#[cfg(test)]
mod tests;
