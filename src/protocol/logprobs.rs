//! `logprobs` of a `token` frame: each new token, its probability and its rivals.
//!
//! `bytes` is the truth about a token; `token` is the same for people and shows a replacement
//! character where the bytes are no text on their own.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::domain::{Logprob, Token, TokenLogprobs};

/// Stands for a probability of zero: JSON has no infinity, and a client expects a number.
const IMPOSSIBLE: f32 = -9999.0;

/// One generated token on the wire.
#[derive(Serialize)]
struct Chosen<'a> {
    #[serde(flatten)]
    chosen: Candidate<'a>,
    top: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    token: Cow<'a, str>,
    id: Token,
    logprob: f32,
    bytes: &'a [u8],
}

impl<'a> From<&'a Logprob> for Candidate<'a> {
    fn from(Logprob { token, bytes, logprob }: &'a Logprob) -> Self {
        Self {
            token: String::from_utf8_lossy(bytes),
            id: *token,
            logprob: logprob.max(IMPOSSIBLE),
            bytes,
        }
    }
}

/// For `serialize_with`.
pub(super) fn serialize<S: Serializer>(
    tokens: &[TokenLogprobs],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tokens.iter().map(|TokenLogprobs { chosen, top }| Chosen {
        chosen: chosen.into(),
        top: top.iter().map(Candidate::from).collect(),
    }))
}
