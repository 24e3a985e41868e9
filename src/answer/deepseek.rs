//! Calls of DeepSeek: R1 and V3 write the kind of the tool, the name, and a block of JSON; V3.1
//! writes the name and JSON.

use super::calls::{CallReader, CallStep, CallWriter, is_tool_name};
use super::json_call::{CUT, JsonArguments, JsonCallStep};
use super::marks::{MarkMatch, match_mark};

/// Reads calls of DeepSeek.
#[derive(Debug)]
pub(super) struct DeepSeekCalls {
    at: DeepSeekAt,
    has_call: bool,
}

#[derive(Debug)]
enum DeepSeekAt {
    /// Within a mark, before or after a call.
    Mark(String),
    /// Before the separator: the kind of the tool, or its name.
    Head(String),
    /// After the separator of `head`: the name or the arguments.
    Body {
        head: String,
        text: String,
    },
    /// Between the name and the arguments.
    Fence(String),
    Arguments(JsonArguments),
}

impl DeepSeekCalls {
    /// A reader after the mark of a call, or after the mark of all calls.
    pub(super) fn new(is_in_call: bool) -> Self {
        let at = match is_in_call {
            true => DeepSeekAt::Head(String::new()),
            false => DeepSeekAt::Mark(String::new()),
        };
        Self { at, has_call: false }
    }

    fn in_mark(&mut self, mut text: String, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        if text.is_empty() && c.is_whitespace() {
            return CallStep::More;
        }
        text.push(c);
        match match_mark(&text, MARKS.into_iter()) {
            MarkMatch::Full(0) => self.at = DeepSeekAt::Head(String::new()),
            MarkMatch::Full(1) if self.has_call => return CallStep::Done,
            MarkMatch::Full(_) if self.has_call => {
                calls.accept();
                self.at = DeepSeekAt::Mark(String::new());
            }
            MarkMatch::Partial => self.at = DeepSeekAt::Mark(text),
            MarkMatch::None if self.has_call => return CallStep::Released,
            MarkMatch::Full(_) | MarkMatch::None => {
                return CallStep::Broken("no call follows the mark");
            }
        }
        CallStep::More
    }

    fn in_head(&mut self, mut text: String, c: char) -> CallStep {
        text.push(c);
        if let Some(head) = text.strip_suffix(SEPARATOR) {
            let head = head.trim().to_owned();
            self.at = DeepSeekAt::Body { head, text: String::new() };
        } else if text.len() > MAX_HEAD_BYTES {
            return CallStep::Broken(NO_NAME);
        } else {
            self.at = DeepSeekAt::Head(text);
        }
        CallStep::More
    }

    fn in_body(
        &mut self,
        head: String,
        mut text: String,
        c: char,
        calls: &mut CallWriter<'_, '_>,
    ) -> CallStep {
        if text.is_empty() && c.is_whitespace() {
            self.at = DeepSeekAt::Body { head, text };
            return CallStep::More;
        }
        if c == '{' && text.is_empty() {
            return self.begin_arguments(&head, calls);
        }
        if c == '\n' {
            if !is_tool_name(text.trim()) {
                return CallStep::Broken(NO_NAME);
            }
            calls.begin(text.trim());
            self.at = DeepSeekAt::Fence(String::new());
            return CallStep::More;
        }
        text.push(c);
        if text.len() > MAX_HEAD_BYTES {
            return CallStep::Broken(NO_NAME);
        }
        self.at = DeepSeekAt::Body { head, text };
        CallStep::More
    }

    fn in_fence(&mut self, mut text: String, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        if c == '{' {
            return match text.trim() {
                "" | "```" | "```json" => self.begin_object(calls),
                _ => CallStep::Broken(NO_ARGUMENTS),
            };
        }
        text.push(c);
        if text.len() > MAX_FENCE_BYTES {
            return CallStep::Broken(NO_ARGUMENTS);
        }
        self.at = DeepSeekAt::Fence(text);
        CallStep::More
    }

    fn begin_arguments(&mut self, name: &str, calls: &mut CallWriter<'_, '_>) -> CallStep {
        if !is_tool_name(name) {
            return CallStep::Broken(NO_NAME);
        }
        calls.begin(name);
        self.begin_object(calls)
    }

    fn begin_object(&mut self, calls: &mut CallWriter<'_, '_>) -> CallStep {
        self.at = DeepSeekAt::Arguments(JsonArguments::new());
        self.push('{', calls)
    }
}

impl CallReader for DeepSeekCalls {
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        match std::mem::replace(&mut self.at, DeepSeekAt::Mark(String::new())) {
            DeepSeekAt::Mark(text) => self.in_mark(text, c, calls),
            DeepSeekAt::Head(text) => self.in_head(text, c),
            DeepSeekAt::Body { head, text } => self.in_body(head, text, c, calls),
            DeepSeekAt::Fence(text) => self.in_fence(text, c, calls),
            DeepSeekAt::Arguments(mut arguments) => match arguments.push(c, calls) {
                JsonCallStep::More => {
                    self.at = DeepSeekAt::Arguments(arguments);
                    CallStep::More
                }
                JsonCallStep::Complete => {
                    self.has_call = true;
                    CallStep::More
                }
                JsonCallStep::Broken(reason) => CallStep::Broken(reason),
            },
        }
    }

    fn finish(&mut self, _: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        match &self.at {
            DeepSeekAt::Mark(_) if self.has_call => Ok(()),
            _ => Err(CUT),
        }
    }
}

/// The marks between calls: of a call, of the end of all calls, of the end of a call, and of the
/// end of a block.
const MARKS: [&str; 4] =
    ["<｜tool▁call▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁end｜>", "```"];

/// The mark after the kind of a tool, or after its name.
const SEPARATOR: &str = "<｜tool▁sep｜>";

/// Most bytes of a kind or a name.
const MAX_HEAD_BYTES: usize = 512;

/// Most bytes between the name and the arguments.
const MAX_FENCE_BYTES: usize = 64;

const NO_NAME: &str = "it has no name";
const NO_ARGUMENTS: &str = "no arguments follow its name";
