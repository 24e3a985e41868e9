//! The frames that the server sends.
//!
//! [`ServerFrame`] has one variant per frame. It borrows its content and serializes it directly
//! into the text of the message, so a `token` frame costs one allocation.

use serde::{Serialize, Serializer};

use crate::domain::{FinishReason, Right, TokenLogprobs};

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
    /// The request finished.
    End {
        /// The request's id, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Why it finished.
        #[serde(serialize_with = "serialize_reason")]
        finish_reason: FinishReason,
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

fn serialize_reason<S: Serializer>(
    reason: &FinishReason,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serialize_code(&reason.code(), serializer)
}
