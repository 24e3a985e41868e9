//! Prompt lookup: drafts what followed the last few tokens when they occurred earlier in the text.
//!
//! This is prompt lookup decoding (A. Saxena, 2023) with one addition: every generated token is
//! compared with the prediction, also while nothing is drafted. So the acceptance estimate of a
//! text needs no draft tokens.

use std::collections::HashMap;

use crate::domain::{Speculation, Token};
use crate::engine::model::{DraftRequest, Interrupt, Model, SeqId};

use super::acceptance::AcceptanceEstimate;
use super::drafter::Drafter;
use super::text::{DecodingText, DraftingCost};

/// N-gram lookup as a drafter.
#[derive(Debug, Default)]
pub(super) struct NgramDrafter {
    /// The index of each text, by its sequence.
    texts: HashMap<SeqId, NgramLookup>,
}

impl<M: Model> Drafter<M> for NgramDrafter {
    fn mode(&self) -> Speculation {
        Speculation::Ngram
    }

    fn begin(&mut self, seq: SeqId) {
        self.texts.remove(&seq);
    }

    fn acceptance(&mut self, text: &DecodingText<'_>, _: &M) -> Option<f64> {
        let lookup = self.texts.entry(text.seq).or_default();
        lookup.extend(text.tokens, text.n_prompt);
        lookup.acceptance()
    }

    fn draft(
        &mut self,
        wanted: &[DraftRequest<'_>],
        _: &mut M,
        _: &Interrupt<'_>,
        _: &mut DraftingCost,
    ) -> Vec<Vec<Token>> {
        let draft = |request: &DraftRequest<'_>| {
            let lookup = self.texts.get(&request.seq);
            lookup.map(|lookup| lookup.draft(request.tokens, request.n)).unwrap_or_default()
        };
        wanted.iter().map(draft).collect()
    }
}

/// The n-gram index of one text, and the position in the text that it predicts from.
#[derive(Debug, Default)]
struct NgramLookup {
    /// For each n-gram, the position after its latest occurrence.
    continuations: HashMap<[Token; NGRAM_TOKENS], usize>,
    /// Number of tokens that were indexed.
    n_indexed: usize,
    /// Position of the predicted next token, while the text repeats an earlier part of itself.
    predicted: Option<usize>,
    /// Number of predictions that were correct since `predicted` was last looked up.
    n_matched: u32,
    /// From predictions, drafted or not.
    acceptance: AcceptanceEstimate,
}

impl NgramLookup {
    /// Indexes the tokens of `text` that were added since the last call, and compares each with its
    /// prediction. The first `n_prompt` tokens are the prompt; drafts never predict those, so they
    /// do not count.
    fn extend(&mut self, text: &[Token], n_prompt: usize) {
        for end in self.n_indexed..text.len() {
            if end >= n_prompt {
                self.check_prediction(text, end);
            }
            if let Some(ngram) = ngram_before(text, end) {
                self.continuations.insert(ngram, end);
            }
        }
        self.n_indexed = self.n_indexed.max(text.len());
        if self.predicted.is_none() {
            self.n_matched = 0;
            self.predicted = ngram_before(text, text.len())
                .and_then(|ngram| self.continuations.get(&ngram).copied());
        }
    }

    /// The probability that the next draft token is accepted; `None` if there is no prediction.
    fn acceptance(&self) -> Option<f64> {
        self.predicted?;
        // A coincidental match ends soon, and a long match is likely to go on. Laplace's rule of
        // succession gives an upper bound from the length of the match.
        let matched = f64::from(self.n_matched);
        let bound = (matched + 2.0) / (matched + 3.0);
        Some(self.acceptance.probability(PRIOR_ACCEPTANCE, 1.0).min(bound))
    }

    /// Drafts the `n` tokens that are predicted to follow `text`; none if there is no prediction.
    /// All of `text` must have been indexed.
    fn draft(&self, text: &[Token], n: usize) -> Vec<Token> {
        let Some(start) = self.predicted else { return Vec::new() };
        let mut draft: Vec<Token> = Vec::with_capacity(n);
        for i in start..start + n {
            // In a text that repeats a cycle, the prediction runs past the end of the text and into
            // the draft.
            let token = text.get(i).copied().or_else(|| draft.get(i - text.len()).copied());
            draft.extend(token);
        }
        draft
    }

    /// Compares the token at position `end` with its prediction, if there was one.
    fn check_prediction(&mut self, text: &[Token], end: usize) {
        let Some(predicted) = self.predicted else { return };
        let is_correct = text[predicted] == text[end];
        self.acceptance.add(is_correct);
        if is_correct {
            self.n_matched += 1;
            self.predicted = Some(predicted + 1);
        } else {
            self.predicted = None;
        }
    }
}

/// The n-gram that ends before position `end`; `None` if the text is too short.
fn ngram_before(text: &[Token], end: usize) -> Option<[Token; NGRAM_TOKENS]> {
    text[..end].last_chunk().copied()
}

/// Number of tokens of an n-gram. Shorter ones occur in too many places, longer ones rarely recur.
const NGRAM_TOKENS: usize = 3;

/// Acceptance probability that is assumed in a text without any predictions so far.
const PRIOR_ACCEPTANCE: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    /// The lookup after the tokens of the answer were added one by one.
    fn lookup_over(text: &[Token], n_prompt: usize) -> NgramLookup {
        let mut lookup = NgramLookup::default();
        for n in n_prompt..=text.len() {
            lookup.extend(&text[..n], n_prompt);
        }
        lookup
    }

    #[test]
    fn repeated_ngram_drafts_its_earlier_continuation() {
        let text = [1, 2, 3, 4, 5, 6, 9, 1, 2, 3];
        let lookup = lookup_over(&text, text.len());
        assert_eq!(lookup.draft(&text, 3), [4, 5, 6]);
    }

    #[test]
    fn text_without_repetition_drafts_nothing() {
        let lookup = lookup_over(&[1, 2, 3, 4, 5], 2);
        assert_eq!(lookup.draft(&[1, 2, 3, 4, 5], 3), [0; 0]);
        assert_eq!(lookup.acceptance(), None);
    }

    #[test]
    fn cyclic_text_drafts_beyond_its_end() {
        let text = [7, 1, 2, 1, 2, 1, 2];
        let lookup = lookup_over(&text, 2);
        assert_eq!(lookup.draft(&text, 5), [1, 2, 1, 2, 1]);
    }

    #[test]
    fn acceptance_rises_with_correct_predictions_and_falls_with_wrong_ones() {
        let mut text: Vec<Token> = (0..40).collect();
        let n_prompt = text.len();
        text.extend(10..13);
        let fresh = lookup_over(&text, n_prompt).acceptance().unwrap();
        text.extend(13..25);
        let matched = lookup_over(&text, n_prompt).acceptance().unwrap();
        assert!(fresh < 0.5 && matched > 0.8, "{fresh} {matched}");
        text.extend([99, 30, 31, 32]);
        let mismatched = lookup_over(&text, n_prompt).acceptance().unwrap();
        assert!(mismatched > 0.0 && mismatched < matched, "{mismatched}");
    }
}
