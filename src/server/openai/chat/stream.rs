//! A chat completion as server-sent events, in OpenAI's chunks: the role first, then parts of the
//! answer, the finish reason, the usage if asked for, and `[DONE]`.

use std::fmt::Write;

use crate::answer::AnswerEvent;
use crate::domain::TokenLogprobs;
use crate::server::ids::new_call_id;
use crate::server::openai::answers::Answers;
use crate::server::openai::chunks::{ChunkStream, write_end};
use crate::server::openai::generation::{GenerationEnd, GenerationEvent};
use crate::server::openai::parts::{
    ChatLogprobs, TotalUsage, finish_reason, head, json_string, to_json,
};
use crate::server::openai::sse::event;
use crate::server::shared::Shared;

use super::ChatOptions;

/// The events of a chat completion.
pub(super) struct ChatStream {
    answers: Answers,
    options: ChatOptions,
    /// What every chunk begins with.
    head: String,
    choices: Vec<StreamedChoice>,
    usage: TotalUsage,
    has_ended: bool,
}

/// What was sent of one answer.
#[derive(Debug, Default, Clone)]
struct StreamedChoice {
    has_begun: bool,
    /// Calls that have begun.
    n_calls: usize,
    /// Whether one of them is complete.
    has_called: bool,
}

impl ChatStream {
    /// The events of `answers`.
    pub(super) fn new(shared: &Shared, answers: Answers, options: ChatOptions) -> Self {
        let head = head(shared, "chatcmpl-", "chat.completion.chunk");
        let choices = vec![StreamedChoice::default(); answers.len()];
        let usage = TotalUsage::default();
        Self { answers, options, head, choices, usage, has_ended: false }
    }

    /// Writes the chunks for an event of answer `i`.
    fn write_event(&mut self, i: usize, event: GenerationEvent, out: &mut String) {
        match event {
            GenerationEvent::Queued(_) => {}
            GenerationEvent::Answer { events, logprobs } => {
                self.begin(i, out);
                let mut logprobs = self.logprobs(&logprobs);
                for event in events {
                    let Some(delta) = self.delta(i, event) else { continue };
                    self.chunk(i, &delta, logprobs.take().as_deref(), None, out);
                }
                // Text that is held back has its log probabilities already.
                if let Some(logprobs) = logprobs {
                    self.chunk(i, "{}", Some(&logprobs), None, out);
                }
            }
            GenerationEvent::Ended(end) => {
                self.begin(i, out);
                self.end(i, &end, out);
            }
            GenerationEvent::Failed(error) => {
                out.push_str(&crate::server::openai::sse::event(&error.body()));
                self.has_ended = true;
            }
        }
    }

    /// Sends the role, if nothing was sent of answer `i`.
    fn begin(&mut self, i: usize, out: &mut String) {
        if !std::mem::replace(&mut self.choices[i].has_begun, true) {
            self.chunk(i, r#"{"role":"assistant","content":""}"#, None, None, out);
        }
    }

    /// The field `logprobs`; `None` if there are none.
    fn logprobs(&self, tokens: &[TokenLogprobs]) -> Option<String> {
        let n_top = self.options.n_top.filter(|_| !tokens.is_empty())?;
        Some(to_json(&ChatLogprobs::new(tokens, n_top)))
    }

    /// The field `delta` for an event of answer `i`; `None` if it changes nothing.
    fn delta(&mut self, i: usize, event: AnswerEvent) -> Option<String> {
        let choice = &mut self.choices[i];
        Some(match event {
            AnswerEvent::Reasoning(text) => {
                format!("{{\"reasoning_content\":{}}}", json_string(&text))
            }
            AnswerEvent::Text(text) => format!("{{\"content\":{}}}", json_string(&text)),
            AnswerEvent::CallBegan { name } => {
                let index = choice.n_calls;
                choice.n_calls += 1;
                format!(
                    "{{\"tool_calls\":[{{\"index\":{index},\"id\":{},\"type\":\"function\",\
                     \"function\":{{\"name\":{},\"arguments\":\"\"}}}}]}}",
                    json_string(&new_call_id()),
                    json_string(&name)
                )
            }
            AnswerEvent::CallArguments(text) => format!(
                "{{\"tool_calls\":[{{\"index\":{},\"function\":{{\"arguments\":{}}}}}]}}",
                choice.n_calls.saturating_sub(1),
                json_string(&text)
            ),
            AnswerEvent::CallEnded => {
                choice.has_called = true;
                return None;
            }
            AnswerEvent::CallBroken | AnswerEvent::Warning(_) => return None,
        })
    }

    /// Writes one chunk of answer `i`.
    fn chunk(
        &self,
        i: usize,
        delta: &str,
        logprobs: Option<&str>,
        finish: Option<&str>,
        out: &mut String,
    ) {
        let head = &self.head;
        let logprobs = logprobs.unwrap_or("null");
        // A string never fails.
        let _ = write!(
            out,
            "data: {head},\"choices\":[{{\"index\":{i},\"delta\":{delta},\"logprobs\":{logprobs},\
             \"finish_reason\":"
        );
        let _ = match finish {
            Some(finish) => write!(out, "\"{finish}\"}}]"),
            None => write!(out, "null}}]"),
        };
        out.push_str(if self.options.includes_usage { ",\"usage\":null}\n\n" } else { "}\n\n" });
    }

    /// Writes the end of answer `i`.
    fn end(&mut self, i: usize, end: &GenerationEnd, out: &mut String) {
        self.usage.add(&end.usage, i == 0);
        let reason = finish_reason(end.reason, self.choices[i].has_called);
        if end.warnings.is_empty() {
            return self.chunk(i, "{}", None, Some(reason), out);
        }
        let warnings = serde_json::Value::from(end.warnings.clone());
        let head = &self.head;
        let data = format!(
            "{head},\"choices\":[{{\"index\":{i},\"delta\":{{}},\"logprobs\":null,\
             \"finish_reason\":\"{reason}\"}}],\"warnings\":{warnings}}}"
        );
        out.push_str(&event(&data));
    }
}

impl ChunkStream for ChatStream {
    fn answers(&mut self) -> &mut Answers {
        &mut self.answers
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn write(&mut self, i: usize, event: GenerationEvent, out: &mut String) {
        self.write_event(i, event, out);
    }

    fn finish(&mut self, out: &mut String) {
        self.has_ended = true;
        let usage = self.options.includes_usage.then_some(self.usage);
        write_end(&self.head, usage, out);
    }
}
