//! Parts that all responses have: ids, the time, the model, usage and log probabilities.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

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

/// The fields that all chunks and responses of one answer begin with, without a brace at the end.
pub(super) fn head(shared: &Shared, prefix: &str, object: &str) -> String {
    let planned = shared.planned();
    format!(
        "{{\"id\":{},\"object\":{},\"created\":{},\"model\":{},\"system_fingerprint\":{}",
        json_string(&new_id(prefix)),
        json_string(object),
        now(),
        json_string(planned.model_name()),
        json_string(&planned.fingerprint()),
    )
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
    pub(super) fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": { "cached_tokens": self.cached },
            "completion_tokens_details": { "reasoning_tokens": self.reasoning },
        })
    }
}

/// The log probabilities of tokens in the form of chat completions, each with at most `n_top`
/// alternatives.
pub(super) fn chat_logprobs(tokens: &[TokenLogprobs], n_top: usize) -> Value {
    let token = |Logprob { bytes, logprob, .. }: &Logprob| {
        json!({
            "token": String::from_utf8_lossy(bytes),
            "logprob": logprob.max(MIN_LOGPROB),
            "bytes": bytes,
        })
    };
    let entries = tokens.iter().map(|TokenLogprobs { chosen, top }| {
        let mut entry = token(chosen);
        entry["top_logprobs"] = top.iter().take(n_top).map(token).collect();
        entry
    });
    json!({ "content": entries.collect::<Vec<_>>(), "refusal": null })
}

/// The log probabilities of tokens in the form of completions. `offset` is the position of the
/// first one in the text, in characters, and is moved to the end of the last one.
pub(super) fn text_logprobs(tokens: &[TokenLogprobs], n_top: usize, offset: &mut usize) -> Value {
    let text = |logprob: &Logprob| String::from_utf8_lossy(&logprob.bytes).into_owned();
    let number = |logprob: &Logprob| logprob.logprob.max(MIN_LOGPROB);
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(*offset);
        *offset += text(&token.chosen).chars().count();
    }
    let top = tokens.iter().map(|token| {
        let top = token.top.iter().take(n_top);
        top.map(|top| (text(top), Value::from(number(top)))).collect::<serde_json::Map<_, _>>()
    });
    json!({
        "tokens": tokens.iter().map(|token| text(&token.chosen)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| number(&token.chosen)).collect::<Vec<_>>(),
        "top_logprobs": top.collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

/// Replaces the log probability of an impossible token: JSON has no -infinity.
const MIN_LOGPROB: f32 = -9999.0;
