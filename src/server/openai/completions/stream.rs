//! Completions as server-sent events.

use crate::domain::TokenLogprobs;
use crate::server::openai::answers::Answers;
use crate::server::openai::chunks::{ChunkStream, write_end};
use crate::server::openai::generation::GenerationEvent;
use crate::server::openai::parts::{
    TextLogprobs, TextOffset, TotalUsage, finish_reason, head, json_string, to_json,
};
use crate::server::openai::sse::event;
use crate::server::shared::Shared;

use super::{CompletionOptions, text_of};

/// The events of completions.
pub(super) struct CompletionStream {
    answers: Answers,
    options: CompletionOptions,
    /// What every chunk begins with.
    head: String,
    /// For each answer, the position of the next token in the text.
    offsets: Vec<TextOffset>,
    usage: TotalUsage,
    has_ended: bool,
}

impl CompletionStream {
    /// The events of `answers`.
    pub(super) fn new(shared: &Shared, answers: Answers, options: CompletionOptions) -> Self {
        let head = head(shared, "cmpl-", "text_completion");
        let offsets = vec![TextOffset::default(); answers.len()];
        let usage = TotalUsage::default();
        Self { answers, options, head, offsets, usage, has_ended: false }
    }

    /// Writes the chunks for an event of answer `i`.
    fn write_event(&mut self, i: usize, event: GenerationEvent, out: &mut String) {
        match event {
            GenerationEvent::Queued(_) => {}
            GenerationEvent::Answer { events, logprobs } => {
                let text = text_of(events);
                self.chunk(i, &text, &logprobs, None, out);
            }
            GenerationEvent::Ended(end) => {
                self.usage.add(&end.usage, i.is_multiple_of(self.options.n));
                let reason = finish_reason(end.reason, false);
                self.chunk(i, "", &[], Some(reason), out);
            }
            GenerationEvent::Failed(error) => {
                out.push_str(&crate::server::openai::sse::event(&error.body()));
                self.has_ended = true;
            }
        }
    }

    /// Writes one chunk of answer `i`.
    fn chunk(
        &mut self,
        i: usize,
        text: &str,
        logprobs: &[TokenLogprobs],
        finish: Option<&str>,
        out: &mut String,
    ) {
        let n_top = self.options.n_top.filter(|_| !logprobs.is_empty());
        let logprobs = match n_top {
            Some(n_top) => to_json(&TextLogprobs::new(logprobs, n_top, &mut self.offsets[i])),
            None => "null".to_owned(),
        };
        let (head, text) = (&self.head, json_string(text));
        let finish = finish.map_or_else(|| "null".to_owned(), json_string);
        let usage = if self.options.includes_usage { ",\"usage\":null" } else { "" };
        out.push_str(&event(&format!(
            "{head},\"choices\":[{{\"index\":{i},\"text\":{text},\"logprobs\":{logprobs},\
             \"finish_reason\":{finish}}}]{usage}}}"
        )));
    }
}

impl ChunkStream for CompletionStream {
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
