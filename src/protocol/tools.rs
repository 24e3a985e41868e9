//! Tools in frames of clients: their definitions, the choice of one, and the calls in messages of
//! the assistant. All have the form that OpenAI gave them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{JsonText, Refusal, Tool, ToolCall, ToolChoice};

use super::fields::{Fields, expected, invalid};
use super::json::{JsonSlice, Quoted};

/// Reads `tools`: functions, with `{"type":"function","function":…}` around them or without it.
pub(super) fn definitions(fields: &Fields<'_>) -> Result<Vec<Tool>, Refusal> {
    let Some(sent) = fields.get("tools") else { return Ok(Vec::new()) };
    let array = sent.array(MAX_TOOLS).ok_or_else(|| expected("tools", "a list", sent))?;
    if array.len > MAX_TOOLS {
        let reason = format!("must have at most {MAX_TOOLS} tools, not {}", array.len);
        return Err(invalid("tools", reason));
    }
    let tools = array.items.iter().enumerate();
    let tools: Vec<_> = tools.map(|(i, &tool)| definition(i, tool)).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    match tools.iter().find(|tool| !names.insert(&tool.name)) {
        Some(tool) => {
            let reason = format!("has several tools with the name {}", Quoted(&tool.name));
            Err(invalid("tools", reason))
        }
        None => Ok(tools),
    }
}

/// Reads the tool at `index`.
fn definition(index: usize, sent: JsonSlice<'_>) -> Result<Tool, Refusal> {
    let path = format!("tools[{index}]");
    let function = function_in(&path, sent)?;
    let field = |name: &str| format!("{}.{name}", function.path);
    let description = function.fields.get("description").filter(|sent| !sent.is_null());
    let description = match description {
        Some(sent) => match sent.text() {
            Some(text) => Some(text.into_owned()),
            None => return Err(expected(&field("description"), "a string", sent)),
        },
        None => None,
    };
    let parameters = function.fields.get("parameters").filter(|sent| !sent.is_null());
    if let Some(sent) = parameters.filter(|sent| !sent.is_object()) {
        return Err(expected(&field("parameters"), "a JSON schema, which is an object", sent));
    }
    let parameters = parameters.map(|sent| sent.to_json_text());
    Ok(Tool { name: function.name()?, description, parameters })
}

/// Reads `tool_choice`.
pub(super) fn choice(fields: &Fields<'_>, tools: &[Tool]) -> Result<ToolChoice, Refusal> {
    const FIELD: &str = "tool_choice";
    let Some(sent) = fields.get(FIELD) else { return Ok(ToolChoice::Auto) };
    let choice = match sent.text().as_deref() {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("required") => ToolChoice::Required,
        None if sent.is_object() => ToolChoice::Named(function_in(FIELD, sent)?.name()?),
        _ => {
            let allowed = "\"auto\", \"none\", \"required\" or \
                           {\"type\":\"function\",\"function\":{\"name\":…}}";
            return Err(expected(FIELD, allowed, sent));
        }
    };
    match &choice {
        ToolChoice::Named(name) if tools.iter().all(|tool| tool.name != *name) => {
            Err(invalid(FIELD, format!("names {}, which is not among tools", Quoted(name))))
        }
        ToolChoice::Required if tools.is_empty() => {
            Err(invalid(FIELD, "needs tools: send some, or leave it out"))
        }
        _ => Ok(choice),
    }
}

/// Reads `tool_calls` of a message, at the path `field`.
pub(super) fn calls(field: &str, sent: JsonSlice<'_>) -> Result<Vec<ToolCall>, Refusal> {
    let array = sent.array(MAX_CALLS).ok_or_else(|| expected(field, "a list", sent))?;
    if array.len > MAX_CALLS {
        let reason = format!("must have at most {MAX_CALLS} calls, not {}", array.len);
        return Err(invalid(field, reason));
    }
    let calls = array.items.iter().enumerate();
    calls.map(|(i, &sent)| call(&format!("{field}[{i}]"), sent)).collect()
}

