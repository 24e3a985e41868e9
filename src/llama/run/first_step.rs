//! A first step right after the load, which shows whether a model computes at all.
//!
//! A broken weight or hyperparameter can make every number of a model infinite or NaN. Such a model
//! loads, but no request can be answered. Its first step tells.

use crate::domain::Token;
use crate::engine::{Batch, BatchToken, CancelFlag, DecodeOutcome, Interrupt, StopFlag};

use super::context::Context;
use super::sampling::likeliest;

/// What a first step has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) enum FirstStep {
    /// At least one token can be sampled after it.
    Finite,
    /// No token can be sampled: no logit is finite, or the largest is infinite.
    NotFinite,
    /// It was interrupted by `stop`.
    Interrupted,
    /// llama.cpp could not compute it, for this reason.
    Failed(String),
}

impl FirstStep {
    /// Computes the first of `tokens` in an empty context, and empties the context again. The model
    /// has `weight_bytes`.
    pub(in crate::llama) fn of(
        context: &mut Context,
        tokens: &[Token],
        weight_bytes: u64,
        stop: &StopFlag,
    ) -> Self {
        let tokens = &tokens[..tokens.len().min(MAX_TOKENS).min(context.slot_tokens())];
        let Some(last) = tokens.len().checked_sub(1) else { return Self::Finite };
        let batch_token =
            |(pos, &token)| BatchToken { token, pos, seq: 0, has_output: pos == last };
        let batch = Batch { tokens: tokens.iter().enumerate().map(batch_token).collect() };
        // A step without requests counts as cancelled.
        let interrupt = Interrupt { requests: &[CancelFlag::default()], stop };
        if weight_bytes <= MAX_SINGLE_THREAD_BYTES {
            context.set_threads(1);
        }
        let outcome = context.decode(&batch, &interrupt);
        let is_finite = context.logits(last).is_some_and(|logits| likeliest(logits).is_some());
        context.truncate(0, 0);
        context.set_threads(context.first_threads());
        match outcome {
            DecodeOutcome::Done if is_finite => Self::Finite,
            DecodeOutcome::Done => Self::NotFinite,
            DecodeOutcome::Cancelled => Self::Interrupted,
            DecodeOutcome::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// Most bytes of weights that a single thread computes with. It needs some 100 ms for them, while
/// several threads would need seconds if other programs use the CPUs: they wait for each other, and
/// their number adapts only to longer loads (ADR-0016).
const MAX_SINGLE_THREAD_BYTES: u64 = 1 << 30;

/// Most tokens of a first step. More than one, so that attention and rotary positions count.
const MAX_TOKENS: usize = 4;
