//! Answers of gpt-oss, which are several messages (Harmony). The header of a message says whether
//! it is thinking, text, or a call.
//!
//! `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…`

use crate::domain::AnswerStart;

use super::allowed::AllowedCalls;
use super::calls::{CallState, CallWriter, MAX_CALL_BYTES, is_tool_name};
use super::event::EventList;
use super::json_call::{CUT, JsonArguments, JsonCallStep};
use super::marks::{MarkMatch, match_mark};
use super::xml::has_beginning;

/// Takes an answer apart that is several messages.
#[derive(Debug)]
pub(super) struct HarmonyParser {
    has_tools: bool,
    at: HarmonyAt,
    /// The header, or the last characters if they can be the beginning of a mark.
    held: String,
    /// White space after a call. It is text if text follows.
    space: String,
    call: CallState,
}

#[derive(Debug)]
enum HarmonyAt {
    Header,
    Thinking,
    Text,
    /// Before the arguments of the tool with this name.
    Call(String),
    Arguments(JsonArguments),
    /// After the arguments.
    CallEnd,
}

impl HarmonyParser {
    /// Without `allowed` calls, calls are text.
    pub(super) fn new(start: AnswerStart, allowed: Option<AllowedCalls>) -> Self {
        let has_tools = allowed.is_some();
        let at = if start.is_thinking { HarmonyAt::Thinking } else { HarmonyAt::Header };
        let call = CallState::new(allowed.unwrap_or_default());
        Self { has_tools, at, held: String::new(), space: String::new(), call }
    }

    /// Number of the last characters of which it is not known whether they are a mark.
    pub(super) fn n_undecided(&self) -> usize {
        self.held.chars().count()
    }

    /// Whether the next text is thinking, unless it is a mark.
    pub(super) fn is_thinking(&self) -> bool {
        matches!(self.at, HarmonyAt::Thinking)
    }

    /// Whether the answer ends with a call that is complete.
    pub(super) fn is_over(&self) -> bool {
        self.call.is_over()
    }

    /// About how many bytes of memory it takes for a call that it holds back.
    pub(super) fn held_bytes(&self) -> usize {
        self.call.held_bytes() + self.space.len()
    }

    pub(super) fn push(&mut self, c: char, events: &mut EventList<'_>) {
        if self.is_over() {
            return;
        }
        match &mut self.at {
            HarmonyAt::Header => self.in_header(c, events),
            HarmonyAt::Thinking | HarmonyAt::Text => self.in_body(c, events),
            HarmonyAt::Call(name) => {
                let name = name.clone();
                self.before_arguments(&name, c, events);
            }
            HarmonyAt::Arguments(arguments) => {
                self.call.raw.push(c);
                self.call.n_bytes += c.len_utf8();
                let calls = &mut CallWriter { state: &mut self.call, events };
                let step = match calls.state.n_bytes > MAX_CALL_BYTES {
                    true => JsonCallStep::Broken("it is longer than 1 MiB"),
                    false => arguments.push(c, calls),
                };
                match step {
                    JsonCallStep::More => {}
                    JsonCallStep::Complete => self.at = HarmonyAt::CallEnd,
                    JsonCallStep::Broken(reason) => {
                        self.call.raw.pop();
                        self.abandon(reason, events);
                        self.push(c, events);
                    }
                }
            }
            HarmonyAt::CallEnd if c.is_whitespace() => self.space.push(c),
            HarmonyAt::CallEnd => {
                self.at = HarmonyAt::Text;
                self.in_body(c, events);
            }
        }
    }

    pub(super) fn finish(&mut self, events: &mut EventList<'_>) {
        if self.is_over() {
            return;
        }
        match &self.at {
            HarmonyAt::Call(_) | HarmonyAt::Arguments(_) => self.abandon(CUT, events),
            _ => {
                let held = std::mem::take(&mut self.held);
                self.give(&held, events);
            }
        }
    }

    fn in_header(&mut self, c: char, events: &mut EventList<'_>) {
        self.held.push(c);
        if self.held.ends_with(MESSAGE) {
            let header = std::mem::take(&mut self.held);
            return self.begin_body(&header, events);
        }
        let text = self.held.trim_start();
        let is_header = HEADER_STARTS.iter().any(|start| has_beginning(text, start));
        if is_header && text.len() <= MAX_HEADER_BYTES {
            return;
        }
        // Some answers have no header, such as those that have to be JSON. The first character is
        // text whatever follows, so that the rest gets shorter.
        self.at = HarmonyAt::Text;
        let held = std::mem::take(&mut self.held);
        let mut chars = held.chars();
        if let Some(first) = chars.next() {
            events.text(first.encode_utf8(&mut [0; 4]));
        }
        chars.for_each(|c| self.push(c, events));
    }

