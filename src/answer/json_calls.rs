//! Calls that are JSON objects: Hermes, Llama 3, Granite, and the lists of Mistral.

use super::calls::{CallReader, CallStep, CallWriter};
use super::json::is_json_space;
use super::json_call::{CUT, JsonCall, JsonCallStep};
use super::marks::{MarkMatch, match_mark};

/// Reads one JSON object after the other, or a list of them, up to an end mark that may be missing.
#[derive(Debug)]
pub(super) struct JsonCalls {
    at: JsonCallsAt,
    call: JsonCall,
    is_list: bool,
    /// Whether a mark has promised a call.
    is_marked: bool,
    /// Whether a semicolon or comma may be between objects.
    has_separators: bool,
    end: Option<&'static str>,
}

#[derive(Debug)]
enum JsonCallsAt {
    /// Before the first object or list.
    Before,
    Call,
    /// After an object.
    Between,
    /// After a comma, or what separates calls without a list.
    Separator,
    /// Within the end mark.
    End(String),
}

impl JsonCalls {
    /// Objects after a mark, up to `end`.
    pub(super) fn until(end: Option<&'static str>) -> Self {
        Self {
            at: JsonCallsAt::Before,
            call: JsonCall::new(true),
            is_list: false,
            is_marked: true,
            has_separators: false,
            end,
        }
    }

    /// Calls of Llama 3, with a mark before them or without one.
    pub(super) fn of_llama(is_marked: bool) -> Self {
        Self { is_marked, has_separators: true, ..Self::until(None) }
    }

    fn begin_call(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        self.call = JsonCall::new(self.is_marked);
        self.at = JsonCallsAt::Call;
        self.in_call(c, calls)
    }

    fn in_call(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        match self.call.push(c, calls) {
            JsonCallStep::More => CallStep::More,
            JsonCallStep::Complete => {
                self.at = JsonCallsAt::Between;
                CallStep::More
            }
            JsonCallStep::Broken(reason) if self.call.is_promised() => CallStep::Broken(reason),
            JsonCallStep::Broken(_) => CallStep::Plain,
        }
    }

    fn between(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        match c {
            ',' if self.is_list => self.at = JsonCallsAt::Separator,
            ';' | ',' if self.has_separators => {
                calls.accept();
                self.at = JsonCallsAt::Separator;
            }
            ']' if self.is_list => {
                calls.accept();
                self.is_list = false;
                if self.end.is_none() {
                    return CallStep::Done;
                }
            }
            '{' if !self.is_list => return self.begin_call(c, calls),
            _ => return self.in_end(String::new(), c),
        }
        CallStep::More
    }

    fn in_end(&mut self, mut text: String, c: char) -> CallStep {
        text.push(c);
        match match_mark(&text, self.end.into_iter()) {
            MarkMatch::Full(_) => CallStep::Done,
            MarkMatch::Partial => {
                self.at = JsonCallsAt::End(text);
                CallStep::More
            }
            MarkMatch::None => CallStep::Released,
        }
    }
}

impl CallReader for JsonCalls {
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        match &mut self.at {
            JsonCallsAt::Call => self.in_call(c, calls),
            JsonCallsAt::End(text) => {
                let text = std::mem::take(text);
                self.in_end(text, c)
            }
            _ if is_json_space(c) => CallStep::More,
            JsonCallsAt::Before => match c {
                '{' => self.begin_call(c, calls),
                '[' if !self.is_list => {
                    self.is_list = true;
                    CallStep::More
                }
                _ => CallStep::Broken("no JSON object follows the mark"),
            },
            JsonCallsAt::Between => self.between(c, calls),
            JsonCallsAt::Separator if c == '{' => self.begin_call(c, calls),
            JsonCallsAt::Separator if self.is_list => {
                CallStep::Broken("no JSON object follows the comma")
            }
            JsonCallsAt::Separator => CallStep::Released,
        }
    }

    fn finish(&mut self, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        match &self.at {
            JsonCallsAt::Before => Err(CUT),
            JsonCallsAt::Call => self.call.finish(calls),
            JsonCallsAt::Between | JsonCallsAt::Separator | JsonCallsAt::End(_) => Ok(()),
        }
    }
}
