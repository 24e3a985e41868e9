//! The `error` frame: a stable code for programs, a message for people.
//!
//! Refusals and failures are translated here and nowhere else.

use serde::{Serialize, Serializer};

use crate::domain::{Failure, Refusal};

use super::id::RequestId;

pub use crate::domain::Code;

/// The fields of an `error` frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorFrame {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<RequestId>,
    #[serde(serialize_with = "serialize_code")]
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
        let is_temporary = matches!(code, Code::Loading | Code::Busy);
        Self {
            id: None,
            code,
            message: message.into(),
            retry_after_ms: is_temporary.then_some(RETRY_AFTER_MS),
            prompt_tokens: None,
            ctx_size: None,
        }
    }

    /// The error for a request of a connection that already has `limit` requests, the maximum.
    pub fn too_many_requests(limit: usize) -> Self {
        let message = format!(
            "this connection has {limit} requests already, which is the limit: \
             wait for one to end"
        );
        Self::new(Code::Busy, message)
    }

    /// A limit of the client's key or address is reached. `message` says which.
    pub fn rate_limited(message: String, retry_after_ms: u64) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(Code::RateLimited, message) }
    }

    /// The same error for the request `id`; `None` is a request without an id, or no request.
    #[must_use]
    pub fn for_request(self, id: Option<RequestId>) -> Self {
        Self { id, ..self }
    }

    /// The stable code of the error.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The same error without its message, for the log: the message may quote what a client sent.
    #[must_use]
    pub fn without_message(&self) -> Self {
        Self { message: String::new(), ..self.clone() }
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Milliseconds after which to try again; `None` if that is no use.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// The `id` of the request that was refused or failed, if it has one.
    pub fn id(&self) -> Option<&RequestId> {
        self.id.as_ref()
    }
}

impl From<Refusal> for ErrorFrame {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(refusal.code(), refusal.to_string());
        match refusal {
            Refusal::ContextOverflow { prompt_tokens, ctx_size, .. } => {
                Self { prompt_tokens: Some(prompt_tokens), ctx_size: Some(ctx_size), ..error }
            }
            Refusal::EngineFailed { .. } => {
                Self { retry_after_ms: Some(RETRY_AFTER_FAILURE_MS), ..error }
            }
            _ => error,
        }
    }
}

impl From<Failure> for ErrorFrame {
    fn from(failure: Failure) -> Self {
        let retry_after_ms = match failure {
            Failure::RunnerEnded { is_second: false, .. } | Failure::EngineStalled { .. } => {
                Some(RETRY_AFTER_MS)
            }
            Failure::Unavailable { .. } => Some(RETRY_AFTER_FAILURE_MS),
            Failure::RunnerEnded { is_second: true, .. }
            | Failure::SlowClient { .. }
            | Failure::EngineFailed { .. }
            | Failure::ConstraintFailed { .. }
            | Failure::ShuttingDown => None,
        };
        Self { retry_after_ms, ..Self::new(failure.code(), failure.to_string()) }
    }
}

/// Writes a code as its string.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(super) fn serialize_code<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

/// Milliseconds after which a refused client should try again. A slot is usually free by then. If a
/// model takes longer to load, the client is refused once more.
const RETRY_AFTER_MS: u64 = 1000;

/// Milliseconds after which to try again if the model cannot be served. The daemon itself tries as
/// often.
const RETRY_AFTER_FAILURE_MS: u64 = 30_000;
