//! The vocabulary of the house: what is asked, what is answered, what can go wrong.
//!
//! Every other room speaks in these words. They name no wire format, no model library, no
//! socket and no clock: the rooms that know those translate at their doors.

mod code;
mod gpu;
mod model;
mod outcome;
mod params;
mod request;

pub use code::Code;
pub use gpu::{Gpu, GpuReading, Throttle};
pub use model::{MemoryPart, ModelInfo};
pub use outcome::{Failure, FinishReason, Outcome, Refusal, Usage};
pub use params::{Params, Range, Speculation};
pub use request::{ConnectionId, Message, Prompt, Request, Role};

/// A token id of the model's vocabulary. Always in `0..n_vocab` once it has passed the tokenizer.
pub type Token = i32;

/// The probability of one generated token, and of the likeliest ones in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// The token that was chosen.
    pub chosen: Logprob,
    /// The likeliest tokens in descending order, as many as were asked for.
    pub top: Vec<Logprob>,
}

/// One token and its natural-log probability under the model, before any sampling parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Logprob {
    /// Its id.
    pub token: Token,
    /// Its bytes, which need not be valid UTF-8 on their own.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, at most 0.
    pub logprob: f32,
}
