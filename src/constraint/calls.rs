//! The grammar of an answer that consists of calls of tools.
//!
//! Only calls that are written as JSON can be forced. The names are those of the tools, and the
//! arguments fit the schemas of their parameters.

use serde_json::Value;

use crate::domain::{Conversation, Tool, ToolCallStyle, ToolChoice};

use super::fault::{GrammarFault, literal};
use super::schema;

/// How the calls of one style are written.
struct ForcedCallForm {
    /// Before all calls.
    open: Vec<CallPart>,
    /// Before a call, its name, its arguments and its end.
    call: [&'static str; 3],
    /// Marks around each call.
    marks: Option<[&'static str; 2]>,
    /// Between calls; `None` if there can be only one.
    separator: Option<&'static str>,
    /// After all calls.
    close: &'static str,
}

/// A part of a text.
enum CallPart {
    Text(&'static str),
    /// A special token, or text if the vocabulary has no such token.
    Mark(&'static str),
}

/// The grammar, in Lark, of the calls that `conversation` requires, in this `style`; `None` if it
/// requires none, or if calls of the style cannot be forced. `special` is the id of a special
/// token.
///
/// # Errors
/// The field that has a fault, and what is wrong with it.
pub(super) fn calls_grammar(
    conversation: &Conversation,
    style: ToolCallStyle,
    special: impl Fn(&str) -> Option<u32>,
) -> Result<Option<String>, (String, String)> {
    if !conversation.requires_call() {
        return Ok(None);
    }
    let tools = callable_tools(conversation);
    if tools.is_empty() {
        let reason = "there is no tool that could be called".to_owned();
        return Err(("tool_choice".to_owned(), GrammarFault::Invalid(reason).to_string()));
    }
    let Some(form) = form_of(style, &special) else { return Ok(None) };
    let mark = |text: &str| match special(text) {
        Some(id) => format!("<[{id}]>"),
        None => literal(text),
    };
    let [before, between, after] = form.call;
    let mut alternatives = Vec::new();
    for (i, tool) in tools {
        let schema = parameters(i, tool)?;
        let name = Value::from(tool.name.as_str());
        let head = literal(&format!("{before}{name}{between}"));
        alternatives.push(format!("{head} %json {schema} {}", literal(after)));
    }
    let open = form.open.iter().map(|part| match part {
        CallPart::Text(text) => literal(text),
        CallPart::Mark(text) => mark(text),
    });
    let open: Vec<String> = open.collect();
    let call = match form.marks {
        None => "object".to_owned(),
        Some([start, end]) => {
            format!("{} {} object {} {}", mark(start), literal("\n"), literal("\n"), mark(end))
        }
    };
    // A client that names a tool expects one call of it, as with OpenAI.
    let is_named = matches!(conversation.tool_choice, ToolChoice::Named(_));
    let more = match form.separator {
        Some(separator) if conversation.parallel_tool_calls && !is_named => {
            format!("({} call){{0,{}}}", literal(separator), MAX_CALLS - 1)
        }
        _ => String::new(),
    };
    let close = if form.close.is_empty() { String::new() } else { literal(form.close) };
    Ok(Some(format!(
        "start: {} call {more} {close}\ncall: {call}\nobject: {}\n",
        open.join(" "),
        alternatives.join(" | ")
    )))
}

/// How calls of a `style` are written; `None` if they are not JSON.
fn form_of(style: ToolCallStyle, special: impl Fn(&str) -> Option<u32>) -> Option<ForcedCallForm> {
    const ARGUMENTS: [&str; 3] = ["{\"name\": ", ", \"arguments\": ", "}"];
    let list = |mark| ForcedCallForm {
        open: vec![CallPart::Mark(mark), CallPart::Text("[")],
        call: ARGUMENTS,
        marks: None,
        separator: Some(", "),
        close: "]",
    };
    match style {
        ToolCallStyle::Unknown | ToolCallStyle::Hermes => Some(ForcedCallForm {
            open: Vec::new(),
            call: ARGUMENTS,
            marks: Some(["<tool_call>", "</tool_call>"]),
            separator: Some("\n"),
            close: "",
        }),
        ToolCallStyle::LlamaJson => Some(ForcedCallForm {
            open: Vec::new(),
            call: ["{\"name\": ", ", \"parameters\": ", "}"],
            marks: None,
            separator: None,
            close: "",
        }),
        // Newer models of Mistral write the name outside of the JSON.
        ToolCallStyle::Mistral if special("[ARGS]").is_some() => None,
        ToolCallStyle::Mistral => Some(list("[TOOL_CALLS]")),
        ToolCallStyle::Granite => Some(list("<|tool_call|>")),
        ToolCallStyle::QwenXml
        | ToolCallStyle::Pythonic
        | ToolCallStyle::Gemma
        | ToolCallStyle::Harmony
        | ToolCallStyle::DeepSeek
        | ToolCallStyle::Glm => None,
    }
}

/// The tools that `conversation` requires a call of, with their numbers.
pub(super) fn callable_tools(conversation: &Conversation) -> Vec<(usize, &Tool)> {
    let is_callable = |tool: &Tool| match &conversation.tool_choice {
        ToolChoice::Auto | ToolChoice::None => false,
        ToolChoice::Required => true,
        ToolChoice::Named(name) => tool.name == *name,
    };
    conversation.tools.iter().enumerate().filter(|(_, tool)| is_callable(tool)).collect()
}

/// The schema of the arguments of the tool with this number.
///
/// # Errors
/// The field that has a fault, and what is wrong with it.
pub(super) fn parameters(number: usize, tool: &Tool) -> Result<Value, (String, String)> {
    match &tool.parameters {
        None => Ok(schema::any_object()),
        Some(text) => {
            schema::prepare_object(text).map_err(|fault| tool_fault(number, tool, &fault))
        }
    }
}

/// The field of the schema of the tool with this number, and what is wrong with it.
pub(super) fn tool_fault(number: usize, tool: &Tool, fault: &GrammarFault) -> (String, String) {
    let field = format!("tools[{number}].parameters");
    (field, format!("the schema of the tool {} {fault}", tool.name))
}

/// Most calls in one answer.
const MAX_CALLS: usize = 16;
