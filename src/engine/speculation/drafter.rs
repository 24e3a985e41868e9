//! The interface of a drafter.
//!
//! To add a drafter, implement [`Drafter`] in a file of its own and add it to the list in
//! [`Speculator::new`](super::Speculator::new).

use std::fmt::Debug;

use crate::domain::{Speculation, Token};
use crate::engine::model::{DraftRequest, Interrupt, Model, SeqId};

use super::text::{DecodingText, DraftingCost};

/// A source of draft tokens. It keeps what it knows about each text, by sequence.
pub(super) trait Drafter<M: Model>: Debug {
    /// The mode of speculation in which the drafter drafts.
    fn mode(&self) -> Speculation;

    /// Forgets the text of `seq`, because a new one begins.
    fn begin(&mut self, seq: SeqId);

    /// The probability that the next draft token for `text` is accepted; `None` if the drafter
    /// cannot draft for it now.
    fn acceptance(&mut self, text: &DecodingText<'_>, model: &M) -> Option<f64>;

    /// Drafts tokens for some of the texts for which [`Self::acceptance`] returned a probability in
    /// this step. Returns a draft for each, with at most [`DraftRequest::n`] tokens. Adds the time
    /// that a model took to `cost`.
    fn draft(
        &mut self,
        wanted: &[DraftRequest<'_>],
        model: &mut M,
        interrupt: &Interrupt<'_>,
        cost: &mut DraftingCost,
    ) -> Vec<Vec<Token>>;

    /// Learns that the first `n_accepted` tokens of its draft for `seq` were accepted, of
    /// `n_verified` that could have been. Both are 0 if the text got no draft from it.
    fn settle(&mut self, seq: SeqId, n_accepted: usize, n_verified: usize) {
        let _ = (seq, n_accepted, n_verified);
    }

    /// Learns that an answer ended after `n_tokens` tokens.
    fn observe_answer(&mut self, n_tokens: usize) {
        let _ = n_tokens;
    }
}
