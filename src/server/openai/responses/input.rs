//! Reads the field `input`: a string, or a list of items.

use crate::domain::{JsonText, Role, ToolCall};
use crate::protocol::JsonSlice;
use crate::server::json_fields::{InvalidField, JsonFields, UnusedFields, values_of};

use super::items::ResponseItem;
use super::tools::ToolNames;

/// An item of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InputItem {
    /// The item itself.
    Given(ResponseItem),
    /// An item of an earlier response.
    Reference {
        /// Its id.
        id: String,
        /// Where the reference is.
        path: String,
    },
}

/// Reads the value of `input`. Items that the model cannot use are named in `ignored`.
pub(super) fn input_items(
    sent: JsonSlice<'_>,
    names: &ToolNames,
    ignored: &mut UnusedFields,
) -> Result<Vec<InputItem>, InvalidField> {
    if let Some(text) = sent.text() {
        let message = ResponseItem::Message { role: Role::User, text: text.into_owned() };
        return Ok(vec![InputItem::Given(message)]);
    }
    let values = values_of("input", sent).map_err(|error| match error {
        error if error.path == "input" && sent.array(0).is_none() => {
            InvalidField::new("input", format!("must be a string or a list of items, not {sent}"))
        }
        error => error,
    })?;
    let mut items = Vec::with_capacity(values.len());
    for (path, value) in values {
        items.extend(item(&path, value, names, ignored)?);
    }
    Ok(items)
}

/// Reads one item; `None` if the model cannot use it.
fn item(
    path: &str,
    sent: JsonSlice<'_>,
    names: &ToolNames,
    ignored: &mut UnusedFields,
) -> Result<Option<InputItem>, InvalidField> {
    let mut fields = JsonFields::of(path, sent)?;
    let kind = fields.text("type")?;
    let given = match kind.as_deref() {
        None | Some("message") => message(&mut fields)?,
        Some("reasoning") => reasoning(&mut fields)?,
        Some("function_call") => function_call(&mut fields, names)?,
        Some("function_call_output" | "custom_tool_call_output") => {
            let call_id = fields.required_text("call_id")?;
            let output =
                fields.take("output").ok_or_else(|| fields.invalid("output", "is missing"))?;
            let output = content(&fields.path("output"), output)?;
            ResponseItem::CallOutput { call_id, output }
        }
        Some("custom_tool_call") => {
            let id = fields.required_text("call_id")?;
            let name = fields.required_text("name")?;
            let input = fields.required_text("input")?;
            let input = serde_json::to_string(&input).expect("a string is always JSON");
            let arguments = JsonText(format!("{{\"input\":{input}}}"));
            ResponseItem::Call(ToolCall { id, name, arguments })
        }
        Some("item_reference") => {
            let id = fields.required_text("id")?;
            return Ok(Some(InputItem::Reference { id, path: path.to_owned() }));
        }
        Some(other) => {
            ignored.add(format!("{path} ({other})"));
            return Ok(None);
        }
    };
    Ok(Some(InputItem::Given(given)))
}

fn message(fields: &mut JsonFields<'_>) -> Result<ResponseItem, InvalidField> {
    let role = match &*fields.required_text("role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let reason = format!(
                "must be user, assistant, system or developer, not {}",
                crate::protocol::Quoted(other)
            );
            return Err(fields.invalid("role", reason));
        }
    };
    let text = match fields.take("content") {
        Some(sent) => content(&fields.path("content"), sent)?,
        None => return Err(fields.invalid("content", "is missing")),
    };
    Ok(ResponseItem::Message { role, text })
}

/// What the model thought: its own words, or else the summary.
fn reasoning(fields: &mut JsonFields<'_>) -> Result<ResponseItem, InvalidField> {
    let mut read = |name| match fields.take(name) {
        Some(sent) => content(&fields.path(name), sent),
        None => Ok(String::new()),
    };
    let (text, summary) = (read("content")?, read("summary")?);
    Ok(ResponseItem::Reasoning(if text.is_empty() { summary } else { text }))
}

fn function_call(
    fields: &mut JsonFields<'_>,
    names: &ToolNames,
) -> Result<ResponseItem, InvalidField> {
    let id = fields.required_text("call_id")?;
    let name = fields.required_text("name")?;
    let namespace = fields.text("namespace")?;
    let name = names.known_to_model(namespace.as_deref(), &name);
    let arguments = JsonText(fields.required_text("arguments")?);
    Ok(ResponseItem::Call(ToolCall { id, name, arguments }))
}

