//! Parts that all responses have: ids, the time, the model, usage and log probabilities.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{FinishReason, Logprob, TokenLogprobs, Usage};
use crate::server::ids::new_id;
use crate::server::shared::Shared;

/// Seconds since 1970.
pub(in crate::server) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The text of a JSON string.
pub(in crate::server) fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("every text is a JSON string")
}

/// `value` in JSON.
pub(in crate::server) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers have string keys")
}

/// The fields that all chunks and responses of one answer begin with.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AnswerHead {
    id: String,
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: String,
    system_fingerprint: String,
}

impl AnswerHead {
    pub(super) fn new(shared: &Shared, prefix: &str, object: &'static str) -> Self {
        let planned = shared.planned();
        Self {
            id: new_id(prefix),
            object,
            created: now(),
            model: planned.model_name().to_owned(),
            system_fingerprint: planned.fingerprint(),
        }
    }
}

/// An [`AnswerHead`] in JSON, without the brace at its end.
pub(super) fn head(shared: &Shared, prefix: &str, object: &'static str) -> String {
    let mut json = to_json(&AnswerHead::new(shared, prefix, object));
    json.pop();
    json
}

/// The finish reason, as OpenAI names it.
pub(super) fn finish_reason(reason: FinishReason, has_calls: bool) -> &'static str {
    match reason {
        FinishReason::Stop if has_calls => "tool_calls",
        FinishReason::Stop | FinishReason::Abort => "stop",
        FinishReason::MaxTokens | FinishReason::ContextFull => "length",
    }
}

/// The tokens of all answers to one request.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TotalUsage {
    prompt: usize,
    cached: usize,
    completion: usize,
    reasoning: usize,
}

impl TotalUsage {
    /// Adds an answer. The prompt of several answers counts once, unless it `is_other_prompt`.
    pub(super) fn add(&mut self, usage: &Usage, is_other_prompt: bool) {
        if is_other_prompt {
            self.prompt += usage.prompt_tokens;
            self.cached += usage.cached_tokens;
        }
        self.completion += usage.tokens;
        self.reasoning += usage.reasoning_tokens;
    }

    /// The object `usage`.
    pub(super) fn body(self) -> UsageBody {
        UsageBody {
            prompt_tokens: self.prompt,
            completion_tokens: self.completion,
            total_tokens: self.prompt + self.completion,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: self.cached },
            completion_tokens_details: CompletionTokensDetails { reasoning_tokens: self.reasoning },
        }
    }
}

/// The tokens of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UsageBody {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokensDetails,
    completion_tokens_details: CompletionTokensDetails,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PromptTokensDetails {
    /// Tokens that came from the prefix cache.
    cached_tokens: usize,
}

/// The parts of the tokens of an answer.
#[derive(Debug, Serialize, JsonSchema)]
struct CompletionTokensDetails {
    /// Those of what the model thought.
    reasoning_tokens: usize,
}

/// The log probabilities of tokens in the form of chat completions.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatLogprobs {
    content: Vec<ChatTokenLogprobs>,
    refusal: Option<()>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChatTokenLogprobs {
    #[serde(flatten)]
    chosen: ChatTokenLogprob,
    top_logprobs: Vec<ChatTokenLogprob>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChatTokenLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl ChatLogprobs {
    /// Those of `tokens`, each with at most `n_top` alternatives.
    pub(super) fn new(tokens: &[TokenLogprobs], n_top: usize) -> Self {
        let token = |Logprob { bytes, logprob, .. }: &Logprob| ChatTokenLogprob {
            token: String::from_utf8_lossy(bytes).into_owned(),
            logprob: logprob.max(MIN_LOGPROB),
            bytes: bytes.to_vec(),
        };
        let content = tokens.iter().map(|TokenLogprobs { chosen, top }| ChatTokenLogprobs {
            chosen: token(chosen),
            top_logprobs: top.iter().take(n_top).map(token).collect(),
        });
        Self { content: content.collect(), refusal: None }
    }
}

/// The log probabilities of tokens in the form of completions.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where the tokens begin in the text, in characters.
    text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// Those of `tokens`, each with at most `n_top` alternatives. `offset` is the position of the
    /// first one in the text, in characters, and is moved to the end of the last one.
    pub(super) fn new(tokens: &[TokenLogprobs], n_top: usize, offset: &mut usize) -> Self {
        let text = |logprob: &Logprob| String::from_utf8_lossy(&logprob.bytes).into_owned();
        let number = |logprob: &Logprob| logprob.logprob.max(MIN_LOGPROB);
        let mut text_offset = Vec::with_capacity(tokens.len());
        for token in tokens {
            text_offset.push(*offset);
            *offset += text(&token.chosen).chars().count();
        }
        let top = |token: &TokenLogprobs| {
            token.top.iter().take(n_top).map(|top| (text(top), number(top))).collect()
        };
        Self {
            tokens: tokens.iter().map(|token| text(&token.chosen)).collect(),
            token_logprobs: tokens.iter().map(|token| number(&token.chosen)).collect(),
            top_logprobs: tokens.iter().map(top).collect(),
            text_offset,
        }
    }
}

/// Replaces the log probability of an impossible token: JSON has no -infinity.
const MIN_LOGPROB: f32 = -9999.0;
