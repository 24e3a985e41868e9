//! Tokens and their probabilities.

use serde::{Deserialize, Serialize};

/// The id of a token in the vocabulary of the model. Ids from the tokenizer or the sampler are in
/// `0..n_vocab`; an id from a client has to be checked.
pub type Token = i32;

/// The log probabilities of a generated token and of its most likely alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprobs {
    /// The generated token.
    pub chosen: Logprob,
    /// The most likely tokens at this position in descending order, as many as the request asked
    /// for. May contain the generated token.
    pub top: Vec<Logprob>,
}

/// A token and its log probability under the model, before any sampling parameter is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// The id of the token.
    pub token: Token,
    /// The bytes of the token, not necessarily valid UTF-8 on their own.
    pub bytes: Vec<u8>,
    /// Natural logarithm of the probability, at most 0.
    pub logprob: f32,
}
