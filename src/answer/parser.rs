//! Finds the parts of an answer.
//!
//! In text and in thinking it looks for marks, and holds text back only as long as it can still be
//! one. The characters of calls go to a [`CallReader`].

use crate::domain::{AnswerStart, AnswerStyle, ThinkingStyle, ToolCallStyle};

use super::calls::{CallReader, CallState, CallStep, CallWriter, MAX_CALL_BYTES};
use super::event::{AnswerEvent, EventList};
use super::harmony::HarmonyParser;
use super::marks::{MarkMatch, match_mark};
use super::syntax::{call_marks, reader_after, reader_of_start};
use super::thinking::ThinkingMarks;

/// Takes one answer apart.
#[derive(Debug)]
pub struct AnswerParser(ParserKind);

#[derive(Debug)]
enum ParserKind {
    /// All is text.
    Plain,
    Marked(MarkedParser),
    Harmony(HarmonyParser),
}

impl AnswerParser {
    /// For an answer of a model with this `style` that begins as `start` says. Without tools in the
    /// request, calls are text.
    pub fn new(style: &AnswerStyle, start: AnswerStart, has_tools: bool) -> Self {
        let thinks_in_messages = style.thinking == Some(ThinkingStyle::Harmony);
        let calls_in_messages = has_tools && style.tool_calls == ToolCallStyle::Harmony;
        if thinks_in_messages || calls_in_messages {
            return Self(ParserKind::Harmony(HarmonyParser::new(start, has_tools)));
        }
        let thinking = ThinkingMarks::of(style.thinking.as_ref());
        if thinking.is_none() && !has_tools {
            return Self(ParserKind::Plain);
        }
        let calls = has_tools.then_some(style.tool_calls);
        Self(ParserKind::Marked(MarkedParser::new(thinking, calls, start)))
    }

    /// Adds the events of more `text` to `events`.
    pub fn push(&mut self, text: &str, events: &mut Vec<AnswerEvent>) {
        let mut events = EventList::new(events);
        match &mut self.0 {
            ParserKind::Plain => events.text(text),
            ParserKind::Marked(parser) => text.chars().for_each(|c| parser.push(c, &mut events)),
            ParserKind::Harmony(parser) => text.chars().for_each(|c| parser.push(c, &mut events)),
        }
    }

    /// About how many bytes of memory it takes for a call that it holds back.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            ParserKind::Plain => 0,
            ParserKind::Marked(parser) => parser.call.held_bytes(),
            ParserKind::Harmony(parser) => parser.held_bytes(),
        }
    }

    /// Adds the last events to `events`: the answer has ended.
    pub fn finish(&mut self, events: &mut Vec<AnswerEvent>) {
        let mut events = EventList::new(events);
        match &mut self.0 {
            ParserKind::Plain => {}
            ParserKind::Marked(parser) => parser.finish(&mut events),
            ParserKind::Harmony(parser) => parser.finish(&mut events),
        }
    }
}

/// Takes an answer apart whose parts have marks around them.
#[derive(Debug)]
struct MarkedParser {
    thinking: Option<ThinkingMarks>,
    /// How calls are written; `None` if they are text.
    calls: Option<ToolCallStyle>,
    part: AnswerPart,
    /// The last characters, if they can be the beginning of a mark.
    held: String,
    /// Whether white space is dropped, because a mark is before it.
    skips_space: bool,
    /// Whether only white space came before, or thinking: a call can begin without a mark.
    is_at_start: bool,
    /// Whether the model has thought something since the last mark.
    has_thought: bool,
    call: CallState,
}

/// The part that the next character belongs to.
#[derive(Debug)]
enum AnswerPart {
    Thinking,
    Text,
    Calls(Box<dyn CallReader>),
}

impl MarkedParser {
    fn new(
        thinking: Option<ThinkingMarks>,
        calls: Option<ToolCallStyle>,
        start: AnswerStart,
    ) -> Self {
        let is_thinking = start.is_thinking && thinking.is_some();
        Self {
            thinking,
            calls,
            part: if is_thinking { AnswerPart::Thinking } else { AnswerPart::Text },
            held: String::new(),
            skips_space: is_thinking,
            is_at_start: true,
            has_thought: false,
            call: CallState::default(),
        }
    }

