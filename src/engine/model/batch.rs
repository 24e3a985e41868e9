//! What goes into a step of a model and what comes out of it.
//!
//! These types are plain data that the engine and a backend exchange. The contract for their values
//! is at [`Model`](super::Model).

use crate::domain::{Token, TokenLogprobs};

/// The id of a sequence in the KV cache: the index of its slot.
pub type SeqId = u32;

/// The tokens of one step, at most [`Limits::n_ubatch`](super::Limits::n_ubatch).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The tokens. Those of one sequence are in ascending position.
    pub tokens: Vec<BatchToken>,
}

/// One token of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchToken {
    /// The id of the token.
    pub token: Token,
    /// Its position in the sequence, counted from 0.
    pub pos: usize,
    /// The sequence that it belongs to.
    pub seq: SeqId,
    /// Whether the step computes the logits after this token, so that the token that follows it
    /// can be sampled.
    pub has_output: bool,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeOutcome {
    /// The step is computed and its outputs can be sampled.
    Done,
    /// The step was abandoned because the interrupt became due. Some tokens of the batch may be
    /// in the KV cache; the engine truncates the sequences to where they were.
    Cancelled,
    /// The step failed, for the given reason. The state of its sequences is unknown: the engine
    /// fails their requests and empties them.
    Failed(String),
}

/// A text that the draft model is to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DraftRequest<'a> {
    /// The sequence of the text.
    pub seq: SeqId,
    /// The whole text, up to the last generated token. The model itself has not computed that
    /// last token yet.
    pub tokens: &'a [Token],
    /// Number of draft tokens wanted.
    pub n: usize,
}

/// A sampled token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The id of the token.
    pub token: Token,
    /// Log probabilities of the token and its alternatives, if the request asked for them.
    pub logprobs: Option<TokenLogprobs>,
}
