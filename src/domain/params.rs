//! The parameters of a request: their meaning, ranges and defaults.
//!
//! The protocol checks all ranges when it reads a request. Later code neither checks nor clamps the
//! values again.

use serde::{Deserialize, Serialize};

use super::conversation::Constraint;
use super::token::Token;

/// How to generate an answer. `Params::default()` applies to a request without `params`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Sampling temperature; 0 is greedy.
    pub temp: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens whose total probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this fraction of the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling: the total probability to keep; 1 disables it.
    pub typical_p: f32,
    /// Divide positive logits of repeated tokens by this, and multiply negative ones; 1 disables
    /// it.
    pub repeat_penalty: f32,
    /// Size of the window of last tokens that penalties apply to; 0 is none, `None` the whole
    /// context.
    pub repeat_last_n: Option<u32>,
    /// Subtracted from the logit of every token that occurs in the window.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token for each of its occurrences in the window.
    pub frequency_penalty: f32,
    /// Seed of the sampler; `None` chooses a random one.
    pub seed: Option<u32>,
    /// Strings that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Values that are added to the logits of these tokens.
    pub logit_bias: Vec<(Token, f32)>,
    /// Never generate a token that ends the answer.
    pub ignore_eos: bool,
    /// Most tokens to generate; `None` generates until the context is full.
    pub max_tokens: Option<u32>,
    /// Reuse the longest cached prefix of the prompt, and cache this request when it ends.
    pub cache_prompt: bool,
    /// Report the progress of prefill.
    pub progress: bool,
    /// Number of most likely tokens to report with each generated token; 0 reports no
    /// probabilities at all.
    pub logprobs: u8,
    /// The drafters to use; `None` leaves the choice to the server. Speculation changes when
    /// tokens arrive, and by rounding which token wins where two are almost equally likely.
    pub speculative: Option<Speculation>,
    /// Whether the answer contains special tokens that separate its parts, such as `</think>`;
    /// `None` is yes for a conversation and no for a raw prompt.
    pub special: Option<bool>,
    /// What the answer has to be. Where the model thinks first, this is about what follows.
    pub constraint: Option<Box<Constraint>>,
    /// The field of the request that the constraint came from; `None` is `format`.
    pub constraint_field: Option<String>,
    /// Most tokens of thinking, after which the model is made to answer; `None` is no limit.
    pub reasoning_budget: Option<u32>,
}

impl Params {
    /// Range of the temperature. Above 10 every distribution is nearly uniform.
    pub const TEMP: Range = Range::new(0.0, 10.0);
    /// Range of `top_k`.
    pub const TOP_K: Range = Range::new(0.0, i32::MAX as f64);
    /// Range of `top_p`, `min_p` and `typical_p`.
    pub const PROBABILITY: Range = Range::new(0.0, 1.0);
    /// Range of `repeat_penalty`. It is a divisor, so 0 is excluded.
    pub const REPEAT_PENALTY: Range = Range::new(0.01, 10.0);
    /// Range of `repeat_last_n` on the wire, where -1 means the whole context.
    pub const REPEAT_LAST_N: Range = Range::new(-1.0, i32::MAX as f64);
    /// Range of the presence and frequency penalties.
    pub const PENALTY: Range = Range::new(-10.0, 10.0);
    /// Range of the seed on the wire, where -1 means a random seed. llama.cpp reserves 2³²−1.
    pub const SEED: Range = Range::new(-1.0, (u32::MAX - 1) as f64);
    /// Range of `max_tokens` on the wire, where -1 means until the context is full.
    pub const MAX_TOKENS: Range = Range::new(-1.0, i32::MAX as f64);
    /// Range of `logprobs`.
    pub const LOGPROBS: Range = Range::new(0.0, 20.0);
    /// Range of a logit bias.
    pub const LOGIT_BIAS: Range = Range::new(-100.0, 100.0);
    /// Most stop strings. Each is matched against every byte of the answer.
    pub const MAX_STOPS: usize = 64;
    /// Most bytes of a stop string. Up to as much text is held back.
    pub const MAX_STOP_BYTES: usize = 1024;
    /// Most biased tokens. Each costs time in every step.
    pub const MAX_LOGIT_BIASES: usize = 1024;
}

impl Default for Params {
    /// The defaults of llama.cpp, so that prompts behave as its users expect.
    fn default() -> Self {
        Self {
            temp: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_last_n: Some(64),
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
            stop: Vec::new(),
            logit_bias: Vec::new(),
            ignore_eos: false,
            max_tokens: None,
            cache_prompt: true,
            progress: false,
            logprobs: 0,
            speculative: None,
            special: None,
            constraint: None,
            constraint_field: None,
            reasoning_budget: None,
        }
    }
}

/// Which drafters may draft tokens for a request. The model computes all draft tokens in one step
/// and accepts those that it samples itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speculation {
    /// No drafts.
    Off,
    /// N-gram lookup: drafts the tokens that followed the last few tokens at an earlier place in
    /// the prompt or the answer.
    Ngram,
    /// N-gram lookup, and the draft model, if there is one, where the lookup finds nothing.
    Auto,
}

/// An inclusive range of a numeric parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest allowed value.
    pub min: f64,
    /// Largest allowed value.
    pub max: f64,
}

impl Range {
    const fn new(min: f64, max: f64) -> Self {
        Self { min, max }
    }

    /// Whether `value` is in the range; false for NaN.
    pub fn contains(self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}
