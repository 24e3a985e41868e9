//! The fields of requests for chat completions and completions, as clients send them.
//!
//! A field that is `null` counts as absent. Names of other servers for the same field are accepted.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::Params;

use super::bounded::{AtMost, MembersAtMost};

/// The body of a request. Each endpoint refuses what it has no use for.
#[derive(Debug, Deserialize)]
pub(super) struct CompletionBody {
    // Of conversations.
    pub(super) messages: Option<AtMost<MessageFields, MAX_MESSAGES>>,
    pub(super) tools: Option<AtMost<ToolFields, MAX_TOOLS>>,
    pub(super) tool_choice: Option<ToolChoiceFields>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) reasoning_effort: Option<String>,
    pub(super) enable_thinking: Option<bool>,
    #[serde(alias = "thinking_budget_tokens")]
    pub(super) reasoning_budget: Option<f64>,
    pub(super) chat_template_kwargs: Option<MembersAtMost<Box<RawValue>, MAX_VARIABLES>>,
    pub(super) documents: Option<AtMost<Box<RawValue>, MAX_DOCUMENTS>>,
    pub(super) add_generation_prompt: Option<bool>,
    pub(super) continue_final_message: Option<bool>,
    #[serde(alias = "max_new_tokens", alias = "n_predict")]
    pub(super) max_completion_tokens: Option<f64>,
    pub(super) top_logprobs: Option<f64>,

    // Of raw texts.
    pub(super) prompt: Option<TextOrList>,
    /// The text to tokenize, as llama.cpp's server calls it.
    pub(super) content: Option<TextOrList>,
    pub(super) suffix: Option<String>,
    pub(super) echo: Option<bool>,
    pub(super) best_of: Option<f64>,

    // Of both.
    pub(super) max_tokens: Option<f64>,
    pub(super) n: Option<f64>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) logprobs: Option<FlagOrNumber>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<f64>,
    pub(super) min_p: Option<f64>,
    pub(super) typical_p: Option<f64>,
    #[serde(alias = "repetition_penalty")]
    pub(super) repeat_penalty: Option<f64>,
    pub(super) repeat_last_n: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) seed: Option<f64>,
    pub(super) stop: Option<TextOrList>,
    pub(super) logit_bias: Option<MembersAtMost<f64, { Params::MAX_LOGIT_BIASES }>>,
    pub(super) ignore_eos: Option<bool>,
    pub(super) cache_prompt: Option<bool>,
    pub(super) response_format: Option<ResponseFormat>,
    pub(super) json_schema: Option<Box<RawValue>>,
    pub(super) grammar: Option<String>,
    pub(super) guided_json: Option<Box<RawValue>>,
    pub(super) guided_regex: Option<String>,
    pub(super) guided_choice: Option<AtMost<String, MAX_CHOICES>>,
    pub(super) guided_grammar: Option<String>,
    pub(super) structured_outputs: Option<StructuredOutputs>,
}

/// Options of a streamed answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

/// What the answer has to be, in OpenAI's form.
#[derive(Debug, Deserialize)]
pub(super) struct ResponseFormat {
    pub(super) r#type: String,
    pub(super) json_schema: Option<NamedSchema>,
    /// As llama.cpp's server reads it.
    pub(super) schema: Option<Box<RawValue>>,
}

/// A schema in `response_format`. Its name and its description change nothing.
#[derive(Debug, Deserialize)]
pub(super) struct NamedSchema {
    pub(super) schema: Option<Box<RawValue>>,
}

/// What the answer has to be, in vLLM's form.
#[derive(Debug, Deserialize)]
pub(super) struct StructuredOutputs {
    pub(super) json: Option<Box<RawValue>>,
    pub(super) json_object: Option<bool>,
    pub(super) regex: Option<String>,
    pub(super) choice: Option<AtMost<String, MAX_CHOICES>>,
    pub(super) grammar: Option<String>,
}

/// One message of a conversation.
#[derive(Debug, Deserialize)]
pub(super) struct MessageFields {
    pub(super) role: String,
    pub(super) content: Option<ContentFields>,
    pub(super) reasoning_content: Option<String>,
    /// The same at other servers, whose clients send both.
    pub(super) reasoning: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<AtMost<ToolCallFields, MAX_TOOL_CALLS>>,
    pub(super) tool_call_id: Option<String>,
    pub(super) name: Option<String>,
}

/// A call of a tool in a message of the assistant.
#[derive(Debug, Deserialize)]
pub(super) struct ToolCallFields {
    pub(super) id: Option<String>,
    pub(super) function: CalledFunction,
}