/// Reads the call at `path`.
fn call(path: &str, sent: JsonSlice<'_>) -> Result<ToolCall, Refusal> {
    let function = function_in(path, sent)?;
    let id = match function.outer.get("id").filter(|id| !id.is_null()) {
        Some(id) => id.text().ok_or_else(|| expected(&format!("{path}.id"), "a string", id))?,
        None => Cow::Borrowed(""),
    };
    let arguments = match function.fields.get("arguments").filter(|sent| !sent.is_null()) {
        Some(&sent) => {
            let allowed = "a JSON object, or its text";
            let path = format!("{}.arguments", function.path);
            arguments(sent).ok_or_else(|| expected(&path, allowed, sent))?
        }
        None => JsonText("{}".to_owned()),
    };
    Ok(ToolCall { id: id.into_owned(), name: function.name()?, arguments })
}

/// The arguments of a call: an object, or the text of one, which may be empty.
fn arguments(sent: JsonSlice<'_>) -> Option<JsonText> {
    if sent.is_object() {
        return Some(sent.to_json_text());
    }
    let text = sent.text()?;
    if text.trim().is_empty() {
        return Some(JsonText("{}".to_owned()));
    }
    let value = JsonSlice::validate(&text).ok()?;
    value.is_object().then(|| value.to_json_text())
}

/// A function in a definition, a choice or a call.
struct SentFunction<'a> {
    /// Where it is, for error messages.
    path: String,
    /// The fields of the object around it, or its own if there is none.
    outer: BTreeMap<&'static str, JsonSlice<'a>>,
    fields: BTreeMap<&'static str, JsonSlice<'a>>,
}

/// Reads an object at `path` that is a function or has one.
fn function_in<'a>(path: &str, sent: JsonSlice<'a>) -> Result<SentFunction<'a>, Refusal> {
    let not_an_object =
        |path: &str, sent| expected(path, "an object with the name of a function", sent);
    let fields_of = |sent: JsonSlice<'a>| sent.fields(FUNCTION_FIELDS, |_, _| {});
    let outer = fields_of(sent).ok_or_else(|| not_an_object(path, sent))?;
    if let Some(kind) = outer.get("type").filter(|kind| !kind.is_null())
        && kind.text().as_deref() != Some("function")
    {
        return Err(expected(&format!("{path}.type"), "\"function\"", kind));
    }
    let (path, fields) = match outer.get("function") {
        Some(&inner) => {
            let path = format!("{path}.function");
            let fields = fields_of(inner).ok_or_else(|| not_an_object(&path, inner))?;
            (path, fields)
        }
        None => (path.to_owned(), outer.clone()),
    };
    Ok(SentFunction { path, outer, fields })
}

impl SentFunction<'_> {
    /// Its name.
    fn name(&self) -> Result<String, Refusal> {
        let path = format!("{}.name", self.path);
        let Some(sent) = self.fields.get("name") else {
            return Err(invalid(&path, "is missing: send the name of a function"));
        };
        match sent.text() {
            Some(name) if (1..=MAX_NAME_BYTES).contains(&name.len()) => Ok(name.into_owned()),
            _ => {
                let allowed = format!("a string of 1 to {MAX_NAME_BYTES} bytes");
                Err(expected(&path, &allowed, sent))
            }
        }
    }
}

/// The fields of functions and of the objects around them. Others are ignored: clients send back
/// what they got.
const FUNCTION_FIELDS: &[&str] =
    &["type", "function", "id", "name", "description", "parameters", "arguments"];

/// Most tools of a request.
const MAX_TOOLS: usize = 512;

/// Most calls in one message.
const MAX_CALLS: usize = 512;

/// Most bytes of the name of a tool.
const MAX_NAME_BYTES: usize = 128;
