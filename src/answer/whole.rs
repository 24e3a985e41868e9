//! Calls whose syntax is not JSON: they are read once they are complete, and told as a whole.

use super::calls::{CallReader, CallStep, CallWriter, WholeCall};
use super::json_call::CUT;
use super::marks::{MarkMatch, match_mark};

/// A syntax that is read as a whole.
#[derive(Debug)]
pub(super) struct WholeSyntax {
    /// Whether a text can be the beginning of a call.
    pub(super) can_begin: fn(&str) -> bool,
    /// What a text has to end with to be complete.
    pub(super) end: &'static str,
    /// Whether the end of the answer can stand for `end`.
    pub(super) can_lack_end: bool,
    /// The mark that may follow.
    pub(super) end_mark: Option<&'static str>,
    /// Reads a text that ends with `end`.
    pub(super) parse: fn(&str) -> WholeParse,
    /// What is wrong with a text that is no call.
    pub(super) fault: &'static str,
}

/// The result of reading a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WholeParse {
    Calls(Vec<WholeCall>),
    /// It is not complete.
    Incomplete,
    /// It is no call.
    Invalid,
}

/// Collects a text until it is complete.
#[derive(Debug)]
pub(super) struct WholeCalls {
    syntax: &'static WholeSyntax,
    text: String,
    /// How often the text had its end and was not complete.
    n_incomplete: usize,
    /// What was read of the end mark; `None` before the calls are complete.
    end_mark: Option<String>,
}

impl WholeCalls {
    /// A reader for `syntax` that has read `text`.
    pub(super) fn after(syntax: &'static WholeSyntax, text: &str) -> Self {
        Self { syntax, text: text.to_owned(), n_incomplete: 0, end_mark: None }
    }

    fn in_end_mark(&mut self, c: char) -> CallStep {
        let Some(text) = &mut self.end_mark else { return CallStep::Released };
        if text.is_empty() && c.is_whitespace() {
            return CallStep::More;
        }
        text.push(c);
        match match_mark(text, self.syntax.end_mark.into_iter()) {
            MarkMatch::Full(_) => CallStep::Done,
            MarkMatch::Partial => CallStep::More,
            MarkMatch::None => CallStep::Released,
        }
    }
}

impl CallReader for WholeCalls {
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        if self.end_mark.is_some() {
            return self.in_end_mark(c);
        }
        let WholeSyntax { can_begin, end, end_mark, parse, fault, .. } = *self.syntax;
        if self.text.is_empty() && c.is_whitespace() {
            return CallStep::More;
        }
        self.text.push(c);
        if self.text.len() <= MAX_HEAD_BYTES && !can_begin(&self.text) {
            return CallStep::Broken(fault);
        }
        if !self.text.ends_with(end) {
            return CallStep::More;
        }
        match parse(&self.text) {
            WholeParse::Calls(found) => {
                calls.all(&found);
                self.end_mark = Some(String::new());
                if end_mark.is_none() { CallStep::Done } else { CallStep::More }
            }
            WholeParse::Incomplete if self.n_incomplete < MAX_INCOMPLETE => {
                self.n_incomplete += 1;
                CallStep::More
            }
            WholeParse::Incomplete | WholeParse::Invalid => CallStep::Broken(fault),
        }
    }

    fn finish(&mut self, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        if self.end_mark.is_some() {
            return Ok(());
        }
        if !self.syntax.can_lack_end {
            return Err(CUT);
        }
        match (self.syntax.parse)(&format!("{}{}", self.text.trim_end(), self.syntax.end)) {
            WholeParse::Calls(found) => {
                calls.all(&found);
                Ok(())
            }
            WholeParse::Incomplete | WholeParse::Invalid => Err(CUT),
        }
    }
}

/// Bytes in which the beginning of a call is checked with each character.
const MAX_HEAD_BYTES: usize = 256;

/// How often a text is read that has its end and is not complete, because a value contains the end.
/// Bounds the work for hostile texts.
const MAX_INCOMPLETE: usize = 16;
