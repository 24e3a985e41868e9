//! How the readers of calls tell what they find, and when it becomes an event.
//!
//! A call that breaks is text. What was told cannot be taken back, so a call is told when it is
//! complete, or once its arguments have [`HELD_BYTES`] (ADR-0047).

use std::fmt;

use super::allowed::AllowedCalls;
use super::event::{AnswerEvent, EventList};
use super::json::push_escape;

/// Reads the calls after a mark, one character after the other.
pub(super) trait CallReader: fmt::Debug + Send {
    /// Reads the next character.
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep;

    /// The answer has ended.
    ///
    /// # Errors
    /// Why what was read since the last complete call is none.
    fn finish(&mut self, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str>;
}

/// What a reader makes of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallStep {
    /// It is part of the calls.
    More,
    /// It is the last of the calls.
    Done,
    /// The calls have ended with the last complete one: what was read since then is no call.
    Released,
    /// What was read since the last complete call is text: the reason to warn of.
    Broken(&'static str),
    /// The same, where no mark promised a call, so that there is nothing to warn of.
    Plain,
}

/// The call that is being read.
#[derive(Debug)]
pub(super) struct CallState {
    allowed: AllowedCalls,
    /// What was read since the last complete call, and since the last arguments that were told.
    pub(super) raw: String,
    /// Bytes read since the last complete call.
    pub(super) n_bytes: usize,
    name: String,
    arguments: String,
    /// Whether the beginning of the call was told.
    is_told: bool,
    /// Whether the request has no tool with this name.
    is_unknown: bool,
    /// Why what was read since the last complete call is text, although its syntax is right.
    fault: Option<String>,
    /// Whether no call may follow the last complete one.
    is_over: bool,
}

impl CallState {
    /// No call was read, and those that are `allowed` may come.
    pub(super) fn new(allowed: AllowedCalls) -> Self {
        Self {
            allowed,
            raw: String::new(),
            n_bytes: 0,
            name: String::new(),
            arguments: String::new(),
            is_told: false,
            is_unknown: false,
            fault: None,
            is_over: false,
        }
    }

    /// Begins to read after the mark `raw`.
    pub(super) fn after(&mut self, raw: &str) {
        self.clear();
        raw.clone_into(&mut self.raw);
        self.n_bytes = raw.len();
    }

    /// Whether the answer ends with the call that was read last.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Why a call whose syntax is right is none.
    pub(super) fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// Why a call of `name` is none, if the request has no such tool.
    pub(super) fn unknown(&self, name: &str) -> Option<String> {
        (!self.allowed.has(name)).then(|| format!("the request has no tool {name:?}"))
    }

    /// Forgets the call.
    fn clear(&mut self) {
        self.raw.clear();
        self.n_bytes = 0;
        self.name.clear();
        self.arguments.clear();
        self.is_told = false;
        self.is_unknown = false;
        self.fault = None;
    }

    /// About how many bytes of memory the call takes, with those of its reader.
    pub(super) fn held_bytes(&self) -> usize {
        // The reader and this state have a copy each, of up to twice its length.
        4 * self.raw.len()
    }

    /// Ends a call that breaks. Tells the reason, and returns what is text.
    pub(super) fn abandon(&mut self, reason: &str, events: &mut EventList<'_>) -> String {
        let (raw, name) = (std::mem::take(&mut self.raw), std::mem::take(&mut self.name));
        if self.is_told {
            events.push(AnswerEvent::CallBroken);
            events.push(AnswerEvent::Warning(format!(
                "the call of {name} is not complete: {reason}; what follows is in the text"
            )));
        } else {
            events.push(AnswerEvent::Warning(format!(
                "a call of a tool could not be read: {reason}; it is in the text"
            )));
        }
        self.clear();
        raw
    }
}

/// A call that was read as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WholeCall {
    pub(super) name: String,
    /// The text of a JSON object.
    pub(super) arguments: String,
}

/// Turns what a reader finds into events.
pub(super) struct CallWriter<'s, 'e> {
    pub(super) state: &'s mut CallState,
    pub(super) events: &'s mut EventList<'e>,
}

impl CallWriter<'_, '_> {
    /// The call of `name` begins.
    pub(super) fn begin(&mut self, name: &str) {
        name.clone_into(&mut self.state.name);
        self.state.arguments.clear();
        self.state.is_told = false;
        self.state.is_unknown = !self.state.allowed.has(name);
    }

    /// The next character of the arguments.
    pub(super) fn argument(&mut self, c: char) {
        self.state.arguments.push(c);
        self.tell();
    }

    /// A control character in a string of the arguments.
    pub(super) fn control(&mut self, c: char) {
        push_escape(&mut self.state.arguments, c);
        self.tell();
    }

    /// The call is complete with the character that is being read.
    pub(super) fn end(&mut self) {
        if self.state.is_over {
            return;
        }
        if self.state.is_unknown {
            self.state.fault = self.state.unknown(&self.state.name);
            return;
        }
        self.flush();
        self.events.push(AnswerEvent::CallEnded);
        self.state.clear();
        self.state.is_over = self.state.allowed.is_single;
    }

    /// Several calls that were written as one. If the request lacks one of the tools, none is told.
    pub(super) fn all(&mut self, calls: &[WholeCall]) {
        let fault = calls.iter().find_map(|call| self.state.unknown(&call.name));
        if fault.is_some() {
            self.state.fault = fault;
            return;
        }
        calls.iter().for_each(|call| self.whole(&call.name, &call.arguments));
    }

    /// A whole call.
    pub(super) fn whole(&mut self, name: &str, arguments: &str) {
        self.begin(name);
        self.state.arguments.push_str(arguments);
        self.end();
    }

    /// What was read since the last complete call belongs to the syntax, and is no text.
    pub(super) fn accept(&mut self) {
        self.state.raw.clear();
    }

    /// Tells the arguments if they are long enough.
    fn tell(&mut self) {
        let is_long = self.state.arguments.len() >= HELD_BYTES && !self.state.allowed.only_whole;
        if self.state.is_told || (is_long && !self.state.is_unknown) {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let CallState { raw, name, arguments, is_told, .. } = &mut *self.state;
        if !std::mem::replace(is_told, true) {
            self.events.push(AnswerEvent::CallBegan { name: name.clone() });
        }
        self.events.arguments(arguments);
        arguments.clear();
        raw.clear();
    }
}

/// Whether `name` can be the name of a tool where a syntax has no quotes around it.
pub(super) fn is_tool_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_name_char)
}

/// Whether `c` can be part of the name of a tool.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/')
}

/// Bytes of arguments that are held back until the call is complete (ADR-0047).
pub(super) const HELD_BYTES: usize = 1024;

/// Most bytes of a call. A longer one is text.
pub(super) const MAX_CALL_BYTES: usize = 1 << 20;

/// Most bytes of the name of a tool.
pub(super) const MAX_NAME_BYTES: usize = 256;
