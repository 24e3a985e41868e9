//! The draft model: a smaller one with the same vocabulary that guesses what the model will say.
//!
//! It has a context of its own and follows each slot's text there, a piece at a time, so that a
//! long prompt it has to catch up with holds up no step for long. Its guesses are its likeliest
//! tokens; whether they are right is for the model to say.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;

use crate::domain::Token;
use crate::engine::{
    Batch, BatchToken, DRAFT_PREFILL_TOKENS, DecodeOutcome, DraftRequest, Interrupt, SeqId,
    Vocabulary,
};

use super::candidates;
use super::context::{Context, ContextOptions};
use super::text::LlamaVocabulary;

/// Tokens by which two vocabularies may differ in number. Models of a family are padded to different
/// multiples behind their last token (151,936 of Qwen 2.5's smaller ones, 152,064 of its larger ones);
/// llama.cpp's server has the same limit.
const MOST_PADDING: u64 = 128;

/// How often in a row guessing may fail until nothing more is guessed: the reason will not go away.
const MOST_FAILURES: u32 = 3;

/// A loaded draft model.
pub(super) struct DraftModel {
    context: Context,
    /// How often guessing has failed in a row.
    n_failures: u32,
    /// Tokens that it and the model have.
    n_shared: usize,
    /// What each slot's sequence holds.
    held: Vec<Vec<Token>>,
}

/// A text that is being guessed.
struct Text {
    seq: SeqId,
    /// Its tokens with what was guessed behind them.
    tokens: Vec<Token>,
    n_given: usize,
    /// How long it shall become.
    goal: usize,
}

impl DraftModel {
    /// One that knows the first `n_shared` tokens of the model it guesses for. `None` where llama.cpp
    /// cannot set up the context.
    pub(super) fn new(
        model: Arc<LlamaModel>,
        n_shared: usize,
        options: ContextOptions,
    ) -> Option<Self> {
        let held = vec![Vec::new(); options.n_slots as usize];
        Some(Self { context: Context::new(model, options)?, n_failures: 0, n_shared, held })
    }

    /// See [`crate::engine::Model::draft_tokens`]; `None` where it has failed too often.
    pub(super) fn n_shared(&self) -> Option<usize> {
        (self.n_failures < MOST_FAILURES).then_some(self.n_shared)
    }

    /// See [`crate::engine::Model::draft`].
    pub(super) fn draft(
        &mut self,
        wanted: &[DraftRequest<'_>],
        interrupt: &Interrupt<'_>,
    ) -> Vec<Vec<Token>> {
        let mut texts: Vec<Text> = wanted
            .iter()
            .map(|&DraftRequest { seq, tokens, n }| Text {
                seq,
                tokens: tokens.to_vec(),
                n_given: tokens.len(),
                goal: tokens.len() + n,
            })
            .collect();
        let mut reads = DRAFT_PREFILL_TOKENS;
        let n_failures = self.n_failures;
        while self.advance(&mut texts, &mut reads, interrupt) {}
        if self.n_failures == n_failures {
            self.n_failures = 0;
        }
        texts.into_iter().map(|mut text| text.tokens.split_off(text.n_given)).collect()
    }

    /// Forgets the text of `seq` from position `n` on.
    pub(super) fn truncate(&mut self, seq: SeqId, n: usize) {
        if let Some(held) = self.held.get_mut(seq as usize)
            && held.len() > n
        {
            held.truncate(n);
            self.context.truncate(seq, n);
        }
    }

    /// How many tokens of `text` have to be computed before one can be guessed; `None` where it has
    /// no sequence.
    fn pending(&self, text: &Text) -> Option<usize> {
        let held = self.held.get(text.seq as usize)?;
        let same = held.iter().zip(&text.tokens).take_while(|(a, b)| a == b).count();
        // The last token is computed again where all are held: its numbers are wanted.
        Some((text.tokens.len() - same).max(1))
    }

    /// Reads what is new of the texts, at most `reads` tokens beside their last ones, and guesses one
    /// token more for those that are read to their end. False where there is nothing more to do in
    /// this step.
    fn advance(
        &mut self,
        texts: &mut [Text],
        reads: &mut usize,
        interrupt: &Interrupt<'_>,
    ) -> bool {
        let mut batch = Batch::default();
        let mut outputs = Vec::new();
        let mut pending: Vec<(usize, usize)> = texts
            .iter()
            .enumerate()
            .filter(|(_, text)| text.tokens.len() < text.goal)
            .filter_map(|(i, text)| Some((self.pending(text)?, i)))
            .collect();
        // Who has to catch up with a long prompt takes nothing from those that are to guess now.
        pending.sort_unstable();
        for (n, i) in pending {
            let text = &texts[i];
            let from = text.tokens.len() - n;
            self.truncate(text.seq, from);
            let read = (n - 1).min(*reads);
            *reads -= read;
            let upto = if read == n - 1 { text.tokens.len() } else { from + read };
            for pos in from..upto {
                let output = pos + 1 == text.tokens.len();
                if output {
                    outputs.push((batch.tokens.len(), i));
                }
                batch.tokens.push(BatchToken {
                    token: text.tokens[pos],
                    pos,
                    seq: text.seq,
                    output,
                });
            }
        }
        if batch.tokens.is_empty() {
            return false;
        }
        match self.context.decode(&batch, interrupt) {
            DecodeOutcome::Done => {}
            DecodeOutcome::Cancelled => {
                for (seq, held) in self.held.iter().enumerate() {
                    self.context.truncate(seq as SeqId, held.len());
                }
                return false;
            }
            DecodeOutcome::Failed(reason) => {
                self.n_failures += 1;
                let is_last = self.n_failures == MOST_FAILURES;
                let end = if is_last { " and guesses no more" } else { "" };
                tracing::warn!(reason, "the draft model could not compute a step{end}");
                for (seq, held) in self.held.iter_mut().enumerate() {
                    self.context.truncate(seq as SeqId, 0);
                    held.clear();
                }
                return false;
            }
        }
        for &BatchToken { token, seq, .. } in &batch.tokens {
            self.held[seq as usize].push(token);
        }
        for &(index, i) in &outputs {
            let n_shared = self.n_shared;
            let row = self.context.logits(index);
            let token = row.and_then(|row| candidates::likeliest(row.get(..n_shared)?));
            match token.and_then(|token| Token::try_from(token).ok()) {
                Some(token) => texts[i].tokens.push(token),
                None => texts[i].goal = texts[i].tokens.len(),
            }
        }
        // A text that was not read to its end goes on in the next step.
        !outputs.is_empty()
    }
}

/// Whether vocabularies of so many tokens can be the same but for padding.
pub(super) fn may_be_same(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= MOST_PADDING
}

/// How many tokens two vocabularies share, so that one model's are the other's; `None` where they name
/// different texts by the same number.
pub(super) fn shared_tokens(a: &LlamaVocabulary, b: &LlamaVocabulary) -> Option<usize> {
    let (of_a, of_b) = (a.n_tokens(), b.n_tokens());
    let n = of_a.min(of_b);
    let is_same = (0..).take(n).all(|id| a.piece(id) == b.piece(id));
    (is_same && may_be_same(of_a as u64, of_b as u64)).then_some(n)
}
