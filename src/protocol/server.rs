//! The frames that the server sends.
//!
//! [`ServerFrame`] has one variant per frame. It borrows its content and serializes it directly
//! into the text of the message, so a `token` frame costs one allocation.

use serde::{Serialize, Serializer};

use crate::domain::{Code, FinishReason, Right, TokenLogprobs};

use super::error::{ErrorFrame, serialize_code};
use super::hello::Hello;
use super::id::RequestId;
use super::logprobs;
use super::metrics::Metrics;
use super::stats::EndStats;

/// One frame of the server.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The first frame of a connection.
    Hello(&'a Hello),
    /// The request waits for a slot.
    Queued {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Position in the queue, counted from 1.
        position: usize,
    },
    /// How much of the prompt has been prefilled.
    Progress {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Prompt tokens prefilled or found in the cache.
        processed: usize,
        /// Tokens of the whole prompt.
        total: usize,
    },
    /// New generated text.
    Token {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// The text of one token or several.
        content: &'a str,
        /// The tokens' log-probabilities; empty unless the request asked for them.
        #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "logprobs::serialize")]
        logprobs: &'a [TokenLogprobs],
    },
    /// More of what the model thinks. Only in divided answers.
    Reasoning {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// The text of one token or several.
        content: &'a str,
    },
    /// A call of a tool, or more of its arguments. Only in divided answers.
    ToolCall {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Number of the call in the answer, counted from 0.
        index: usize,
        /// Identifies the call for its result; only in the first frame of a call.
        #[serde(skip_serializing_if = "Option::is_none")]
        call_id: Option<&'a str>,
        /// The name of the tool; only in the first frame of a call.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        /// More of the arguments: those of all frames of a call, joined, are a JSON object.
        arguments: &'a str,
    },
    /// The request finished.
    End {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Why it finished.
        finish_reason: EndReason,
        /// Which limit it reached, if it did. Only in divided answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<EndLimit>,
        /// The stop string that ended the answer, if one did. Only in divided answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        stop: Option<&'a str>,
        /// Times and token counts of the request.
        stats: EndStats,
        /// What the request had that was ignored; absent if there was nothing.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        warnings: &'a [String],
    },
    /// A frame or request was refused, or a request failed.
    Error(&'a ErrorFrame),
    /// The state of the engine and the GPUs.
    Metrics(&'a Metrics),
    /// Confirms `subscribe_metrics`.
    MetricsSubscribed,
    /// Confirms `unsubscribe_metrics`.
    MetricsUnsubscribed,
    /// The key of an `auth` frame is right.
    Authenticated {
        /// What its owner may do.
        rights: &'a [Right],
    },
    /// Answers `ping`.
    Pong,
}

impl ServerFrame<'_> {
    /// The frame as JSON text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("frames have string keys and finite numbers only")
    }
}

/// Why an answer ended, as the `end` frame tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// For the reason with this code.
    Finished(Code),
    /// The model ended it, and waits for the results of calls.
    ToolCalls,
}

impl From<FinishReason> for EndReason {
    fn from(reason: FinishReason) -> Self {
        Self::Finished(reason.code())
    }
}

impl Serialize for EndReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Finished(code) => serialize_code(code, serializer),
            Self::ToolCalls => serializer.serialize_str("tool_calls"),
        }
    }
}

/// The limit that ended an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndLimit {
    /// The answer has `max_tokens` tokens.
    MaxTokens,
    /// The context is full.
    Context,
}

impl EndLimit {
    /// The limit of an answer that ended for this `reason`, if it reached one.
    pub fn of(reason: FinishReason) -> Option<Self> {
        match reason {
            FinishReason::MaxTokens => Some(Self::MaxTokens),
            FinishReason::ContextFull => Some(Self::Context),
            FinishReason::Stop | FinishReason::Abort => None,
        }
    }
}
