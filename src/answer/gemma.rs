//! Calls of Gemma 4, and blocks of code with calls as Gemma 3 writes them.

use super::calls::{WholeCall, is_name_char, is_tool_name};
use super::literals::LiteralReader;
use super::pythonic::parse_calls;
use super::whole::{WholeParse, WholeSyntax};
use super::xml::has_beginning;

/// `call:name{key:<|"|>value<|"|>}`.
pub(super) static GEMMA_CALL: WholeSyntax = WholeSyntax {
    can_begin: |text| has_beginning(text, CALL),
    end: CALL_END,
    can_lack_end: true,
    end_mark: None,
    parse: parse_call,
    fault: "it is not a name with arguments in braces",
};

/// Calls in the notation of Python, up to the end of the block.
pub(super) static TOOL_CODE: WholeSyntax = WholeSyntax {
    can_begin: |_| true,
    end: FENCE,
    can_lack_end: true,
    end_mark: None,
    parse: parse_tool_code,
    fault: "the block has more than calls with named arguments",
};

fn parse_call(text: &str) -> WholeParse {
    let Some(text) = text.strip_prefix(CALL).and_then(|text| text.strip_suffix(CALL_END)) else {
        return WholeParse::Invalid;
    };
    let mut reader = LiteralReader::new(text);
    let name = reader.name(|c| is_name_char(c) && c != '{').to_owned();
    if !is_tool_name(&name) || !reader.skip("{") {
        return WholeParse::Invalid;
    }
    let mut arguments = String::new();
    // A string can contain the end mark.
    match reader.members("}", ":", &mut arguments) {
        Some(()) if reader.rest().is_empty() => {
            WholeParse::Calls(vec![WholeCall { name, arguments }])
        }
        _ => WholeParse::Incomplete,
    }
}

fn parse_tool_code(text: &str) -> WholeParse {
    let code = text.strip_suffix(FENCE).unwrap_or(text).trim();
    let printed = code.strip_prefix("print(").and_then(|code| code.strip_suffix(')'));
    match printed.and_then(parse_calls).or_else(|| parse_calls(code)) {
        Some(calls) if !calls.is_empty() => WholeParse::Calls(calls),
        // A string can contain the end of the block.
        _ => WholeParse::Incomplete,
    }
}

const CALL: &str = "call:";
const CALL_END: &str = "<tool_call|>";
const FENCE: &str = "```";
