//! What is between `<tool_call>` and `</tool_call>`: JSON, or the tags of Qwen 3 Coder or GLM.

use super::calls::{CallReader, CallStep, CallWriter, is_name_char};
use super::json_call::CUT;
use super::json_calls::JsonCalls;
use super::whole::WholeCalls;
use super::xml::{GLM, QWEN_XML};

/// Chooses the reader by the first character.
#[derive(Debug)]
pub(super) struct TaggedCalls {
    /// Whether a name can be the first, as GLM writes calls.
    is_glm: bool,
    reader: Option<Box<dyn CallReader>>,
}

impl TaggedCalls {
    pub(super) fn new(is_glm: bool) -> Self {
        Self { is_glm, reader: None }
    }

    fn reader_for(&self, c: char) -> Option<Box<dyn CallReader>> {
        match c {
            '{' | '[' => Some(Box::new(JsonCalls::until(Some("</tool_call>")))),
            '<' if !self.is_glm => Some(Box::new(WholeCalls::after(&QWEN_XML, ""))),
            _ if self.is_glm && is_name_char(c) => Some(Box::new(WholeCalls::after(&GLM, ""))),
            _ => None,
        }
    }
}

impl CallReader for TaggedCalls {
    fn push(&mut self, c: char, calls: &mut CallWriter<'_, '_>) -> CallStep {
        if self.reader.is_none() {
            if c.is_whitespace() {
                return CallStep::More;
            }
            self.reader = self.reader_for(c);
        }
        match &mut self.reader {
            Some(reader) => reader.push(c, calls),
            None => CallStep::Broken("no call follows the mark"),
        }
    }

    fn finish(&mut self, calls: &mut CallWriter<'_, '_>) -> Result<(), &'static str> {
        self.reader.as_mut().map_or(Err(CUT), |reader| reader.finish(calls))
    }
}
