//! The knobs of one generation: their meaning, their ranges, their defaults.
//!
//! A [`Params`] built by the protocol lies inside the ranges named here; nothing behind the
//! protocol checks or clamps again.

use super::Token;

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

    /// Whether `value` lies inside; false for NaN.
    pub fn contains(self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }
}

/// How to generate. `Params::default()` is what a client gets that sends no `params`.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Sampling temperature; 0 is greedy.
    pub temp: f32,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this fraction of the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling: keep this much probability; 1 is off.
    pub typical_p: f32,
    /// Divide the logit of repeated tokens by this (multiply negative ones); 1 is off.
    pub repeat_penalty: f32,
    /// How many last tokens count as repeated; 0 is none, `None` the whole context.
    pub repeat_last_n: Option<u32>,
    /// Subtracted from the logit of every token in the window.
    pub presence_penalty: f32,
    /// Subtracted from the logit of a token for each time it stands in the window.
    pub frequency_penalty: f32,
    /// Seed of the sampler; `None` draws one.
    pub seed: Option<u32>,
    /// Texts that end the generation; they are not part of the answer.
    pub stop: Vec<String>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(Token, f32)>,
    /// Forbid the tokens that end a generation.
    pub ignore_eos: bool,
    /// Most tokens to generate; `None` until the context is full.
    pub max_tokens: Option<u32>,
    /// Share the longest prefix that is kept of earlier requests, and keep this one.
    pub cache_prompt: bool,
    /// Report how much of a long prompt has been read.
    pub progress: bool,
    /// How many of the likeliest tokens to report with each token; 0 reports nothing.
    pub logprobs: u8,
    /// Whether to guess tokens ahead; `None` leaves it to the server. It changes when tokens
    /// come, not which.
    pub speculative: Option<Speculation>,
}

/// Where guesses at the next tokens may come from. The model computes all of them in one step and
/// keeps those it would have drawn itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speculation {
    /// Nothing is guessed.
    Off,
    /// From the prompt and the answer: what followed the last few tokens when they stood there
    /// before.
    Ngram,
    /// The same, and where the text does not repeat itself from the draft model, if there is one.
    Auto,
}

impl Params {
    /// Allowed temperatures. Above 10 every distribution is flat.
    pub const TEMP: Range = Range::new(0.0, 10.0);
    /// Allowed `top_k`.
    pub const TOP_K: Range = Range::new(0.0, i32::MAX as f64);
    /// Allowed `top_p`, `min_p` and `typical_p`.
    pub const PROBABILITY: Range = Range::new(0.0, 1.0);
    /// Allowed `repeat_penalty`. It divides, so 0 is out.
    pub const REPEAT_PENALTY: Range = Range::new(0.01, 10.0);
    /// Allowed `repeat_last_n` on the wire, where -1 is the whole context.
    pub const REPEAT_LAST_N: Range = Range::new(-1.0, i32::MAX as f64);
    /// Allowed presence and frequency penalties.
    pub const PENALTY: Range = Range::new(-10.0, 10.0);
    /// Allowed seeds on the wire, where -1 draws one. llama.cpp keeps 2³²−1 to itself.
    pub const SEED: Range = Range::new(-1.0, (u32::MAX - 1) as f64);
    /// Allowed `max_tokens` on the wire, where -1 is until the context is full.
    pub const MAX_TOKENS: Range = Range::new(-1.0, i32::MAX as f64);
    /// Allowed `logprobs`.
    pub const LOGPROBS: Range = Range::new(0.0, 20.0);
    /// Allowed biases.
    pub const LOGIT_BIAS: Range = Range::new(-100.0, 100.0);
    /// Most stop strings: each is matched against every byte of the answer.
    pub const MAX_STOPS: usize = 64;
    /// Longest stop string in bytes: as much text may be held back.
    pub const MAX_STOP_BYTES: usize = 1024;
    /// Most biased tokens: each is looked at in every step.
    pub const MAX_LOGIT_BIASES: usize = 1024;
}

impl Default for Params {
    /// llama.cpp's own defaults, so that a prompt behaves here as people know it from there.
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
        }
    }
}
