//! Reads the field `input`: a string, or a list of items.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess};

use crate::domain::{JsonText, Role, ToolCall};
use crate::protocol::Quoted;
use crate::server::json::{
    AtMost, IgnoredFields, InvalidField, Kept, Unused, read_forms, tagged, tagged_otherwise, words,
};
use crate::server::openai::forms::ContentFields;

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

/// What is to be answered: a text of the user, or items.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum InputField {
    Text(String),
    Items(AtMost<Kept<ItemForms>, MAX_ITEMS>),
}

read_forms! {
    InputField, "a string or a list of items",
    fn visit_str<E: Error>(self, text: &str) -> Result<InputField, E> {
        Ok(InputField::Text(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<InputField, E> {
        Ok(InputField::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<InputField, A::Error> {
        AtMost::deserialize(SeqAccessDeserializer::new(list)).map(InputField::Items)
    }
}

words! {
    /// Who wrote an item.
    enum ItemRole {
        User = "user",
        Assistant = "assistant",
        System = "system",
        Developer = "developer",
    }
}

/// A message.
#[derive(Debug, Deserialize, JsonSchema)]
struct MessageItem {
    role: ItemRole,
    content: ContentFields,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "id")]
    _id: Option<Unused>,
    #[serde(rename = "status")]
    _status: Option<Unused>,
}

/// What the model thought: its own words, or else the summary.
#[derive(Debug, Deserialize, JsonSchema)]
struct ReasoningItem {
    content: Option<ContentFields>,
    summary: Option<ContentFields>,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "id")]
    _id: Option<Unused>,
    #[serde(rename = "status")]
    _status: Option<Unused>,
    #[serde(rename = "encrypted_content")]
    _encrypted_content: Option<Unused>,
}

/// The model called a function.
#[derive(Debug, Deserialize, JsonSchema)]
struct FunctionCallItem {
    call_id: String,
    name: String,
    namespace: Option<String>,
    /// The text of a JSON object.
    arguments: String,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "id")]
    _id: Option<Unused>,
    #[serde(rename = "status")]
    _status: Option<Unused>,
}

/// The model called a tool whose input is a text.
#[derive(Debug, Deserialize, JsonSchema)]
struct CustomCallItem {
    call_id: String,
    name: String,
    input: String,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "id")]
    _id: Option<Unused>,
    #[serde(rename = "status")]
    _status: Option<Unused>,
}

/// What a tool gave back for a call.
#[derive(Debug, Deserialize, JsonSchema)]
struct CallOutputItem {
    call_id: String,
    output: ContentFields,
    #[serde(rename = "type")]
    _type: Option<Unused>,
    #[serde(rename = "id")]
    _id: Option<Unused>,
    #[serde(rename = "status")]
    _status: Option<Unused>,
}

/// An item of an earlier response.
#[derive(Debug, Deserialize, JsonSchema)]
struct ReferenceItem {
    id: String,
    #[serde(rename = "type")]
    _type: Option<Unused>,
}

/// The forms of an item, which its `type` tells apart. A message needs none.
#[derive(Debug)]
pub(super) struct ItemForms;

impl JsonSchema for ItemForms {
    fn schema_name() -> Cow<'static, str> {
        "InputItem".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let message = generator.subschema_for::<MessageItem>();
        let outputs = ["function_call_output", "custom_tool_call_output"];
        json_schema!({ "anyOf": [
            {
                "allOf": [message, { "properties": { "type": { "enum": ["message", null] } } }],
            },
            tagged(&["reasoning"], &generator.subschema_for::<ReasoningItem>()),
            tagged(&["function_call"], &generator.subschema_for::<FunctionCallItem>()),
            tagged(&["custom_tool_call"], &generator.subschema_for::<CustomCallItem>()),
            tagged(&outputs, &generator.subschema_for::<CallOutputItem>()),
            tagged(&["item_reference"], &generator.subschema_for::<ReferenceItem>()),
            tagged_otherwise(&[
                "message",
                "reasoning",
                "function_call",
                "custom_tool_call",
                "function_call_output",
                "custom_tool_call_output",
                "item_reference",
            ]),
        ] })
    }
}

/// Reads the value of `input`. Items that the model cannot use are named in `ignored`.
pub(super) fn input_items(
    sent: InputField,
    names: &ToolNames,
    ignored: &mut IgnoredFields,
) -> Result<Vec<InputItem>, InvalidField> {
    let sent = match sent {
        InputField::Text(text) => {
            let message = ResponseItem::Message { role: Role::User, text };
            return Ok(vec![InputItem::Given(message)]);
        }
        InputField::Items(items) => items.0,
    };
    let mut items = Vec::with_capacity(sent.len());
    for (i, sent) in sent.into_iter().enumerate() {
        items.extend(item(&format!("input[{i}]"), &sent, names, ignored)?);
    }
    Ok(items)
}

