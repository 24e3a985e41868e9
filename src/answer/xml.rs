//! Calls with tags around names and values: Qwen 3 Coder and GLM 4.5.

use serde_json::value::RawValue;

use super::calls::{WholeCall, is_name_char, is_tool_name};
use super::json::push_json_string;
use super::whole::{WholeParse, WholeSyntax};

/// `<function=NAME><parameter=KEY>VALUE</parameter></function>`, with line breaks between the tags
/// and around the values.
pub(super) static QWEN_XML: WholeSyntax = WholeSyntax {
    can_begin: |text| has_beginning(text, FUNCTION),
    end: FUNCTION_END,
    can_lack_end: false,
    end_mark: Some("</tool_call>"),
    parse: parse_qwen,
    fault: "its tags are not those of a function",
};

/// `NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>`, with line breaks between the tags.
pub(super) static GLM: WholeSyntax = WholeSyntax {
    can_begin: begins_glm,
    end: GLM_END,
    can_lack_end: false,
    end_mark: None,
    parse: parse_glm,
    fault: "its tags are not those of a call",
};

fn parse_qwen(text: &str) -> WholeParse {
    let Some((name, mut rest)) = text.strip_prefix(FUNCTION).and_then(|text| text.split_once('>'))
    else {
        return WholeParse::Invalid;
    };
    let name = name.trim().trim_matches('"');
    if !is_tool_name(name) {
        return WholeParse::Invalid;
    }
    let mut arguments = XmlArguments::default();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(FUNCTION_END) {
            return if after.is_empty() { arguments.call(name) } else { WholeParse::Invalid };
        }
        let Some((key, value)) = rest.strip_prefix(PARAMETER).and_then(|text| text.split_once('>'))
        else {
            return WholeParse::Invalid;
        };
        let Some(n_bytes) = end_of_parameter(value) else { return WholeParse::Incomplete };
        let (value, after) = value.split_at(n_bytes);
        arguments.add(key.trim().trim_matches('"'), without_line_breaks(value));
        rest = &after[PARAMETER_END.len()..];
    }
}

/// Where the value of a parameter ends. A value can contain the end mark, which then is not
/// followed by another tag.
fn end_of_parameter(text: &str) -> Option<usize> {
    let mut ends = text.match_indices(PARAMETER_END).map(|(end, _)| end);
    ends.find(|&end| {
        let next = text[end + PARAMETER_END.len()..].trim_start();
        next.starts_with(PARAMETER) || next.starts_with(FUNCTION_END)
    })
}

/// A value without the line break after its start tag and the one before its end tag.
fn without_line_breaks(value: &str) -> &str {
    let value = value.strip_prefix('\n').unwrap_or(value);
    value.strip_suffix('\n').unwrap_or(value)
}

fn begins_glm(text: &str) -> bool {
    let rest = text.trim_start_matches(is_name_char);
    let tag = rest.trim_start();
    tag.is_empty() || has_beginning(tag, ARG_KEY) || has_beginning(tag, GLM_END)
}

fn parse_glm(text: &str) -> WholeParse {
    let Some((name, mut rest)) = text.find('<').map(|at| text.split_at(at)) else {
        return WholeParse::Invalid;
    };
    let name = name.trim();
    if !is_tool_name(name) {
        return WholeParse::Invalid;
    }
    let mut arguments = XmlArguments::default();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(GLM_END) {
            return if after.is_empty() { arguments.call(name) } else { WholeParse::Invalid };
        }
        let Some(after) = rest.strip_prefix(ARG_KEY) else { return WholeParse::Invalid };
        let Some((key, after)) = after.split_once("</arg_key>") else {
            return WholeParse::Incomplete;
        };
        let Some(after) = after.trim_start().strip_prefix("<arg_value>") else {
            return WholeParse::Invalid;
        };
        let Some((value, after)) = after.split_once("</arg_value>") else {
            return WholeParse::Incomplete;
        };
        arguments.add(key.trim(), value);
        rest = after;
    }
}

/// Arguments as they are found.
#[derive(Debug, Default)]
struct XmlArguments(String);

impl XmlArguments {
    /// Adds an argument: JSON if its text is a JSON value, otherwise a string.
    fn add(&mut self, key: &str, value: &str) {
        self.0.push_str(if self.0.is_empty() { "{" } else { ", " });
        push_json_string(&mut self.0, key);
        self.0.push_str(": ");
        match serde_json::from_str::<&RawValue>(value.trim()) {
            Ok(json) => self.0.push_str(json.get()),
            Err(_) => push_json_string(&mut self.0, value),
        }
    }

    /// The call of `name` with these arguments.
    fn call(mut self, name: &str) -> WholeParse {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        WholeParse::Calls(vec![WholeCall { name: name.to_owned(), arguments: self.0 }])
    }
}

/// Whether one of the texts begins with the other.
pub(super) fn has_beginning(text: &str, beginning: &str) -> bool {
    text.starts_with(beginning) || beginning.starts_with(text)
}

const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";
const ARG_KEY: &str = "<arg_key>";
const GLM_END: &str = "</tool_call>";
