//! The `error` frame: a stable code for programs, a sentence for people.
//!
//! Refusals and failures of the domain are translated here and nowhere else, so this page lists
//! everything that can go wrong on the wire.

use serde::Serialize;

use crate::domain::{Failure, Refusal};

use super::id::RequestId;

/// When a refused client should come back. A slot turns over in about this time, and a load
/// that takes longer only costs another refusal.
const RETRY_AFTER_MS: u64 = 1000;

/// The kind of an error, stable for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The frame is not JSON, or nested too deep.
    BadJson,
    /// The frame is JSON, but not a frame.
    BadFrame,
    /// There is no such `op`.
    UnknownOp,
    /// A parameter or a message cannot be used.
    InvalidParams,
    /// Without an `id` a connection has one request at a time.
    RequestInFlight,
    /// The `id` belongs to a request that has not ended.
    DuplicateId,
    /// There is nothing to abort.
    NotFound,
    /// The prompt leaves no room for an answer.
    ContextOverflow,
    /// Too many requests wait already.
    Busy,
    /// The model is not loaded yet.
    Loading,
    /// The client did not read its text.
    SlowClient,
    /// The model could not compute.
    EngineFailed,
    /// The server is on its way out.
    ShuttingDown,
}

impl Code {
    /// Every code there is.
    pub const ALL: [Self; 13] = [
        Self::BadJson,
        Self::BadFrame,
        Self::UnknownOp,
        Self::InvalidParams,
        Self::RequestInFlight,
        Self::DuplicateId,
        Self::NotFound,
        Self::ContextOverflow,
        Self::Busy,
        Self::Loading,
        Self::SlowClient,
        Self::EngineFailed,
        Self::ShuttingDown,
    ];
}

/// Everything an `error` frame may carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorFrame {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<RequestId>,
    code: Code,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx_size: Option<usize>,
}

impl ErrorFrame {
    /// An error that belongs to no request.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            id: None,
            code,
            message: message.into(),
            retry_after_ms: None,
            prompt_tokens: None,
            ctx_size: None,
        }
    }

    /// More requests than one connection may have.
    pub fn too_many_requests(limit: usize) -> Self {
        let message = format!(
            "this connection has {limit} requests already, which is the limit: \
             wait for one to end"
        );
        Self { retry_after_ms: Some(RETRY_AFTER_MS), ..Self::new(Code::Busy, message) }
    }

    /// The same error, named as the answer to request `id`.
    #[must_use]
    pub fn about(self, id: Option<RequestId>) -> Self {
        Self { id, ..self }
    }

    /// The kind of this error.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The same for a log: without what is said to people, which may repeat what they have sent.
    #[must_use]
    pub fn wordless(&self) -> Self {
        Self { message: String::new(), ..self.clone() }
    }

    /// What is said to people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The request it answers, where that has a name.
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }
}

impl From<Refusal> for ErrorFrame {
    fn from(refusal: Refusal) -> Self {
        let plain = |code| Self::new(code, refusal.to_string());
        match refusal {
            Refusal::Loading => {
                Self { retry_after_ms: Some(RETRY_AFTER_MS), ..plain(Code::Loading) }
            }
            Refusal::Busy { .. } => {
                Self { retry_after_ms: Some(RETRY_AFTER_MS), ..plain(Code::Busy) }
            }
            Refusal::ShuttingDown => plain(Code::ShuttingDown),
            Refusal::EngineFailed => plain(Code::EngineFailed),
            Refusal::ContextOverflow { prompt_tokens, ctx_size, .. } => Self {
                prompt_tokens: Some(prompt_tokens),
                ctx_size: Some(ctx_size),
                ..plain(Code::ContextOverflow)
            },
            Refusal::InvalidParams { .. } => plain(Code::InvalidParams),
        }
    }
}

impl From<Failure> for ErrorFrame {
    fn from(failure: Failure) -> Self {
        let code = match &failure {
            Failure::SlowClient { .. } => Code::SlowClient,
            Failure::EngineFailed { .. } => Code::EngineFailed,
            Failure::ShuttingDown => Code::ShuttingDown,
        };
        Self::new(code, failure.to_string())
    }
}
