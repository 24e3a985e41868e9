//! Calls in the notation of Python: `[name(key="value"), other()]`.

use super::calls::{CallReader, CallStep, CallWriter, WholeCall, is_name_char, is_tool_name};
use super::json_call::CUT;
use super::literals::LiteralReader;
use super::marks::{MarkMatch, match_mark};

/// Collects a list of calls until its bracket closes.
#[derive(Debug)]
pub(super) struct PythonicCalls {
    text: String,
    /// Whether a mark has promised calls.
    is_marked: bool,
    brackets: Brackets,
    /// What was read of the end mark; `None` before the list is complete.
    end_mark: Option<String>,
}

/// Finds the end of a list.
#[derive(Debug, Default)]
struct Brackets {
    depth: usize,
    /// The quote around the next character.
    quote: Option<char>,
    is_escaped: bool,
}

impl Brackets {
    /// Reads a character. Returns whether it closes the first bracket.
    fn push(&mut self, c: char) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            return false;
        }
        match (self.quote, c) {
            (Some(_), '\\') => self.is_escaped = true,
            (Some(quote), _) if quote == c => self.quote = None,
            (None, '"' | '\'') => self.quote = Some(c),
            (None, '[' | '(' | '{') => self.depth += 1,
            (None, ']' | ')' | '}') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

impl PythonicCalls {
    pub(super) fn new(is_marked: bool) -> Self {
        Self { text: String::new(), is_marked, brackets: Brackets::default(), end_mark: None }
    }

    fn broken(&self) -> CallStep {
        let has_call = self.text.contains('(');
        if self.is_marked || has_call { CallStep::Broken(FAULT) } else { CallStep::Plain }
    }

    fn in_end_mark(&mut self, c: char) -> CallStep {
        let Some(text) = &mut self.end_mark else { return CallStep::Released };
        if text.is_empty() && c.is_whitespace() {
            return CallStep::More;
        }
        text.push(c);
        match match_mark(text, END_MARKS.into_iter()) {
            MarkMatch::Full(_) => CallStep::Done,
            MarkMatch::Partial => CallStep::More,
            MarkMatch::None => CallStep::Released,
        }
    }
}

impl CallReader for PythonicCalls {
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        if self.end_mark.is_some() {
            return self.in_end_mark(c);
        }
        if self.text.is_empty() && c.is_whitespace() {
            return CallStep::More;
        }
        self.text.push(c);
        if self.text.len() <= MAX_HEAD_BYTES && !begins_list(&self.text) {
            return self.broken();
        }
        if !self.brackets.push(c) {
            return CallStep::More;
        }
        match parse_list(&self.text) {
            Some(found) => {
                calls.all(&found);
                self.end_mark = Some(String::new());
                CallStep::More
            }
            None => self.broken(),
        }
    }

    fn finish(&mut self, _: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        if self.end_mark.is_some() { Ok(()) } else { Err(CUT) }
    }
}

/// Whether `text` can be the beginning of a list of calls: a bracket, a name, a bracket.
fn begins_list(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('[') else { return false };
    let rest = rest.trim_start().trim_start_matches(is_python_name).trim_start();
    rest.is_empty() || rest.starts_with('(')
}

/// The calls of a list with its brackets; `None` if it is none, or empty.
fn parse_list(text: &str) -> Option<Vec<WholeCall>> {
    let calls = parse_calls(text.strip_prefix('[')?.strip_suffix(']')?)?;
    (!calls.is_empty()).then_some(calls)
}

/// The calls in a text, with commas, semicolons or line breaks between them; `None` if there is
/// something else.
pub(super) fn parse_calls(text: &str) -> Option<Vec<WholeCall>> {
    let mut reader = LiteralReader::new(text);
    let mut calls = Vec::new();
    while !reader.rest().is_empty() {
        let name = reader.name(is_python_name).to_owned();
        if !is_tool_name(&name) || !reader.skip("(") {
            return None;
        }
        let mut arguments = String::new();
        reader.members(")", "=", &mut arguments)?;
        calls.push(WholeCall { name, arguments });
        while reader.skip(",") || reader.skip(";") {}
    }
    Some(calls)
}

fn is_python_name(c: char) -> bool {
    is_name_char(c) && !matches!(c, ':' | '/')
}

/// The marks that may follow a list.
const END_MARKS: [&str; 2] = ["<|python_end|>", "<|tool_call_end|>"];

/// Bytes in which the beginning of a list is checked with each character.
const MAX_HEAD_BYTES: usize = 256;

const FAULT: &str = "it is not a list of calls with named arguments";
