//! Drafts with the draft model, which the [`Model`] computes.
//!
//! The draft model must prefill a text before it can draft for it, so it drafts only where that is
//! expected to pay. Its acceptance in all texts is the prior value for a new text.

use std::collections::HashMap;
use std::time::Instant;

use crate::domain::{Speculation, Token};
use crate::engine::model::{DraftRequest, Interrupt, Model, SeqId};

use super::acceptance::AcceptanceEstimate;
use super::drafter::Drafter;
use super::text::{DecodingText, DraftingCost};

/// The draft model as a drafter.
#[derive(Debug)]
pub(super) struct ModelDrafter {
    /// The state of each text, by its sequence.
    texts: HashMap<SeqId, ModelText>,
    /// Acceptance in all texts.
    acceptance: AcceptanceEstimate,
    /// Expected length of an answer in tokens: a moving average over the answers that ended.
    expected_answer: f64,
}

impl ModelDrafter {
    /// A drafter that assumes answers of `expected_answer` tokens until some have ended.
    pub(super) fn new(expected_answer: u64) -> Self {
        Self {
            texts: HashMap::new(),
            acceptance: AcceptanceEstimate::across_texts(),
            expected_answer: expected_answer as f64,
        }
    }
}

impl<M: Model> Drafter<M> for ModelDrafter {
    fn mode(&self) -> Speculation {
        Speculation::Auto
    }

    fn begin(&mut self, seq: SeqId) {
        self.texts.remove(&seq);
    }

    fn acceptance(&mut self, text: &DecodingText<'_>, model: &M) -> Option<f64> {
        let state = self.texts.entry(text.seq).or_default();
        let has_all = state.has_all(text.tokens, model.draft_tokens()?);
        let in_all_texts = self.acceptance.probability(PRIOR_ACCEPTANCE, 1.0);
        (has_all && state.pays(text, self.expected_answer as usize))
            .then(|| state.acceptance.probability(in_all_texts, OTHER_TEXTS_WEIGHT))
    }

    fn draft(
        &mut self,
        wanted: &[DraftRequest<'_>],
        model: &mut M,
        interrupt: &Interrupt<'_>,
        cost: &mut DraftingCost,
    ) -> Vec<Vec<Token>> {
        let began = Instant::now();
        let mut drafts = model.draft(wanted, interrupt);
        cost.time += began.elapsed();
        for (request, draft) in wanted.iter().zip(&mut drafts) {
            draft.truncate(request.n);
            let state = self.texts.entry(request.seq).or_default();
            cost.has_prefill |= !state.is_prefilled || draft.is_empty();
            state.is_prefilled = !draft.is_empty();
        }
        drafts
    }

    fn settle(&mut self, seq: SeqId, n_accepted: usize, n_verified: usize) {
        let Some(text) = self.texts.get_mut(&seq) else { return };
        for estimate in [&mut text.acceptance, &mut self.acceptance] {
            match n_verified {
                0 => estimate.skip(),
                _ => estimate.add_draft(n_accepted, n_verified),
            }
        }
    }

    fn observe_answer(&mut self, n_tokens: usize) {
        self.expected_answer += (n_tokens as f64 - self.expected_answer) * ANSWER_WEIGHT;
    }
}

/// What the drafter knows about one text.
#[derive(Debug, Default)]
struct ModelText {
    /// Acceptance in this text.
    acceptance: AcceptanceEstimate,
    /// Whether the draft model returned tokens when it was last asked, and so has prefilled the
    /// text.
    is_prefilled: bool,
    /// Number of tokens, from the start of the text, that are known to be in the draft model's
    /// vocabulary.
    n_in_vocabulary: usize,
}

impl ModelText {
    /// Whether the draft model's vocabulary has all `tokens` of this text. The vocabulary has the
    /// tokens below `n_shared`. Tokens that an earlier call has found are not checked again.
    fn has_all(&mut self, tokens: &[Token], n_shared: usize) -> bool {
        let is_shared = |&&token: &&Token| usize::try_from(token).is_ok_and(|id| id < n_shared);
        let unchecked = tokens.get(self.n_in_vocabulary..).unwrap_or_default();
        self.n_in_vocabulary += unchecked.iter().take_while(is_shared).count();
        self.n_in_vocabulary >= tokens.len()
    }

    /// Whether a draft is worth the prefill of the prompt: the answer is expected to be at least as
    /// long as the prompt, the prompt is short, or the draft model has prefilled it already. The
    /// answer is expected to have `expected_answer` tokens, or the number generated so far if that
    /// is larger, but no more than the text may have.
    fn pays(&self, text: &DecodingText<'_>, expected_answer: usize) -> bool {
        let &DecodingText { tokens, n_prompt, max_tokens, .. } = text;
        let max_answer = max_tokens.saturating_sub(n_prompt);
        let answer = expected_answer.max(tokens.len() - n_prompt).min(max_answer);
        self.is_prefilled || n_prompt <= SHORT_PROMPT_TOKENS || answer >= n_prompt
    }
}

/// Acceptance that is assumed before the first draft.
const PRIOR_ACCEPTANCE: f64 = 0.7;

/// Weight of the acceptance in other texts, in draft tokens of this one. (ADR-0009)
const OTHER_TEXTS_WEIGHT: f64 = 32.0;

/// Weight of the latest answer in the expected length of an answer.
const ANSWER_WEIGHT: f64 = 0.2;

/// Longest prompt in tokens that the draft model prefills in the time of a few steps. (ADR-0009)
const SHORT_PROMPT_TOKENS: usize = 64;
