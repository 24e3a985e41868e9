//! The drafting state of one text.

use crate::domain::Token;

use super::acceptance::AcceptanceEstimate;
use super::ngram::NgramLookup;

/// One text's drafting state, for both drafters.
#[derive(Debug, Default)]
pub(in crate::engine) struct SlotDrafts {
    /// The n-gram index of the text.
    pub(in crate::engine) ngram: NgramLookup,
    /// Acceptance of the draft model's tokens in this text.
    pub(super) model_acceptance: AcceptanceEstimate,
    /// Whether the draft model returned tokens when it was last asked, and so has prefilled the
    /// text.
    pub(in crate::engine) is_model_prefilled: bool,
    /// Number of tokens, from the start of the text, that are known to be in the draft model's
    /// vocabulary.
    n_in_vocabulary: usize,
}

impl SlotDrafts {
    /// Whether the draft model's vocabulary has all `tokens` of this text, so that it can draft for
    /// it. The vocabulary has the tokens below `n_shared`. Tokens that an earlier call has found in
    /// the vocabulary are not checked again.
    pub(in crate::engine) fn draft_model_has_all(
        &mut self,
        tokens: &[Token],
        n_shared: usize,
    ) -> bool {
        let is_shared = |&&token: &&Token| usize::try_from(token).is_ok_and(|id| id < n_shared);
        let unchecked = tokens.get(self.n_in_vocabulary..).unwrap_or_default();
        self.n_in_vocabulary += unchecked.iter().take_while(is_shared).count();
        self.n_in_vocabulary >= tokens.len()
    }
}
