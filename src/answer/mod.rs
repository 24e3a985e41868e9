//! Takes answers apart: thinking, text, and calls of tools.
//!
//! An answer arrives as text, cut anywhere. [`AnswerParser`] turns it into [`AnswerEvent`]s, which
//! each surface writes in its own form. It loses nothing: what it cannot read as a call is text.

use crate::domain::{AnswerStart, AnswerStyle};

/// A part of an answer, in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvent {
    /// More of what the model thinks.
    Reasoning(String),
    /// More of what it says.
    Text(String),
    /// A call of a tool begins. Its arguments and its end follow before the next event of another
    /// kind.
    CallBegan {
        /// The name of the tool.
        name: String,
    },
    /// More of the arguments of the call: together the text of a JSON object.
    CallArguments(String),
    /// The call is complete.
    CallEnded,
    /// Something could not be read, and is in the text as it was written.
    Warning(String),
}

/// Takes one answer apart.
#[derive(Debug)]
pub struct AnswerParser {}

impl AnswerParser {
    /// For an answer of a model with this `style` that begins as `start` says. Without tools in the
    /// request, calls are text.
    pub fn new(_style: &AnswerStyle, _start: AnswerStart, _has_tools: bool) -> Self {
        Self {}
    }

    /// Adds the events of more `text` to `events`.
    pub fn push(&mut self, text: &str, events: &mut Vec<AnswerEvent>) {
        if !text.is_empty() {
            events.push(AnswerEvent::Text(text.to_owned()));
        }
    }

    /// Adds the last events to `events`: the answer has ended.
    pub fn finish(&mut self, _events: &mut Vec<AnswerEvent>) {}
}
