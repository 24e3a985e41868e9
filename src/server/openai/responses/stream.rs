//! Turns the events of an answer into those of a response.
//!
//! A [`ResponseStream`] holds the response as far as it has come. Its events are `response.created`
//! and `response.in_progress` first, then the output item by item, and the whole response last. At
//! most one item is open at a time.

use std::sync::Arc;

use crate::answer::AnswerEvent;
use crate::domain::{FinishReason, JsonText, Role, ToolCall, Usage};
use crate::server::openai::parts::now;

use super::events::{
    ArgumentsDeltaBody, ArgumentsDoneBody, EventWriter, ItemBody, PartBody, ResponseEvent,
    TextDeltaBody, TextDoneBody, WholeBody,
};
use super::items::ResponseItem;
use super::object::{
    ItemStatus, OutputItem, OutputPart, ResponseFacts, ResponseObject, ResponseState, ResponseUsage,
};
use super::tools::ToolNames;

/// A response that is being generated.
#[derive(Debug)]
pub(super) struct ResponseStream {
    facts: Arc<ResponseFacts>,
    warnings: Vec<String>,
    names: ToolNames,
    writer: EventWriter,
    state: ResponseState,
    output: Vec<OutputItem>,
    /// Whether the last item of the output has not ended.
    is_open: bool,
}

impl ResponseStream {
    /// The response with these `facts`, in the lane `stream_id`.
    pub(super) fn new(
        facts: Arc<ResponseFacts>,
        names: ToolNames,
        stream_id: Option<String>,
    ) -> Self {
        Self {
            warnings: facts.warnings.clone(),
            facts,
            names,
            writer: EventWriter::new(stream_id),
            state: ResponseState::InProgress,
            output: Vec::new(),
            is_open: false,
        }
    }

    /// The first events.
    pub(super) fn begin(&mut self, events: &mut Vec<ResponseEvent>) {
        self.whole("response.created", events);
        self.whole("response.in_progress", events);
    }

    /// Adds the events for a part of the answer.
    pub(super) fn push(&mut self, event: AnswerEvent, events: &mut Vec<ResponseEvent>) {
        match event {
            AnswerEvent::Reasoning(text) => self.text(&text, true, events),
            AnswerEvent::Text(text) => self.text(&text, false, events),
            AnswerEvent::CallBegan { name } => self.begin_call(&name, events),
            AnswerEvent::CallArguments(text) => self.arguments(&text, events),
            AnswerEvent::CallEnded => self.end_item(true, events),
            AnswerEvent::CallBroken => self.end_item(false, events),
            AnswerEvent::Warning(text) => self.warnings.push(text),
        }
    }

    /// Adds the last events of an answer that ended.
    pub(super) fn finish(
        &mut self,
        reason: FinishReason,
        usage: &Usage,
        events: &mut Vec<ResponseEvent>,
    ) {
        let is_complete = reason == FinishReason::Stop;
        self.end_item(is_complete, events);
        let usage = ResponseUsage::new(usage);
        self.state = match reason {
            FinishReason::Abort => ResponseState::Cancelled,
            FinishReason::Stop | FinishReason::MaxTokens | FinishReason::ContextFull => {
                ResponseState::Ended { is_complete, completed_at: now(), usage }
            }
        };
        let name = if is_complete { "response.completed" } else { "response.incomplete" };
        self.whole(name, events);
    }

