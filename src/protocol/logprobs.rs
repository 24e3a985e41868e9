//! The `logprobs` field of a `token` frame: each new token, its log-probability and the likeliest
//! alternatives.
//!
//! `bytes` is exact. `token` is the same bytes as text, with U+FFFD in place of bytes that are not
//! valid UTF-8 on their own.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::domain::{Logprob, Token, TokenLogprobs};

/// Serializes the field; for `#[serde(serialize_with)]`.
pub(super) fn serialize<S: Serializer>(
    tokens: &[TokenLogprobs],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tokens.iter().map(|TokenLogprobs { chosen, top }| GeneratedToken {
        chosen: chosen.into(),
        top: top.iter().map(RankedToken::from).collect(),
    }))
}

/// A generated token and the likeliest tokens at its position.
#[derive(Serialize)]
struct GeneratedToken<'a> {
    #[serde(flatten)]
    chosen: RankedToken<'a>,
    top: Vec<RankedToken<'a>>,
}

/// One token and its log-probability.
#[derive(Serialize)]
struct RankedToken<'a> {
    token: Cow<'a, str>,
    id: Token,
    logprob: f32,
    bytes: &'a [u8],
}

impl<'a> From<&'a Logprob> for RankedToken<'a> {
    fn from(Logprob { token, bytes, logprob }: &'a Logprob) -> Self {
        Self {
            token: String::from_utf8_lossy(bytes),
            id: *token,
            logprob: logprob.max(MIN_LOGPROB),
            bytes,
        }
    }
}

/// Replaces the log-probability of an impossible token: JSON has no -infinity.
const MIN_LOGPROB: f32 = -9999.0;
