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
    /// Those of `tokens`, each with at most `n_top` alternatives, and with itself if it is none of
    /// them. `offset` is moved from the first one to the end of the last one.
    pub(super) fn new(tokens: &[TokenLogprobs], n_top: usize, offset: &mut TextOffset) -> Self {
        let text = |logprob: &Logprob| String::from_utf8_lossy(&logprob.bytes).into_owned();
        let number = |logprob: &Logprob| logprob.logprob.max(MIN_LOGPROB);
        let mut text_offset = Vec::with_capacity(tokens.len());
        for token in tokens {
            text_offset.push(offset.n_chars);
            offset.add(&token.chosen.bytes);
        }
        let top = |token: &TokenLogprobs| {
            let chosen = (n_top > 0).then_some(&token.chosen);
            let all = chosen.into_iter().chain(token.top.iter().take(n_top));
            all.map(|top| (text(top), number(top))).collect()
        };
        Self {
            tokens: tokens.iter().map(|token| text(&token.chosen)).collect(),
            token_logprobs: tokens.iter().map(|token| number(&token.chosen)).collect(),
            top_logprobs: tokens.iter().map(top).collect(),
            text_offset,
        }
    }
}

/// A position in a text of tokens, some of which end inside a character.
#[derive(Debug, Default, Clone)]
pub(super) struct TextOffset {
    /// Complete characters before it.
    n_chars: usize,
    /// The bytes of the incomplete one.
    incomplete: Vec<u8>,
}

impl TextOffset {
    /// Moves it over `bytes`. What is no UTF-8 counts as U+FFFD, which is in the text instead.
    fn add(&mut self, bytes: &[u8]) {
        self.incomplete.extend_from_slice(bytes);
        let mut n_incomplete = 0;
        for chunk in self.incomplete.utf8_chunks() {
            self.n_chars += chunk.valid().chars().count();
            let invalid = chunk.invalid();
            let ends_early =
                std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            match ends_early {
                true => n_incomplete = invalid.len(),
                false => self.n_chars += usize::from(!invalid.is_empty()),
            }
        }
        self.incomplete.drain(..self.incomplete.len() - n_incomplete);
    }
}

/// Replaces the log probability of an impossible token: JSON has no -infinity.
const MIN_LOGPROB: f32 = -9999.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(bytes: &[u8], logprob: f32) -> Logprob {
        Logprob { token: 0, bytes: bytes.into(), logprob }
    }

    #[test]
    fn token_inside_a_character_begins_where_that_does() {
        let text = "\u{e9}\u{1f600}z".as_bytes();
        let mut offset = TextOffset::default();
        let mut begins = Vec::new();
        for byte in text.iter().chain(b"\xff\x80z") {
            begins.push(offset.n_chars);
            offset.add(&[*byte]);
        }
        assert_eq!(begins, [0, 0, 1, 1, 1, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn chosen_token_is_among_its_rivals() {
        let tokens = [TokenLogprobs { chosen: token(b"b", -3.0), top: vec![token(b"a", -0.1)] }];
        let logprobs = TextLogprobs::new(&tokens, 1, &mut TextOffset::default());
        let names: Vec<_> = logprobs.top_logprobs[0].keys().cloned().collect();
        assert_eq!(names, ["a", "b"]);
        assert!(
            TextLogprobs::new(&tokens, 0, &mut TextOffset::default()).top_logprobs[0].is_empty()
        );
    }
}