    fn push(&mut self, c: char, events: &mut EventList<'_>) {
        if matches!(self.part, AnswerPart::Calls(_)) {
            return self.push_to_calls(c, events);
        }
        if self.held.is_empty() {
            if self.skips_space && c.is_whitespace() {
                return;
            }
            let is_text = matches!(self.part, AnswerPart::Text);
            if is_text
                && self.is_at_start
                && let Some(reader) = self.calls.and_then(|style| reader_of_start(style, c))
            {
                self.begin_calls(reader, "");
                return self.push_to_calls(c, events);
            }
        }
        self.held.push(c);
        while !self.held.is_empty() {
            match match_mark(&self.held, self.marks()) {
                MarkMatch::Full(index) => return self.at_mark(index, events),
                MarkMatch::Partial => return,
                MarkMatch::None => {
                    let first = self.held.remove(0);
                    self.give(first, events);
                }
            }
        }
    }

    /// The marks that end the current part.
    fn marks(&self) -> impl Iterator<Item = &str> {
        let is_thinking = matches!(self.part, AnswerPart::Thinking);
        let end = self.thinking.as_ref().filter(|_| is_thinking).map(|marks| &marks.end[..]);
        let start = self.thinking.as_ref().map(|marks| &marks.start[..]);
        let calls = self.calls.filter(|_| !is_thinking).map_or(&[][..], call_marks);
        end.into_iter().chain(start).chain(calls.iter().copied())
    }

    /// Handles the mark that is held, which has this index among the marks of the part.
    fn at_mark(&mut self, index: usize, events: &mut EventList<'_>) {
        let mark = std::mem::take(&mut self.held);
        match &self.part {
            AnswerPart::Thinking if index == 0 => {
                self.part = AnswerPart::Text;
                self.is_at_start = true;
            }
            // The model repeats the mark that the prompt ends with.
            AnswerPart::Thinking if !self.has_thought => {}
            AnswerPart::Thinking => {
                mark.chars().for_each(|c| self.give(c, events));
                return;
            }
            _ if index == 0 && self.thinking.is_some() => {
                self.part = AnswerPart::Thinking;
                self.has_thought = false;
            }
            _ => {
                let style = self.calls.unwrap_or_default();
                self.begin_calls(reader_after(style, &mark), &mark);
                return;
            }
        }
        self.skips_space = true;
    }

    fn begin_calls(&mut self, reader: Box<dyn CallReader>, mark: &str) {
        self.part = AnswerPart::Calls(reader);
        self.call.after(mark);
    }

    fn push_to_calls(&mut self, c: char, events: &mut EventList<'_>) {
        let AnswerPart::Calls(reader) = &mut self.part else { return };
        self.call.raw.push(c);
        self.call.n_bytes += c.len_utf8();
        let step = if self.call.n_bytes > MAX_CALL_BYTES {
            CallStep::Broken("it is longer than 1 MiB")
        } else {
            reader.push(c, &mut CallWriter { state: &mut self.call, events })
        };
        match step {
            CallStep::More => {}
            CallStep::Done => self.end_calls(),
            CallStep::Released => {
                let raw = std::mem::take(&mut self.call.raw);
                self.end_calls();
                raw.chars().for_each(|c| self.push(c, events));
            }
            CallStep::Plain => {
                self.call.raw.pop();
                let raw = std::mem::take(&mut self.call.raw);
                self.go_on_after(&raw, events);
                self.push(c, events);
            }
            CallStep::Broken(reason) => {
                self.call.raw.pop();
                let raw = self.call.abandon(reason, events);
                self.go_on_after(&raw, events);
                self.push(c, events);
            }
        }
    }

    /// Goes on with text after complete calls.
    fn end_calls(&mut self) {
        self.part = AnswerPart::Text;
        self.is_at_start = false;
        self.skips_space = true;
    }

    /// Goes on with text after `raw`, which is text.
    fn go_on_after(&mut self, raw: &str, events: &mut EventList<'_>) {
        self.part = AnswerPart::Text;
        self.is_at_start = false;
        self.skips_space = false;
        events.text(raw);
    }

    /// Adds a character to the current part.
    fn give(&mut self, c: char, events: &mut EventList<'_>) {
        self.skips_space = false;
        let mut buffer = [0; 4];
        let text = c.encode_utf8(&mut buffer);
        if matches!(self.part, AnswerPart::Thinking) {
            self.has_thought = true;
            events.reasoning(text);
        } else {
            self.is_at_start &= c.is_whitespace();
            events.text(text);
        }
    }

    fn finish(&mut self, events: &mut EventList<'_>) {
        let held = std::mem::take(&mut self.held);
        held.chars().for_each(|c| self.give(c, events));
        let AnswerPart::Calls(reader) = &mut self.part else { return };
        let mut calls = CallWriter { state: &mut self.call, events };
        match reader.finish(&mut calls) {
            Ok(()) => events.text(self.call.raw.trim()),
            Err(reason) => {
                let raw = self.call.abandon(reason, events);
                events.text(&raw);
            }
        }
        self.part = AnswerPart::Text;
    }
}