    /// Adds warnings for the client.
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.warnings.extend(warnings);
    }

    /// Adds the last event of an answer that failed.
    pub(super) fn fail(
        &mut self,
        code: &'static str,
        message: String,
        events: &mut Vec<ResponseEvent>,
    ) {
        self.end_item(false, events);
        self.state = ResponseState::Failed { code, message };
        self.whole("response.failed", events);
    }

    /// The response in JSON, as far as it has come.
    pub(super) fn json(&self) -> String {
        let (facts, state, output) = (&self.facts, &self.state, &self.output);
        let object = ResponseObject::new(facts, state, output, &self.warnings);
        serde_json::to_string(&object).expect("responses have string keys")
    }

    /// The id of the response.
    pub(super) fn id(&self) -> &str {
        &self.facts.id
    }

    /// The id of the response that this one continues.
    pub(super) fn previous_id(&self) -> Option<&str> {
        self.facts.settings.previous_response_id.as_deref()
    }

    /// The output as items of the conversation, with their ids.
    pub(super) fn items(&self) -> Vec<(String, ResponseItem)> {
        let item_of = |item: &OutputItem| {
            (item.id().to_owned(), conversation_item(item.clone(), &self.names))
        };
        self.output.iter().map(item_of).collect()
    }

    fn whole(&mut self, name: &'static str, events: &mut Vec<ResponseEvent>) {
        let (facts, state, output) = (&self.facts, &self.state, &self.output);
        let response = ResponseObject::new(facts, state, output, &self.warnings);
        events.push(self.writer.write(name, WholeBody { response }));
    }

    /// More text, of the reasoning or of the answer.
    fn text(&mut self, text: &str, is_reasoning: bool, events: &mut Vec<ResponseEvent>) {
        if text.is_empty() {
            return;
        }
        let fits = match self.output.last() {
            Some(OutputItem::Reasoning { .. }) => is_reasoning,
            Some(OutputItem::Message { .. }) => !is_reasoning,
            Some(OutputItem::FunctionCall { .. }) | None => false,
        };
        if !(self.is_open && fits) {
            self.end_item(true, events);
            self.begin_text(is_reasoning, events);
        }
        let Some((
            OutputItem::Reasoning { id, content, .. } | OutputItem::Message { id, content, .. },
            output_index,
        )) = last(&mut self.output)
        else {
            return;
        };
        if let Some(part) = content.first_mut() {
            part.text_mut().push_str(text);
        }
        let (name, logprobs) = match is_reasoning {
            true => ("response.reasoning_text.delta", None),
            false => ("response.output_text.delta", Some([])),
        };
        let body =
            TextDeltaBody { item_id: id, output_index, content_index: 0, delta: text, logprobs };
        events.push(self.writer.write(name, body));
    }

    fn begin_text(&mut self, is_reasoning: bool, events: &mut Vec<ResponseEvent>) {
        let status = ItemStatus::InProgress;
        let content = Vec::new();
        let item = if is_reasoning {
            let id = self.item_id("rs");
            OutputItem::Reasoning { id, summary: [], content, encrypted_content: None, status }
        } else {
            OutputItem::Message { id: self.item_id("msg"), role: "assistant", status, content }
        };
        self.begin_item(item, events);
        let Some((
            OutputItem::Reasoning { id, content, .. } | OutputItem::Message { id, content, .. },
            output_index,
        )) = last(&mut self.output)
        else {
            return;
        };
        let empty = String::new();
        content.push(match is_reasoning {
            true => OutputPart::ReasoningText { text: empty },
            false => OutputPart::output(empty),
        });
        let body = PartBody { item_id: id, output_index, content_index: 0, part: &content[0] };
        events.push(self.writer.write("response.content_part.added", body));
    }

    fn begin_call(&mut self, name: &str, events: &mut Vec<ResponseEvent>) {
        self.end_item(true, events);
        let (namespace, name) = self.names.known_to_client(name);
        let item = OutputItem::FunctionCall {
            id: self.item_id("fc"),
            call_id: self.item_id("call"),
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            arguments: String::new(),
            status: ItemStatus::InProgress,
        };
        self.begin_item(item, events);
    }

    fn arguments(&mut self, text: &str, events: &mut Vec<ResponseEvent>) {
        if let Some((OutputItem::FunctionCall { id, arguments, .. }, output_index)) =
            last(&mut self.output)
        {
            arguments.push_str(text);
            let body = ArgumentsDeltaBody { item_id: id, output_index, delta: text };
            events.push(self.writer.write("response.function_call_arguments.delta", body));
        }
    }

    fn begin_item(&mut self, item: OutputItem, events: &mut Vec<ResponseEvent>) {
        let body = ItemBody { output_index: self.output.len(), item: &item };
        events.push(self.writer.write("response.output_item.added", body));
        self.output.push(item);
        self.is_open = true;
    }

    /// Ends the open item, if there is one.
    fn end_item(&mut self, is_complete: bool, events: &mut Vec<ResponseEvent>) {
        if !std::mem::replace(&mut self.is_open, false) {
            return;
        }
        let Some((item, output_index)) = last(&mut self.output) else { return };
        item.end(is_complete);
        match &*item {
            OutputItem::Reasoning { id, content, .. } | OutputItem::Message { id, content, .. } => {
                let part = &content[0];
                let (name, logprobs) = match part {
                    OutputPart::ReasoningText { .. } => ("response.reasoning_text.done", None),
                    OutputPart::OutputText { .. } => ("response.output_text.done", Some([])),
                };
                let text = part.text();
                let place = (id, output_index, 0);
                let (item_id, output_index, content_index) = place;
                let body = TextDoneBody { item_id, output_index, content_index, text, logprobs };
                events.push(self.writer.write(name, body));
                let body = PartBody { item_id, output_index, content_index, part };
                events.push(self.writer.write("response.content_part.done", body));
            }
            OutputItem::FunctionCall { id, name, arguments, .. } => {
                let body = ArgumentsDoneBody { item_id: id, output_index, name, arguments };
                events.push(self.writer.write("response.function_call_arguments.done", body));
            }
        }
        let body = ItemBody { output_index, item };
        events.push(self.writer.write("response.output_item.done", body));
    }

    /// The id of the next item: unguessable as that of the response, and different from others.
    fn item_id(&self, prefix: &str) -> String {
        let random = self.facts.id.split_once('_').map_or("", |(_, random)| random);
        format!("{prefix}_{random}{:02x}", self.output.len())
    }
}

/// The last item of the output, and its index.
fn last(output: &mut [OutputItem]) -> Option<(&mut OutputItem, usize)> {
    let index = output.len().checked_sub(1)?;
    Some((&mut output[index], index))
}

/// An item of the output as one of the conversation.
fn conversation_item(item: OutputItem, names: &ToolNames) -> ResponseItem {
    let text_of =
        |content: Vec<OutputPart>| -> String { content.iter().map(OutputPart::text).collect() };
    match item {
        OutputItem::Reasoning { content, .. } => ResponseItem::Reasoning(text_of(content)),
        OutputItem::Message { content, .. } => {
            ResponseItem::Message { role: Role::Assistant, text: text_of(content) }
        }
        // No template can write the beginning of a call.
        OutputItem::FunctionCall { arguments: text, status: ItemStatus::Incomplete, .. } => {
            ResponseItem::Message { role: Role::Assistant, text }
        }
        OutputItem::FunctionCall { call_id, name, namespace, arguments, .. } => {
            let name = names.known_to_model(namespace.as_deref(), &name);
            ResponseItem::Call(ToolCall { id: call_id, name, arguments: JsonText(arguments) })
        }
    }
}

#[cfg(test)]
mod tests;
