//! The body of a request for a response.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::json::{
    AtMost, Kept, MembersAtMost, ObjectText, Penalty, Probability, Real, RepeatPenalty, Seed,
    Temperature, TokenLimit, TopK, Unsupported, Unused, Whole, words,
};

use super::input::InputField;
use super::tools::{ResponseToolChoice, ToolForms};

/// The body of `POST /v1/responses`, and of a `response.create` message.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ResponsesBody {
    /// The conversation to answer: a text of the user, or items.
    pub(super) input: Option<InputField>,
    /// What the model is told before the conversation.
    pub(super) instructions: Option<String>,
    /// Continues an earlier response.
    pub(super) previous_response_id: Option<String>,
    /// What the model may call.
    pub(super) tools: Option<Kept<ToolList>>,
    pub(super) tool_choice: Option<Kept<ResponseToolChoice>>,
    /// Whether one answer may have several calls.
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) reasoning: Option<Kept<ReasoningFields>>,
    /// What the answer has to be.
    pub(super) text: Option<Kept<TextFields>>,
    /// Variables for the chat template.
    pub(super) chat_template_kwargs: Option<MembersAtMost<Box<RawValue>, MAX_TEMPLATE_VARIABLES>>,
    /// The response repeats it.
    pub(super) metadata: Option<Metadata>,
    /// Most tokens of the answer; -1 is no limit.
    pub(super) max_output_tokens: Option<Whole<TokenLimit>>,
    /// Most tokens of thinking; -1 is no limit.
    pub(super) reasoning_budget: Option<Whole<TokenLimit>>,
    pub(super) temperature: Option<Real<Temperature>>,
    pub(super) top_p: Option<Real<Probability>>,
    pub(super) min_p: Option<Real<Probability>>,
    /// -1 and 0 keep all tokens.
    pub(super) top_k: Option<Whole<TopK>>,
    pub(super) repeat_penalty: Option<Real<RepeatPenalty>>,
    pub(super) presence_penalty: Option<Real<Penalty>>,
    pub(super) frequency_penalty: Option<Real<Penalty>>,
    /// -1 asks for a random seed. Seeds from 0 to 4294967294 are used as they are, others as their
    /// remainder by 4294967295.
    pub(super) seed: Option<Seed>,
    /// Whether the response can be retrieved and continued. True if it is absent.
    pub(super) store: Option<bool>,
    /// Whether the answer is sent as it comes, in server-sent events.
    pub(super) stream: Option<bool>,
    /// With false there is no answer: the prompt is only computed ahead.
    pub(super) generate: Option<bool>,
    /// `disabled`; other values are ignored and named.
    pub(super) truncation: Option<String>,
    /// What the response would have to include. All of it is ignored and named.
    pub(super) include: Option<AtMost<String, MAX_INCLUDED>>,
    #[serde(rename = "background")]
    pub(super) _background: Option<Unsupported>,
    #[serde(rename = "conversation")]
    pub(super) _conversation: Option<Unsupported>,
    #[serde(rename = "prompt")]
    pub(super) _prompt: Option<Unsupported>,
    /// Changes nothing: the server has one model.
    #[serde(rename = "model")]
    pub(super) _model: Option<Unused>,
    /// Of messages on a WebSocket.
    #[serde(rename = "type")]
    pub(super) _type: Option<Unused>,
    /// Of messages on a WebSocket.
    #[serde(rename = "stream_id")]
    pub(super) _stream_id: Option<Unused>,
    #[serde(rename = "user")]
    pub(super) _user: Option<Unused>,
    #[serde(rename = "safety_identifier")]
    pub(super) _safety_identifier: Option<Unused>,
    #[serde(rename = "client_metadata")]
    pub(super) _client_metadata: Option<Unused>,
    #[serde(rename = "prompt_cache_key")]
    pub(super) _prompt_cache_key: Option<Unused>,
    #[serde(rename = "prompt_cache_retention")]
    pub(super) _prompt_cache_retention: Option<Unused>,
    #[serde(rename = "service_tier")]
    pub(super) _service_tier: Option<Unused>,
    #[serde(rename = "stream_options")]
    pub(super) _stream_options: Option<Unused>,
}

/// Texts that belong to a response, as in OpenAI's API.
pub(super) type Metadata = MembersAtMost<String, MAX_METADATA>;

/// The tools of a request.
pub(super) type ToolList = AtMost<Kept<ToolForms>, MAX_TOOLS>;

words! {
    /// How much the model thinks.
    pub(super) enum ReasoningEffort {
        None = "none",
        Minimal = "minimal",
        Low = "low",
        Medium = "medium",
        High = "high",
        XHigh = "xhigh",
    }
}

impl ReasoningEffort {
    /// The JSON string for the chat template; `None` if the model is not to think.
    pub(super) fn json(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::Minimal => "\"minimal\"",
            Self::Low => "\"low\"",
            Self::Medium => "\"medium\"",
            Self::High => "\"high\"",
            Self::XHigh => "\"xhigh\"",
        })
    }
}

/// How the model thinks.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ReasoningFields {
    pub(super) effort: Option<ReasoningEffort>,
}

/// What the text of the answer has to be.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TextFields {
    pub(super) format: Option<TextFormat>,
}

words! {
    /// The kinds of `text.format`.
    pub(super) enum TextFormatKind {
        Text = "text",
        JsonObject = "json_object",
        JsonSchema = "json_schema",
    }
}

/// The format of the answer.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TextFormat {
    pub(super) r#type: TextFormatKind,
    pub(super) schema: Option<ObjectText>,
    #[serde(rename = "name")]
    pub(super) _name: Option<Unused>,
    #[serde(rename = "description")]
    pub(super) _description: Option<Unused>,
    #[serde(rename = "strict")]
    pub(super) _strict: Option<Unused>,
}

/// Most texts in `metadata`, as in OpenAI's API.
const MAX_METADATA: usize = 16;

/// Most variables that a request gives to the template.
const MAX_TEMPLATE_VARIABLES: usize = 64;

/// Most tools in a list.
const MAX_TOOLS: usize = 1024;

/// Most values of `include`.
const MAX_INCLUDED: usize = 64;
