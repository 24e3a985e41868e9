//! The response object and its parts, as clients see them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Usage;
use crate::server::json::Kept;

use super::body::{Metadata, ReasoningFields, TextFields, ToolList};
use super::request::ResponseSettings;
use super::tools::ResponseToolChoice;

/// A response, whole or as far as it has come.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ResponseObject<'a> {
    pub(super) id: &'a str,
    object: &'static str,
    created_at: u64,
    completed_at: Option<u64>,
    status: ResponseStatus,
    background: bool,
    error: Option<ResponseError<'a>>,
    incomplete_details: Option<IncompleteDetails>,
    instructions: Option<&'a str>,
    max_output_tokens: Option<u32>,
    max_tool_calls: Option<u32>,
    metadata: &'a Metadata,
    model: &'a str,
    output: &'a [OutputItem],
    parallel_tool_calls: bool,
    previous_response_id: Option<&'a str>,
    presence_penalty: f32,
    frequency_penalty: f32,
    reasoning: Repeated<'a, ReasoningFields>,
    service_tier: &'static str,
    store: bool,
    temperature: f32,
    text: Repeated<'a, TextFields>,
    tool_choice: Repeated<'a, ResponseToolChoice>,
    tools: Repeated<'a, ToolList>,
    top_logprobs: u8,
    top_p: f32,
    truncation: &'static str,
    usage: Option<ResponseUsage>,
    /// What had no effect. Not a field of OpenAI's.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

/// What a response says about itself beside its output.
#[derive(Debug, Clone)]
pub(super) struct ResponseFacts {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created_at: u64,
    pub(super) model: String,
    pub(super) settings: ResponseSettings,
    /// What has no effect.
    pub(super) warnings: Vec<String>,
}

/// How far a response has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResponseState {
    InProgress,
    /// Ended by the model, or by a limit if it is not complete.
    Ended {
        is_complete: bool,
        completed_at: u64,
        usage: ResponseUsage,
    },
    /// Cancelled by the client.
    Cancelled,
    /// Failed.
    Failed {
        code: &'static str,
        message: String,
    },
}

impl<'a> ResponseObject<'a> {
    /// The response with these `facts` and the `output` so far.
    pub(super) fn new(
        facts: &'a ResponseFacts,
        state: &'a ResponseState,
        output: &'a [OutputItem],
        warnings: &'a [String],
    ) -> Self {
        let settings = &facts.settings;
        let (status, completed_at, usage) = match state {
            ResponseState::InProgress => (ResponseStatus::InProgress, None, None),
            ResponseState::Ended { is_complete: true, completed_at, usage } => {
                (ResponseStatus::Completed, Some(*completed_at), Some(*usage))
            }
            ResponseState::Ended { usage, .. } => (ResponseStatus::Incomplete, None, Some(*usage)),
            ResponseState::Cancelled => (ResponseStatus::Cancelled, None, None),
            ResponseState::Failed { .. } => (ResponseStatus::Failed, None, None),
        };
        let error = match state {
            ResponseState::Failed { code, message } => Some(ResponseError { code, message }),
            _ => None,
        };
        let is_incomplete = status == ResponseStatus::Incomplete;
        Self {
            id: &facts.id,
            object: "response",
            created_at: facts.created_at,
            completed_at,
            status,
            background: false,
            error,
            incomplete_details: is_incomplete
                .then_some(IncompleteDetails { reason: "max_output_tokens" }),
            instructions: settings.instructions.as_deref(),
            max_output_tokens: settings.max_output_tokens,
            max_tool_calls: None,
            metadata: &settings.metadata,
            model: &facts.model,
            output,
            parallel_tool_calls: settings.parallel_tool_calls,
            previous_response_id: settings.previous_response_id.as_deref(),
            presence_penalty: settings.presence_penalty,
            frequency_penalty: settings.frequency_penalty,
            reasoning: Repeated(settings.reasoning.as_ref(), r#"{"effort":null,"summary":null}"#),
            service_tier: "default",
            store: settings.store,
            temperature: settings.temperature,
            text: Repeated(settings.text.as_ref(), r#"{"format":{"type":"text"}}"#),
            tool_choice: Repeated(settings.tool_choice.as_ref(), "\"auto\""),
            tools: Repeated(settings.tools.as_ref(), "[]"),
            top_logprobs: 0,
            top_p: settings.top_p,
            truncation: "disabled",
            usage,
            warnings,
        }
    }
}

impl ResponseFacts {
    /// The response in JSON while it has no output.
    pub(super) fn json_in_progress(&self) -> String {
        let state = ResponseState::InProgress;
        let object = ResponseObject::new(self, &state, &[], &self.warnings);
        serde_json::to_string(&object).expect("responses have string keys")
    }
}

/// A value as the client sent it, or else one in JSON.
#[derive(Debug)]
struct Repeated<'a, T>(Option<&'a Kept<T>>, &'static str);

impl<T> Serialize for Repeated<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(sent) => sent.serialize(serializer),
            None => {
                let default = serde_json::from_str::<&RawValue>(self.1);
                default.map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}

impl<T: JsonSchema> JsonSchema for Repeated<'_, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "As the request has it." })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ResponseStatus {
    InProgress,
    Completed,
    Incomplete,
    Cancelled,
    Failed,
}

/// Why a response failed.
#[derive(Debug, Serialize, JsonSchema)]
struct ResponseError<'a> {
    code: &'a str,
    message: &'a str,
}

