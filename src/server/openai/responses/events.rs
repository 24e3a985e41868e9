//! The events of a response in JSON: the data of a server-sent event, or a WebSocket message.

use serde::Serialize;

use super::object::{OutputItem, OutputPart, ResponseObject};

/// An event that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResponseEvent {
    /// Its type, such as `response.created`.
    pub(super) name: &'static str,
    /// It in JSON.
    pub(super) json: String,
}

/// Numbers events, and writes them.
#[derive(Debug)]
pub(super) struct EventWriter {
    next: u64,
    /// The lane, which each event repeats.
    stream_id: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'a, B> {
    #[serde(rename = "type")]
    name: &'static str,
    sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<&'a str>,
    #[serde(flatten)]
    body: B,
}

impl EventWriter {
    /// A writer of the events in the lane `stream_id`.
    pub(super) fn new(stream_id: Option<String>) -> Self {
        Self { next: 0, stream_id }
    }

    /// Writes the next event.
    pub(super) fn write(&mut self, name: &'static str, body: impl Serialize) -> ResponseEvent {
        let stream_id = self.stream_id.as_deref();
        let envelope = Envelope { name, sequence_number: self.next, stream_id, body };
        self.next += 1;
        let json = serde_json::to_string(&envelope).expect("events have string keys");
        ResponseEvent { name, json }
    }
}

/// A whole response, as far as it has come.
#[derive(Serialize)]
pub(super) struct WholeBody<'a> {
    pub(super) response: ResponseObject<'a>,
}

/// An item that begins or ends.
#[derive(Serialize)]
pub(super) struct ItemBody<'a> {
    pub(super) output_index: usize,
    pub(super) item: &'a OutputItem,
}

/// A part that begins or ends.
#[derive(Serialize)]
pub(super) struct PartBody<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) content_index: usize,
    pub(super) part: &'a OutputPart,
}

/// More text of a part.
#[derive(Serialize)]
pub(super) struct TextDeltaBody<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) content_index: usize,
    pub(super) delta: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[(); 0]>,
}

/// The whole text of a part.
#[derive(Serialize)]
pub(super) struct TextDoneBody<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) content_index: usize,
    pub(super) text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<[(); 0]>,
}

/// More arguments of a call.
#[derive(Serialize)]
pub(super) struct ArgumentsDeltaBody<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) delta: &'a str,
}

/// All arguments of a call.
#[derive(Serialize)]
pub(super) struct ArgumentsDoneBody<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}
