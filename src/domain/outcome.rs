//! How a request ends: refused before it starts, or with exactly one [`Outcome`] afterwards.

use std::time::Duration;

use thiserror::Error;

/// Why a request was not accepted. Nothing was computed for it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The weights are still being loaded.
    #[error("the model is still loading; try again in a moment")]
    Loading,
    /// The queue is full.
    #[error("the server is busy: {queued} requests wait or are about to start; try again later")]
    Busy {
        /// How many requests wait.
        queued: usize,
    },
    /// The server is on its way out.
    #[error("the server is shutting down and takes no new requests")]
    ShuttingDown,
    /// The engine has stopped for good.
    #[error("the engine has stopped; the server's log says why")]
    EngineFailed,
    /// The prompt leaves no room to generate.
    #[error(
        "the prompt has {}{prompt_tokens} tokens and the context holds {ctx_size}, \
         one of which must stay free for the answer: shorten the prompt, or raise --ctx-size if the \
         model can hold more",
        if *.at_least { "at least " } else { "" }
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens a request may use, prompt and answer together.
        ctx_size: usize,
        /// Whether `prompt_tokens` is a lower bound: a prompt far too long is not counted out.
        at_least: bool,
    },
    /// A parameter or the prompt cannot be used.
    #[error("{field}: {reason}")]
    InvalidParams {
        /// The field of the request.
        field: String,
        /// What is wrong with which value, and what is allowed.
        reason: String,
    },
}

/// Why an accepted request ended without finishing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The client did not read its text for longer than the grace.
    #[error("the client did not read its text for {} s", .grace.as_secs())]
    SlowClient {
        /// How long it was waited for.
        grace: Duration,
    },
    /// The model could not compute a step this request was part of.
    #[error("the model could not compute this request: {reason}")]
    EngineFailed {
        /// What the model library said.
        reason: String,
    },
    /// The server is on its way out and the request was not finished in time.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Why a generation came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string was met.
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
    /// The client asked for it.
    Abort,
}

/// The one end of an accepted request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ran to an end, or was aborted.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// It did not.
    Failed(Failure),
}

/// What one request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of those were kept of other requests and not computed.
    pub cached_tokens: usize,
    /// How many were computed: the others, unless the request ended before.
    pub read_tokens: usize,
    /// Generated tokens, the one that ended the generation not counted.
    pub tokens: usize,
    /// Tokens that were guessed ahead for it and computed, and how many of them were right.
    pub drafted: usize,
    /// See `drafted`.
    pub accepted: usize,
    /// From receipt until the prompt began to be read: it waits for a slot, and for another request that is
    /// reading the same beginning.
    pub queued: Duration,
    /// From there until the prompt was read.
    pub prompt: Duration,
    /// From the first generated token to the last.
    pub generation: Duration,
    /// From receipt to the end.
    pub total: Duration,
}