    /// Begins the body of a message with this header, which has the mark before the body.
    fn begin_body(&mut self, header: &str, events: &mut EventList<'_>) {
        let is_analysis = word_after(header, CHANNEL) == Some("analysis");
        let tool = word_after(header, RECIPIENT).and_then(|name| name.strip_prefix(FUNCTIONS));
        self.at = match tool {
            Some(name) if self.has_tools && is_tool_name(name) => {
                self.call.after(header);
                match self.call.unknown(name) {
                    Some(reason) => return self.abandon(&reason, events),
                    None => HarmonyAt::Call(name.to_owned()),
                }
            }
            Some(_) => {
                events.text(header);
                HarmonyAt::Text
            }
            None if is_analysis => HarmonyAt::Thinking,
            None => HarmonyAt::Text,
        };
    }

    fn in_body(&mut self, c: char, events: &mut EventList<'_>) {
        self.held.push(c);
        while !self.held.is_empty() {
            match match_mark(&self.held, ENDS.into_iter()) {
                MarkMatch::Full(index) => return self.end_body(index),
                MarkMatch::Partial => return,
                MarkMatch::None => {
                    let first = self.held.remove(0);
                    self.give(first.encode_utf8(&mut [0; 4]), events);
                }
            }
        }
    }

    /// Goes on after the end mark with this index, which is held.
    fn end_body(&mut self, index: usize) {
        self.at = HarmonyAt::Header;
        self.space.clear();
        // These two begin a header.
        if index < N_HEADER_ENDS {
            return;
        }
        self.held.clear();
    }

    fn before_arguments(&mut self, name: &str, c: char, events: &mut EventList<'_>) {
        self.call.raw.push(c);
        if self.held.is_empty() && c.is_whitespace() {
            return;
        }
        if self.held.is_empty() && c == '{' {
            self.call.raw.pop();
            CallWriter { state: &mut self.call, events }.begin(name);
            self.at = HarmonyAt::Arguments(JsonArguments::new());
            return self.push(c, events);
        }
        self.held.push(c);
        match match_mark(&self.held, ENDS.into_iter()) {
            MarkMatch::Full(index) => {
                CallWriter { state: &mut self.call, events }.whole(name, "{}");
                self.end_body(index);
            }
            MarkMatch::Partial => {}
            MarkMatch::None => {
                self.held.clear();
                self.call.raw.pop();
                self.abandon("its arguments are not JSON", events);
                self.push(c, events);
            }
        }
    }

    /// Goes on with text after a call that breaks.
    fn abandon(&mut self, reason: &str, events: &mut EventList<'_>) {
        let raw = self.call.abandon(reason, events);
        events.text(&raw);
        self.held.clear();
        self.at = HarmonyAt::Text;
    }

    fn give(&mut self, text: &str, events: &mut EventList<'_>) {
        if matches!(self.at, HarmonyAt::Thinking) {
            events.reasoning(text);
        } else if !text.is_empty() {
            events.text(&std::mem::take(&mut self.space));
            events.text(text);
        }
    }
}

/// The word after `start` in a header.
fn word_after<'h>(header: &'h str, start: &str) -> Option<&'h str> {
    let word = header.split_once(start)?.1.trim_start();
    Some(&word[..word.find(|c: char| c.is_whitespace() || c == '<').unwrap_or(word.len())])
}

const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const RECIPIENT: &str = "to=";
const FUNCTIONS: &str = "functions.";

/// What a header begins with.
const HEADER_STARTS: [&str; 4] = ["<|start|>", CHANNEL, MESSAGE, RECIPIENT];

/// The marks that end the body of a message. The first [`N_HEADER_ENDS`] begin a header.
const ENDS: [&str; 5] = ["<|start|>", CHANNEL, "<|end|>", "<|return|>", "<|call|>"];
const N_HEADER_ENDS: usize = 2;

/// Most bytes of a header.
const MAX_HEADER_BYTES: usize = 512;
