//! Divides the answer to a request with tools, or with `reasoning`, into the frames of its parts.

use crate::answer::{AllowedCalls, AnswerEvent, AnswerParser};
use crate::domain::{AnswerStart, AnswerStyle, TokenLogprobs};
use crate::protocol::{RequestId, ServerFrame};
use crate::server::ids::new_call_id;

/// The answer so far.
#[derive(Debug)]
pub(super) struct DividedAnswer {
    style: AnswerStyle,
    /// The calls that the model may write.
    allowed: Option<AllowedCalls>,
    /// `None` until there is text.
    parser: Option<AnswerParser>,
    /// How the answer begins.
    start: AnswerStart,
    /// Number of calls that were begun.
    n_begun: usize,
    /// Number of calls that are complete.
    n_complete: usize,
    warnings: Vec<String>,
}

/// The beginning of a call that has not been sent.
struct BegunCall {
    id: String,
    name: String,
    arguments: String,
}

impl DividedAnswer {
    /// An answer of a model with this `style`.
    pub(super) fn new(style: AnswerStyle, allowed: Option<AllowedCalls>) -> Self {
        Self {
            style,
            allowed,
            parser: None,
            start: AnswerStart::default(),
            n_begun: 0,
            n_complete: 0,
            warnings: Vec::new(),
        }
    }

    /// The answer will begin like this.
    pub(super) fn begin(&mut self, start: AnswerStart) {
        self.start = start;
    }

    /// Whether a call of a tool is complete.
    pub(super) fn has_calls(&self) -> bool {
        self.n_complete > 0
    }

    /// Whether the answer ends with a call that is complete. The request is not needed any more.
    pub(super) fn is_over(&self) -> bool {
        self.parser.as_ref().is_some_and(AnswerParser::is_over)
    }

    /// What could not be read as a call: texts for the `end` frame.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// About how many bytes of memory a call takes that is held back.
    pub(super) fn held_bytes(&self) -> usize {
        self.parser.as_ref().map_or(0, AnswerParser::held_bytes)
    }

    /// The frames for more `text`, of which `logprobs` are the probabilities. With `is_last` the
    /// answer has ended.
    pub(super) fn frames(
        &mut self,
        id: Option<&RequestId>,
        text: &str,
        mut logprobs: &[TokenLogprobs],
        is_last: bool,
    ) -> Vec<String> {
        if self.is_over() {
            return Vec::new();
        }
        let parser = self
            .parser
            .get_or_insert_with(|| AnswerParser::new(&self.style, self.start, self.allowed.take()));
        let mut events = Vec::new();
        parser.push(text, &mut events);
        if is_last {
            parser.finish(&mut events);
        }
        let mut frames = Vec::new();
        let is_text = |event: &AnswerEvent| matches!(event, AnswerEvent::Text(_));
        if !logprobs.is_empty() && !events.iter().any(is_text) {
            frames.push(ServerFrame::Token { id, content: "", logprobs }.text());
        }
        let mut begun = None;
        for event in events {
            let is_ended = matches!(event, AnswerEvent::CallEnded | AnswerEvent::CallBroken);
            match event {
                AnswerEvent::Text(content) => {
                    let logprobs = std::mem::take(&mut logprobs);
                    frames.push(ServerFrame::Token { id, content: &content, logprobs }.text());
                }
                AnswerEvent::Reasoning(content) => {
                    frames.push(ServerFrame::Reasoning { id, content: &content }.text());
                }
                AnswerEvent::CallBegan { name } => {
                    self.n_begun += 1;
                    begun = Some(BegunCall { id: new_call_id(), name, arguments: String::new() });
                }
                AnswerEvent::CallArguments(arguments) => match &mut begun {
                    Some(call) => call.arguments = arguments,
                    None => frames.push(self.call_frame(id, None, &arguments)),
                },
                AnswerEvent::CallEnded => self.n_complete += 1,
                AnswerEvent::Warning(text) if self.warnings.len() < MAX_WARNINGS => {
                    self.warnings.push(text);
                }
                AnswerEvent::CallBroken | AnswerEvent::Warning(_) => {}
            }
            if is_ended && let Some(call) = begun.take() {
                frames.push(self.call_frame(id, Some(&call), &call.arguments));
            }
        }
        if let Some(call) = begun {
            frames.push(self.call_frame(id, Some(&call), &call.arguments));
        }
        frames
    }

    /// The frame for more arguments of the last call; the first has its id and name.
    fn call_frame(
        &self,
        id: Option<&RequestId>,
        call: Option<&BegunCall>,
        arguments: &str,
    ) -> String {
        let frame = ServerFrame::ToolCall {
            id,
            index: self.n_begun - 1,
            call_id: call.map(|call| call.id.as_str()),
            name: call.map(|call| call.name.as_str()),
            arguments,
        };
        frame.text()
    }
}

/// Most warnings about calls in one `end` frame.
const MAX_WARNINGS: usize = 8;
