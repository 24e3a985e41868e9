//! What follows `[TOOL_CALLS]`: a list of JSON objects, or `name[ARGS]{…}`.

use super::calls::{CallReader, CallStep, CallWriter, is_name_char, is_tool_name};
use super::json_call::{CUT, JsonArguments, JsonCallStep};
use super::json_calls::JsonCalls;

/// Reads calls of Mistral.
#[derive(Debug)]
pub(super) struct MistralCalls(MistralAt);

#[derive(Debug)]
enum MistralAt {
    Before,
    List(JsonCalls),
    /// What is before the arguments.
    Header(String),
    Arguments(JsonArguments),
}

impl MistralCalls {
    pub(super) fn new() -> Self {
        Self(MistralAt::Before)
    }

    fn in_header(
        &mut self,
        mut header: String,
        c: char,
        calls: &mut CallWriter<'_, '_>,
    ) -> CallStep {
        if c != '{' {
            header.push(c);
            // Until the name is complete, nothing but names is possible.
            let is_name = header.contains('[') || is_name_char(c) || c.is_whitespace();
            if !is_name || header.len() > MAX_HEADER_BYTES {
                return CallStep::Broken("no name follows the mark");
            }
            self.0 = MistralAt::Header(header);
            return CallStep::More;
        }
        let Some(name) = name_in(&header) else {
            return CallStep::Broken("no name follows the mark");
        };
        calls.begin(name);
        self.0 = MistralAt::Arguments(JsonArguments::new());
        self.push(c, calls)
    }
}

impl CallReader for MistralCalls {
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        match &mut self.0 {
            MistralAt::Before if c.is_whitespace() => CallStep::More,
            MistralAt::Before if c == '[' => {
                let mut list = JsonCalls::until(None);
                let step = list.push(c, calls);
                self.0 = MistralAt::List(list);
                step
            }
            MistralAt::Before => self.in_header(String::new(), c, calls),
            MistralAt::List(list) => list.push(c, calls),
            MistralAt::Header(header) => {
                let header = std::mem::take(header);
                self.in_header(header, c, calls)
            }
            MistralAt::Arguments(arguments) => match arguments.push(c, calls) {
                JsonCallStep::More => CallStep::More,
                JsonCallStep::Complete => CallStep::Done,
                JsonCallStep::Broken(reason) => CallStep::Broken(reason),
            },
        }
    }

    fn finish(&mut self, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        match &mut self.0 {
            MistralAt::List(list) => list.finish(calls),
            MistralAt::Before | MistralAt::Header(_) | MistralAt::Arguments(_) => Err(CUT),
        }
    }
}

/// The name in `name`, `name[ARGS]` or `name[CALL_ID]id[ARGS]`.
fn name_in(header: &str) -> Option<&str> {
    let header = header.trim();
    let header = header.strip_suffix("[ARGS]").unwrap_or(header);
    let name = header.split_once("[CALL_ID]").map_or(header, |(name, _)| name).trim();
    is_tool_name(name).then_some(name)
}

/// Most bytes before the arguments.
const MAX_HEADER_BYTES: usize = 512;