/// The text of `sent`: a string, or a list of parts.
fn content(path: &str, sent: JsonSlice<'_>) -> Result<String, InvalidField> {
    if let Some(text) = sent.text() {
        return Ok(text.into_owned());
    }
    if sent.array(0).is_none() {
        let reason = format!("must be a string or a list of parts, not {sent}");
        return Err(InvalidField::new(path, reason));
    }
    let mut whole = String::new();
    for (path, value) in values_of(path, sent)? {
        let mut fields = JsonFields::of(&path, value)?;
        let kind = fields.text("type")?.unwrap_or_default();
        match &*kind {
            "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" | "" => {
                whole.push_str(&fields.required_text("text")?);
            }
            "refusal" => whole.push_str(&fields.required_text("refusal")?),
            other => {
                let reason = format!(
                    "the model reads text only, not {}: send parts of the type input_text",
                    crate::protocol::Quoted(other)
                );
                return Err(fields.invalid("type", reason));
            }
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<InputItem>, String> {
        let sent = JsonSlice::validate(text).unwrap();
        let items = input_items(sent, &ToolNames::default(), &mut UnusedFields::default());
        items.map_err(|error| error.to_string())
    }

    fn given(item: ResponseItem) -> InputItem {
        InputItem::Given(item)
    }

    #[test]
    fn items_of_every_kind_are_read() {
        let user =
            |text: &str| given(ResponseItem::Message { role: Role::User, text: text.to_owned() });
        let call = |name: &str, arguments: &str| {
            given(ResponseItem::Call(ToolCall {
                id: "c".to_owned(),
                name: name.to_owned(),
                arguments: JsonText(arguments.to_owned()),
            }))
        };
        let output = |text: &str| {
            given(ResponseItem::CallOutput { call_id: "c".to_owned(), output: text.to_owned() })
        };
        for (text, expected) in [
            (r#""hi""#, user("hi")),
            (r#"[{"role":"user","content":"hi"}]"#, user("hi")),
            (
                r#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"h"},
                    {"type":"input_text","text":"i"}]}]"#,
                user("hi"),
            ),
            (
                r#"[{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"s"}]}]"#,
                given(ResponseItem::Reasoning("s".to_owned())),
            ),
            (
                r#"[{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"t"}],
                    "encrypted_content":null}]"#,
                given(ResponseItem::Reasoning("t".to_owned())),
            ),
            (
                r#"[{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"}]"#,
                call("f", r#"{"a":1}"#),
            ),
            (
                r#"[{"type":"function_call","call_id":"c","name":"f","namespace":"n","arguments":"{}"}]"#,
                call("n__f", "{}"),
            ),
            (
                r#"[{"type":"custom_tool_call","call_id":"c","name":"f","input":"a\"b"}]"#,
                call("f", r#"{"input":"a\"b"}"#),
            ),
            (r#"[{"type":"function_call_output","call_id":"c","output":"o"}]"#, output("o")),
            (
                r#"[{"type":"function_call_output","call_id":"c",
                    "output":[{"type":"input_text","text":"o"}]}]"#,
                output("o"),
            ),
            (
                r#"[{"type":"item_reference","id":"msg_1"}]"#,
                InputItem::Reference { id: "msg_1".to_owned(), path: "input[0]".to_owned() },
            ),
        ] {
            assert_eq!(read(text), Ok(vec![expected]), "{text}");
        }
    }

    #[test]
    fn unknown_item_is_named_and_the_others_are_kept() {
        let text = r#"[{"type":"web_search_call","id":"ws"},{"role":"user","content":"hi"}]"#;
        let mut ignored = UnusedFields::default();
        let sent = JsonSlice::validate(text).unwrap();
        let items = input_items(sent, &ToolNames::default(), &mut ignored).unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(ignored.names(), ["input[0] (web_search_call)"]);
    }

    #[test]
    fn broken_item_is_refused_with_its_path() {
        for (text, expected) in [
            ("3", "input: must be a string or a list of items, not 3"),
            ("[3]", "input[0]: must be an object, not 3"),
            (
                r#"[{"role":"bot","content":""}]"#,
                "input[0].role: must be user, assistant, system or developer, not \"bot\"",
            ),
            (r#"[{"role":"user"}]"#, "input[0].content: is missing"),
            (
                r#"[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]"#,
                "input[0].content[0].type: the model reads text only, not \"input_image\": send parts \
              of the type input_text",
            ),
            (
                r#"[{"type":"function_call","call_id":"c","name":"f"}]"#,
                "input[0].arguments: is missing",
            ),
            (r#"[{"type":"function_call_output","output":""}]"#, "input[0].call_id: is missing"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }
}