/// Why a response is incomplete.
#[derive(Debug, Serialize, JsonSchema)]
struct IncompleteDetails {
    reason: &'static str,
}

/// The tokens of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ResponseUsage {
    input_tokens: usize,
    input_tokens_details: InputTokensDetails,
    output_tokens: usize,
    output_tokens_details: OutputTokensDetails,
    total_tokens: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
struct InputTokensDetails {
    cached_tokens: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
struct OutputTokensDetails {
    reasoning_tokens: usize,
}

impl ResponseUsage {
    /// The tokens of `usage`.
    pub(super) fn new(usage: &Usage) -> Self {
        let Usage { prompt_tokens, cached_tokens, tokens, reasoning_tokens, .. } = *usage;
        Self {
            input_tokens: prompt_tokens,
            input_tokens_details: InputTokensDetails { cached_tokens },
            output_tokens: tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens },
            total_tokens: prompt_tokens + tokens,
        }
    }
}

/// One item of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum OutputItem {
    /// What the model thought.
    Reasoning {
        id: String,
        summary: [(); 0],
        content: Vec<OutputPart>,
        encrypted_content: Option<()>,
        status: ItemStatus,
    },
    /// What it says.
    Message { id: String, role: &'static str, status: ItemStatus, content: Vec<OutputPart> },
    /// A call of a tool.
    FunctionCall {
        id: String,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
        status: ItemStatus,
    },
}

impl OutputItem {
    /// Identifies the item.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. }
            | Self::Message { id, .. }
            | Self::FunctionCall { id, .. } => id,
        }
    }

    /// Marks the item as ended.
    pub(super) fn end(&mut self, is_complete: bool) {
        let (Self::Reasoning { status, .. }
        | Self::Message { status, .. }
        | Self::FunctionCall { status, .. }) = self;
        *status = if is_complete { ItemStatus::Completed } else { ItemStatus::Incomplete };
    }
}

/// How far an item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    Incomplete,
}

/// A part of a message or of reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum OutputPart {
    /// Text of the answer.
    OutputText { text: String, annotations: [(); 0], logprobs: [(); 0] },
    /// Text of the reasoning.
    ReasoningText { text: String },
}

impl OutputPart {
    /// A part of the answer.
    pub(super) fn output(text: String) -> Self {
        Self::OutputText { text, annotations: [], logprobs: [] }
    }

    /// Its text.
    pub(super) fn text_mut(&mut self) -> &mut String {
        let (Self::OutputText { text, .. } | Self::ReasoningText { text }) = self;
        text
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        let (Self::OutputText { text, .. } | Self::ReasoningText { text }) = self;
        text
    }
}
