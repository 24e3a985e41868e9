//! Questions about the vocabulary of the model, which need no step of the engine.

use serde::{Deserialize, Serialize};

use super::request::Prompt;
use super::token::Token;

/// A question about the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextQuery {
    /// The tokens of a prompt, as a request with it has them.
    Tokenize(Prompt),
    /// The text of tokens, special tokens included.
    Detokenize(Vec<Token>),
}

impl TextQuery {
    /// About the bytes that the query takes.
    pub fn n_bytes(&self) -> usize {
        match self {
            Self::Tokenize(prompt) => prompt.n_bytes(),
            Self::Detokenize(tokens) => size_of_val(tokens.as_slice()),
        }
    }
}

/// The answer to a [`TextQuery`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextReply {
    /// The tokens.
    Tokens(Vec<Token>),
    /// The text, with U+FFFD in place of bytes that are not valid UTF-8.
    Text(String),
}
