//! Fields of requests that have several forms.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess};

use crate::domain::Params;
use crate::server::json::{AtMost, BoundedText, TopLogprobs, Unused, Whole, read_forms, words};

/// The content of a message.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum ContentFields {
    Text(String),
    Parts(AtMost<ContentPart, MAX_PARTS>),
}

read_forms! {
    ContentFields, "a string or a list of parts",
    fn visit_str<E: Error>(self, text: &str) -> Result<ContentFields, E> {
        Ok(ContentFields::Text(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<ContentFields, E> {
        Ok(ContentFields::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ContentFields, A::Error> {
        AtMost::deserialize(SeqAccessDeserializer::new(list)).map(ContentFields::Parts)
    }
}

/// A part of the content of a message.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ContentPart {
    /// `text`, `input_text`, `output_text` or `refusal`.
    pub(super) r#type: Option<String>,
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
}

/// `true` or `false`, or a number of rivals of each token.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(super) enum FlagOrNumber {
    Flag(bool),
    Number(Whole<TopLogprobs>),
}

read_forms! {
    FlagOrNumber, "true, false or a number",
    fn visit_bool<E: Error>(self, flag: bool) -> Result<FlagOrNumber, E> {
        Ok(FlagOrNumber::Flag(flag))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<FlagOrNumber, E> {
        Whole::deserialize(number.into_deserializer()).map(FlagOrNumber::Number)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<FlagOrNumber, E> {
        Whole::deserialize(number.into_deserializer()).map(FlagOrNumber::Number)
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<FlagOrNumber, E> {
        Whole::deserialize(number.into_deserializer()).map(FlagOrNumber::Number)
    }
}

/// Texts before which an answer ends: one, or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StopTexts(pub(super) Vec<String>);

/// One text before which an answer ends.
type StopText = BoundedText<{ Params::MAX_STOP_BYTES }>;

read_forms! {
    StopTexts, "a string or a list of strings",
    fn visit_str<E: Error>(self, text: &str) -> Result<StopTexts, E> {
        StopText::deserialize(text.into_deserializer()).map(|text| StopTexts(vec![text.0]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<StopTexts, A::Error> {
        let list = SeqAccessDeserializer::new(list);
        let texts = AtMost::<StopText, { Params::MAX_STOPS }>::deserialize(list)?.0;
        Ok(StopTexts(texts.into_iter().map(|text| text.0).collect()))
    }
}

impl JsonSchema for StopTexts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StopTexts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<StopText>();
        let list = generator.subschema_for::<AtMost<StopText, { Params::MAX_STOPS }>>();
        json_schema!({ "anyOf": [one, list] })
    }
}

/// Whether the model may call tools.
#[derive(Debug)]
pub(super) enum ToolChoiceFields {
    /// `auto`, `none` or `required`.
    Named(String),
    /// The tool to call, or those that are allowed.
    Tool(ChosenTool),
}

read_forms! {
    ToolChoiceFields, "a string or an object",
    fn visit_str<E: Error>(self, text: &str) -> Result<ToolChoiceFields, E> {
        Ok(ToolChoiceFields::Named(text.to_owned()))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToolChoiceFields, A::Error> {
        ChosenTool::deserialize(MapAccessDeserializer::new(map)).map(ToolChoiceFields::Tool)
    }
}

impl JsonSchema for ToolChoiceFields {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ToolChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let chosen = generator.subschema_for::<ChosenTool>();
        let words = ["auto", "none", "required", "any"];
        json_schema!({ "anyOf": [{ "type": "string", "enum": words }, chosen] })
    }
}

/// Which tools the model may or must call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ChosenTool {
    /// `function` or `allowed_tools`.
    pub(super) r#type: String,
    pub(super) function: Option<ChosenFunction>,
    pub(super) allowed_tools: Option<AllowedTools>,
}

/// The name of the tool to call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ChosenFunction {
    pub(super) name: String,
}

words! {
    /// What the model does with the tools that are allowed.
    pub(super) enum AllowedMode {
        Auto = "auto",
        Required = "required",
    }
}

/// The tools that the model may call, of those of the request.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct AllowedTools {
    pub(super) mode: Option<AllowedMode>,
    pub(super) tools: AtMost<AllowedTool, MAX_TOOLS>,
}

/// A tool that the model may call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct AllowedTool {
    #[serde(rename = "type")]
    pub(super) _type: Option<Unused>,
    pub(super) function: ChosenFunction,
}

/// Most parts of a message.
const MAX_PARTS: usize = 1024;

/// Most tools of a request.
pub(super) const MAX_TOOLS: usize = 1024;
