//! Finds the parts of an answer.
//!
//! In text and in thinking it looks for marks, and holds text back only as long as it can still be
//! one. The characters of calls go to a [`CallReader`].

use crate::domain::{AnswerStart, AnswerStyle, ThinkingStyle, ToolCallStyle};

use super::allowed::AllowedCalls;
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
    /// For an answer of a model with this `style` that begins as `start` says. Calls that are not
    /// `allowed` are text.
    pub fn new(style: &AnswerStyle, start: AnswerStart, allowed: Option<AllowedCalls>) -> Self {
        let thinks_in_messages = style.thinking == Some(ThinkingStyle::Harmony);
        let calls_in_messages = allowed.is_some() && style.tool_calls == ToolCallStyle::Harmony;
        if thinks_in_messages || calls_in_messages {
            return Self(ParserKind::Harmony(HarmonyParser::new(start, allowed)));
        }
        let thinking = ThinkingMarks::of(style.thinking.as_ref());
        if thinking.is_none() && allowed.is_none() {
            return Self(ParserKind::Plain);
        }
        let calls = allowed.map(|allowed| (style.tool_calls, allowed));
        Self(ParserKind::Marked(MarkedParser::new(thinking, calls, start)))
    }

    /// Whether the answer ends with a call that is complete: what follows it is not read.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            ParserKind::Plain => false,
            ParserKind::Marked(parser) => parser.call.is_over(),
            ParserKind::Harmony(parser) => parser.is_over(),
        }
    }

    /// Adds the events of more `text` to `events`.
    pub fn push(&mut self, text: &str, events: &mut Vec<AnswerEvent>) {
        self.push_to(text, &mut EventList::new(events));
    }

    /// Adds the events of more `text` to `events`.
    pub(super) fn push_to(&mut self, text: &str, events: &mut EventList<'_>) {
        match &mut self.0 {
            ParserKind::Plain => events.text(text),
            ParserKind::Marked(parser) => text.chars().for_each(|c| parser.push(c, events)),
            ParserKind::Harmony(parser) => text.chars().for_each(|c| parser.push(c, events)),
        }
    }

    /// Number of the last characters of which it is not known whether they are a mark.
    pub(super) fn n_undecided(&self) -> usize {
        match &self.0 {
            ParserKind::Plain => 0,
            ParserKind::Marked(parser) => parser.held.chars().count(),
            ParserKind::Harmony(parser) => parser.n_undecided(),
        }
    }

    /// Whether the next text is thinking, unless it is a mark.
    pub(super) fn is_thinking(&self) -> bool {
        match &self.0 {
            ParserKind::Plain => false,
            ParserKind::Marked(parser) => matches!(parser.part, AnswerPart::Thinking),
            ParserKind::Harmony(parser) => parser.is_thinking(),
        }
    }

    /// About how many bytes of memory it takes for a call that it holds back.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            ParserKind::Plain => 0,
            ParserKind::Marked(parser) => parser.call.held_bytes() + parser.space.len(),
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
    /// White space after a call. It is text if text follows.
    space: String,
    /// Whether only white space came since the last call.
    is_after_call: bool,
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
        calls: Option<(ToolCallStyle, AllowedCalls)>,
        start: AnswerStart,
    ) -> Self {
        let (calls, allowed) = calls.unzip();
        let is_thinking = start.is_thinking && thinking.is_some();
        Self {
            thinking,
            calls,
            part: if is_thinking { AnswerPart::Thinking } else { AnswerPart::Text },
            held: String::new(),
            skips_space: is_thinking,
            space: String::new(),
            is_after_call: false,
            is_at_start: true,
            has_thought: false,
            call: CallState::new(allowed.unwrap_or_default()),
        }
    }

    fn push(&mut self, c: char, events: &mut EventList<'_>) {
        if self.call.is_over() {
            return;
        }
        if matches!(self.part, AnswerPart::Calls(_)) {
            return self.push_to_calls(c, events);
        }
        if self.held.is_empty() {
            if c.is_whitespace() {
                if self.skips_space {
                    return;
                }
                if self.is_after_call {
                    return self.space.push(c);
                }
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
        // It separates the mark from the call before it.
        self.space.clear();
        self.is_after_call = false;
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
        if let Some(reason) = self.call.take_fault() {
            return self.abandon(&reason, c, events);
        }
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
            CallStep::Broken(reason) => self.abandon(reason, c, events),
        }
    }

    /// Goes on with text, because of this `reason`: what was read is no call. `c` was read last.
    fn abandon(&mut self, reason: &str, c: char, events: &mut EventList<'_>) {
        self.call.raw.pop();
        let raw = self.call.abandon(reason, events);
        self.go_on_after(&raw, events);
        self.push(c, events);
    }

    /// Goes on with text after complete calls.
    fn end_calls(&mut self) {
        self.part = AnswerPart::Text;
        self.is_at_start = false;
        self.skips_space = false;
        self.is_after_call = true;
    }

    /// Goes on with text after `raw`, which is text.
    fn go_on_after(&mut self, raw: &str, events: &mut EventList<'_>) {
        self.part = AnswerPart::Text;
        self.is_at_start = false;
        self.skips_space = false;
        self.is_after_call = false;
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
            events.text(&std::mem::take(&mut self.space));
            self.is_after_call = false;
            self.is_at_start &= c.is_whitespace();
            events.text(text);
        }
    }

    fn finish(&mut self, events: &mut EventList<'_>) {
        if self.call.is_over() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        held.chars().for_each(|c| self.give(c, events));
        let AnswerPart::Calls(reader) = &mut self.part else { return };
        let broken = reader.finish(&mut CallWriter { state: &mut self.call, events }).err();
        let fault = self.call.take_fault();
        match fault.as_deref().or(broken) {
            None if self.call.raw.trim().is_empty() => {}
            None => events.text(&self.call.raw),
            Some(reason) => {
                let raw = self.call.abandon(reason, events);
                events.text(&raw);
            }
        }
        self.part = AnswerPart::Text;
    }
}
