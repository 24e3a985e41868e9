//! A planned step: the batch for the model, and the part that each slot has in it.
//!
//! The tokens of a slot are consecutive in the batch: first its pending tokens, then its draft
//! tokens. A step is plain data; `plan` fills it and `commit` applies its result.

use std::time::Duration;

use crate::domain::Token;
use crate::engine::model::{Batch, BatchToken, CancelFlag};
use crate::engine::speculation::{Draft, DraftingCost};

use super::slot::Slot;

/// A planned step.
#[derive(Debug, Default)]
pub(in crate::engine) struct Step {
    /// The tokens that the model computes.
    pub(super) batch: Batch,
    /// The parts of the slots, in the order of their tokens in the batch.
    pub(super) parts: Vec<StepPart>,
    /// The cancel flags of the requests in the step.
    pub(super) cancel: Vec<CancelFlag>,
    /// Number of decoding slots in the step.
    pub(super) n_decoding: usize,
    /// What its drafts cost.
    pub(super) drafting: DraftingCost,
}

/// One slot's part in a step.
#[derive(Debug)]
pub(super) struct StepPart {
    /// Index of the slot.
    pub(super) slot: usize,
    /// Number of the slot's pending tokens that the step computes.
    pub(super) n_tokens: usize,
    /// Index of the batch token whose logits give the slot's next token; `None` if the slot still
    /// has pending tokens after the step.
    pub(super) output: Option<usize>,
    /// The draft of the tokens that follow. Its batch tokens directly follow `output`.
    pub(super) draft: Draft,
}

impl StepPart {
    /// Number of batch tokens of the slot.
    pub(super) fn n_batch_tokens(&self) -> usize {
        self.n_tokens + self.draft.tokens.len()
    }
}

impl Step {
    /// Number of tokens in the batch.
    pub(in crate::engine) fn n_tokens(&self) -> usize {
        self.batch.tokens.len()
    }

    /// How long the draft model took; zero if it was not asked.
    pub(in crate::engine) fn drafting_time(&self) -> Duration {
        self.drafting.time
    }

    /// Number of prompt tokens.
    pub(super) fn n_prompt(&self) -> usize {
        self.n_tokens() - self.n_decoding - self.n_drafted()
    }

    /// Number of draft tokens.
    pub(super) fn n_drafted(&self) -> usize {
        self.parts.iter().map(|part| part.draft.tokens.len()).sum()
    }

    /// Adds the next `n` pending tokens of the slot with the index `i`, and a draft of the tokens
    /// after them.
    pub(super) fn add<S>(&mut self, i: usize, slot: &Slot<S>, n: usize, draft: Draft) {
        let Batch { tokens } = &mut self.batch;
        let pending: &[Token] = &slot.tokens[slot.n_computed..slot.n_computed + n];
        let first = tokens.len();
        tokens.extend(pending.iter().enumerate().map(|(k, &token)| BatchToken {
            token,
            pos: slot.n_computed + k,
            seq: slot.seq,
            has_output: false,
        }));
        let output = (n == slot.n_pending()).then_some(first + n - 1);
        if let Some(last) = output {
            tokens[last].has_output = true;
        }
        tokens.extend(draft.tokens.iter().enumerate().map(|(k, &token)| BatchToken {
            token,
            pos: slot.tokens.len() + k,
            seq: slot.seq,
            has_output: true,
        }));
        self.parts.push(StepPart { slot: i, n_tokens: n, output, draft });
        self.cancel.push(slot.job.cancel.clone());
    }
}