/// The function that was called.
#[derive(Debug, Deserialize)]
pub(super) struct CalledFunction {
    pub(super) name: String,
    /// The text of a JSON object, or the object.
    pub(super) arguments: Option<Box<RawValue>>,
}

/// A tool.
#[derive(Debug, Deserialize)]
pub(super) struct ToolFields {
    pub(super) r#type: String,
    pub(super) function: Option<FunctionFields>,
}

/// The function of a tool.
#[derive(Debug, Deserialize)]
pub(super) struct FunctionFields {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) parameters: Option<Box<RawValue>>,
}

/// The content of a message.
#[derive(Debug)]
pub(super) enum ContentFields {
    Text(String),
    Parts(Vec<ContentPart>),
}

/// A part of the content of a message.
#[derive(Debug, Deserialize)]
pub(super) struct ContentPart {
    pub(super) r#type: String,
    pub(super) text: Option<String>,
    pub(super) refusal: Option<String>,
}

/// A text, or a list of texts.
#[derive(Debug)]
pub(super) enum TextOrList {
    Text(String),
    List(Vec<String>),
}

/// `true` or `false`, or a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FlagOrNumber {
    Flag(bool),
    Number(f64),
}

/// Whether the model may call tools.
#[derive(Debug)]
pub(super) enum ToolChoiceFields {
    /// `auto`, `none` or `required`.
    Named(String),
    /// The tool to call.
    Tool(ChosenTool),
}

/// The tool to call.
#[derive(Debug, Deserialize)]
pub(super) struct ChosenTool {
    pub(super) r#type: String,
    pub(super) function: Option<ChosenFunction>,
}

/// The name of the tool to call.
#[derive(Debug, Deserialize)]
pub(super) struct ChosenFunction {
    pub(super) name: String,
}

/// Implements `Deserialize` by a visitor with these methods. An untagged enum would build a tree of
/// the value first.
macro_rules! deserialize_any {
    ($name:ty, $expecting:literal, $($methods:tt)*) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AnyVisitor;
                impl<'de> Visitor<'de> for AnyVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    $($methods)*
                }
                deserializer.deserialize_any(AnyVisitor)
            }
        }
    };
}

deserialize_any! {
    ContentFields, "a string or a list of parts",
    fn visit_str<E: Error>(self, text: &str) -> Result<ContentFields, E> {
        Ok(ContentFields::Text(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<ContentFields, E> {
        Ok(ContentFields::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ContentFields, A::Error> {
        let list = serde::de::value::SeqAccessDeserializer::new(list);
        AtMost::<ContentPart, MAX_PARTS>::deserialize(list).map(|parts| ContentFields::Parts(parts.0))
    }
}

deserialize_any! {
    TextOrList, "a string or a list of strings",
    fn visit_str<E: Error>(self, text: &str) -> Result<TextOrList, E> {
        Ok(TextOrList::Text(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<TextOrList, E> {
        Ok(TextOrList::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<TextOrList, A::Error> {
        let list = serde::de::value::SeqAccessDeserializer::new(list);
        AtMost::<String, MAX_TEXTS>::deserialize(list).map(|texts| TextOrList::List(texts.0))
    }
}

deserialize_any! {
    FlagOrNumber, "true, false or a number",
    fn visit_bool<E: Error>(self, flag: bool) -> Result<FlagOrNumber, E> {
        Ok(FlagOrNumber::Flag(flag))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<FlagOrNumber, E> {
        Ok(FlagOrNumber::Number(number as f64))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<FlagOrNumber, E> {
        Ok(FlagOrNumber::Number(number as f64))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<FlagOrNumber, E> {
        Ok(FlagOrNumber::Number(number))
    }
}

deserialize_any! {
    ToolChoiceFields, "a string or an object",
    fn visit_str<E: Error>(self, text: &str) -> Result<ToolChoiceFields, E> {
        Ok(ToolChoiceFields::Named(text.to_owned()))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToolChoiceFields, A::Error> {
        let map = serde::de::value::MapAccessDeserializer::new(map);
        ChosenTool::deserialize(map).map(ToolChoiceFields::Tool)
    }
}

/// Most messages of a conversation, as in the protocol.
const MAX_MESSAGES: usize = 16_384;

/// Most parts of a message.
const MAX_PARTS: usize = 1024;

/// Most calls of tools in a message.
const MAX_TOOL_CALLS: usize = 256;

/// Most tools of a request.
const MAX_TOOLS: usize = 1024;

/// Most variables for the chat template.
const MAX_VARIABLES: usize = 64;

/// Most documents of a request.
const MAX_DOCUMENTS: usize = 1024;

/// Most choices that an answer has to be one of.
const MAX_CHOICES: usize = 1024;

/// Most texts of a list of stop strings or prompts.
const MAX_TEXTS: usize = 64;
