//! What the server says: one variant a frame, and the only way to turn one into text.
//!
//! Frames borrow what they say and are written straight into their text: a `token` frame costs
//! one allocation.

use serde::{Serialize, Serializer};

use crate::domain::{FinishReason, TokenLogprobs};

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
    /// The request has to wait.
    Queued {
        /// The request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Its place, counted from 1.
        position: usize,
    },
    /// How much of a prompt has been read.
    Progress {
        /// The request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Tokens read.
        processed: usize,
        /// Tokens in all.
        total: usize,
    },
    /// New text.
    Token {
        /// The request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// The text of one token or several.
        content: &'a str,
        /// What is known of these tokens, where asked for.
        #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "logprobs::serialize")]
        logprobs: &'a [TokenLogprobs],
    },
    /// The text is complete.
    End {
        /// The request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        /// Why it ended.
        #[serde(serialize_with = "serialize_reason")]
        finish_reason: FinishReason,
        /// What it took.
        stats: EndStats,
    },
    /// Something went wrong.
    Error(&'a ErrorFrame),
    /// The state of the house.
    Metrics(&'a Metrics),
    /// `subscribe_metrics` was understood.
    MetricsSubscribed,
    /// `unsubscribe_metrics` was understood.
    MetricsUnsubscribed,
    /// The answer to `ping`.
    Pong,
}

impl ServerFrame<'_> {
    /// The frame as it goes over the wire.
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
