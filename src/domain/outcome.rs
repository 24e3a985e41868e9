//! How a request ends: refused before it starts, or accepted and ended by exactly one [`Outcome`].
//!
//! The texts of [`Refusal`] and [`Failure`] are sent to clients. The stable names for programs are
//! in [`Code`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::code::Code;

/// Why a request was not accepted. Nothing was computed for it.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The model is still loading.
    #[error("the model is still loading; try again in a moment")]
    Loading,
    /// The queue is full.
    #[error("the server is busy: {queued} requests wait or are about to start; try again later")]
    Busy {
        /// Number of requests that are waiting.
        queued: usize,
    },
    /// The server is shutting down.
    #[error("the server is shutting down and takes no new requests")]
    ShuttingDown,
    /// The prompt could not be turned into tokens.
    #[error("the prompt could not be tokenized: {reason}")]
    NotTokenized {
        /// Why.
        reason: String,
    },
    /// The model's process cannot be kept running.
    #[error("the model cannot be served at the moment: {reason}")]
    EngineFailed {
        /// Why it ends again and again.
        reason: String,
    },
    /// The prompt leaves no space for an answer.
    #[error(
        "the prompt has {}{prompt_tokens} tokens and the context holds {ctx_size}, \
         one of which must stay free for the answer: shorten the prompt, or raise --ctx-size if the \
         model can hold more",
        if *.is_lower_bound { "at least " } else { "" }
    )]
    ContextOverflow {
        /// Number of tokens of the prompt.
        prompt_tokens: usize,
        /// Number of tokens that a request may use, prompt and answer together.
        ctx_size: usize,
        /// Whether `prompt_tokens` is a lower bound. A prompt that is far too long is refused
        /// before it is tokenized to its end.
        is_lower_bound: bool,
    },
    /// A parameter or the prompt cannot be used.
    #[error("{field}: {reason}")]
    InvalidParams {
        /// The request's field.
        field: String,
        /// What is wrong, with which value, and what is allowed.
        reason: String,
    },
}

impl Refusal {
    /// The code that clients and metrics see.
    pub fn code(&self) -> Code {
        match self {
            Self::Loading => Code::Loading,
            Self::Busy { .. } => Code::Busy,
            Self::ShuttingDown => Code::ShuttingDown,
            Self::EngineFailed { .. } | Self::NotTokenized { .. } => Code::EngineFailed,
            Self::ContextOverflow { .. } => Code::ContextOverflow,
            Self::InvalidParams { .. } => Code::InvalidParams,
        }
    }
}

/// Why an accepted request ended without a complete answer.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Failure {
    /// The client left its text unread for longer than the grace period.
    #[error("the client did not read its text for {} s", .grace.as_secs())]
    SlowClient {
        /// The grace period.
        grace: Duration,
    },
    /// The model could not compute a step that contained this request.
    #[error("the model could not compute this request: {reason}")]
    EngineFailed {
        /// What the model library reported.
        reason: String,
    },
    /// The answer cannot go on as the request says that it has to.
    #[error("{field}: cannot be enforced: {reason}")]
    ConstraintFailed {
        /// The request's field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process that computes ended while the request had part of its answer, or while it
    /// was there for the second time.
    #[error("the model's process ended ({cause}) {}", if *.is_second {
        "again while it had this request, so it is not run once more"
    } else {
        "in the middle of this answer; it starts again: send the request again"
    })]
    RunnerEnded {
        /// How the process ended, such as the name of a signal.
        cause: String,
        /// Whether the request was there at two ends, and is to be blamed for them.
        is_second: bool,
    },
    /// The engine made no progress for too long, so its process was ended.
    #[error("the model made no progress for {} s; its process starts again", .limit.as_secs())]
    EngineStalled {
        /// How long the engine made no progress.
        limit: Duration,
    },
    /// The model's process cannot be kept running.
    #[error("the model cannot be served at the moment: {reason}")]
    Unavailable {
        /// Why it ends again and again.
        reason: String,
    },
    /// The server shut down before the request finished.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Failure {
    /// The code that clients and metrics see.
    pub fn code(&self) -> Code {
        match self {
            Self::SlowClient { .. } => Code::SlowClient,
            Self::ConstraintFailed { .. } => Code::InvalidParams,
            Self::EngineFailed { .. } | Self::RunnerEnded { .. } | Self::Unavailable { .. } => {
                Code::EngineFailed
            }
            Self::EngineStalled { .. } => Code::EngineStalled,
            Self::ShuttingDown => Code::ShuttingDown,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended the text, or a stop string was found.
    Stop,
    /// The answer has `max_tokens` tokens.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// The client aborted the request or disconnected.
    Abort,
}

impl FinishReason {
    /// The code that clients and metrics see.
    pub fn code(self) -> Code {
        match self {
            Self::Stop => Code::Stop,
            Self::MaxTokens | Self::ContextFull => Code::Length,
            Self::Abort => Code::Abort,
        }
    }
}

/// The end of a request that was submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The request finished or was aborted.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// The stop string that ended the answer, if one did.
        stop: Option<String>,
        /// Its tokens and times.
        usage: Usage,
    },
    /// The request failed.
    Failed(Failure),
    /// The request was not accepted.
    Refused(Refusal),
}

impl Outcome {
    /// The same for an answer that the server has ended after a complete call of a tool: that the
    /// model had not finished, or was told to stop, does not matter.
    #[must_use]
    pub fn ended_by_call(self) -> Self {
        match self {
            Self::Finished { usage, .. } => {
                Self::Finished { reason: FinishReason::Stop, stop: None, usage }
            }
            other @ (Self::Failed(_) | Self::Refused(_)) => other,
        }
    }

    /// The code that clients and metrics see.
    pub fn code(&self) -> Code {
        match self {
            Self::Finished { reason, .. } => reason.code(),
            Self::Failed(failure) => failure.code(),
            Self::Refused(refusal) => refusal.code(),
        }
    }
}

/// Tokens and times of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens that came from the prefix cache or from a running request.
    pub cached_tokens: usize,
    /// Prompt tokens that were computed: the rest, or fewer if the request ended during prefill.
    pub prefilled_tokens: usize,
    /// Generated tokens, without the token that ended the answer.
    pub tokens: usize,
    /// Those of them that are the model's thinking, without the marks around it. Zero for raw text,
    /// and for conversations whose answers have no marks.
    pub reasoning_tokens: usize,
    /// Draft tokens that the model verified.
    pub drafted: usize,
    /// Draft tokens that the model accepted.
    pub accepted: usize,
    /// From receipt to the start of prefill: the wait for a slot, and for another request that was
    /// computing a shared prefix.
    pub queued: Duration,
    /// From the start of prefill to its end.
    pub prompt: Duration,
    /// From the first generated token to the last.
    pub generation: Duration,
    /// From receipt to the end.
    pub total: Duration,
    /// The request's share of the time of the steps that computed it.
    pub computing: Duration,
}