/// Reads one item; `None` if the model cannot use it.
fn item(
    path: &str,
    sent: &Kept<ItemForms>,
    names: &ToolNames,
    ignored: &mut IgnoredFields,
) -> Result<Option<InputItem>, InvalidField> {
    let given = match sent.kind(path)?.as_deref() {
        None | Some("message") => {
            let MessageItem { role, content, .. } = sent.read_as(path, ignored)?;
            let role = match role {
                ItemRole::User => Role::User,
                ItemRole::Assistant => Role::Assistant,
                ItemRole::System => Role::System,
                ItemRole::Developer => Role::Developer,
            };
            ResponseItem::Message { role, text: text_of(path, "content", content)? }
        }
        Some("reasoning") => {
            let ReasoningItem { content, summary, .. } = sent.read_as(path, ignored)?;
            let read = |name, sent: Option<ContentFields>| {
                sent.map_or(Ok(String::new()), |sent| text_of(path, name, sent))
            };
            let (text, summary) = (read("content", content)?, read("summary", summary)?);
            ResponseItem::Reasoning(if text.is_empty() { summary } else { text })
        }
        Some("function_call") => {
            let call: FunctionCallItem = sent.read_as(path, ignored)?;
            let name = names.known_to_model(call.namespace.as_deref(), &call.name);
            let arguments = JsonText(call.arguments);
            ResponseItem::Call(ToolCall { id: call.call_id, name, arguments })
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            let CallOutputItem { call_id, output, .. } = sent.read_as(path, ignored)?;
            ResponseItem::CallOutput { call_id, output: text_of(path, "output", output)? }
        }
        Some("custom_tool_call") => {
            let CustomCallItem { call_id: id, name, input, .. } = sent.read_as(path, ignored)?;
            let input = serde_json::to_string(&input).expect("a string is always JSON");
            let arguments = JsonText(format!("{{\"input\":{input}}}"));
            ResponseItem::Call(ToolCall { id, name, arguments })
        }
        Some("item_reference") => {
            let ReferenceItem { id, .. } = sent.read_as(path, ignored)?;
            return Ok(Some(InputItem::Reference { id, path: path.to_owned() }));
        }
        Some(other) => {
            ignored.add_kind(path, other);
            return Ok(None);
        }
    };
    Ok(Some(InputItem::Given(given)))
}

/// The text of the content `name` of the item at `path`.
fn text_of(path: &str, name: &str, sent: ContentFields) -> Result<String, InvalidField> {
    let parts = match sent {
        ContentFields::Text(text) => return Ok(text),
        ContentFields::Parts(parts) => parts.0,
    };
    let mut whole = String::new();
    for (i, part) in parts.into_iter().enumerate() {
        let missing =
            |field: &str| InvalidField::new(format!("{path}.{name}[{i}].{field}"), "is missing");
        match part.r#type.as_deref().unwrap_or_default() {
            "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" | "" => {
                whole.push_str(&part.text.ok_or_else(|| missing("text"))?);
            }
            "refusal" => whole.push_str(&part.refusal.ok_or_else(|| missing("refusal"))?),
            other => {
                let reason =
                    format!("must be input_text, not {}: the model reads text only", Quoted(other));
                return Err(InvalidField::new(format!("{path}.{name}[{i}].type"), reason));
            }
        }
    }
    Ok(whole)
}

/// Most items of the input. The longest conversations of agents have some thousand.
const MAX_ITEMS: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::json::read_body;

    fn read(text: &str) -> Result<(Vec<InputItem>, IgnoredFields), String> {
        #[derive(Deserialize)]
        struct OnlyInput {
            input: InputField,
        }
        let (sent, mut ignored) = read_body::<OnlyInput>(&format!("{{\"input\":{text}}}"))
            .map_err(|error| error.to_string())?;
        let items = input_items(sent.input, &ToolNames::default(), &mut ignored);
        items.map(|items| (items, ignored)).map_err(|error| error.to_string())
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
            assert_eq!(read(text).unwrap().0, [expected], "{text}");
        }
    }

    #[test]
    fn unknown_item_is_named_and_the_others_are_kept() {
        let text = r#"[{"type":"web_search_call","id":"ws"},{"role":"user","content":"hi"}]"#;
        let (items, ignored) = read(text).unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(ignored.names(), ["input[0] (web_search_call)"]);
    }

    #[test]
    fn broken_item_is_refused_with_its_path() {
        for (text, expected) in [
            ("3", "input must be a string or a list of items, not 3"),
            ("[3]", "input[0] must be an object, not 3"),
            (
                r#"[{"role":"bot","content":""}]"#,
                "input[0].role must be user, assistant, system or developer, not \"bot\"",
            ),
            (r#"[{"role":"user"}]"#, "input[0].content is missing"),
            (
                r#"[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]"#,
                "input[0].content[0].type must be input_text, not \"input_image\": the model reads text \
                 only",
            ),
            (
                r#"[{"type":"function_call","call_id":"c","name":"f"}]"#,
                "input[0].arguments is missing",
            ),
            (r#"[{"type":"function_call_output","output":""}]"#, "input[0].call_id is missing"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }
}
