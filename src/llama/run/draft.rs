//! The draft model: a small model with the same vocabulary that drafts tokens for the main model.
//!
//! It has its own context, with a sequence for the text of each slot. It prefills a limited number
//! of tokens per call, so that catching up with a long prompt does not delay a step. It drafts
//! greedily: each draft token is the most likely token. The main model verifies them (ADR-0009).

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;

use crate::domain::Token;
use crate::engine::{
    Batch, BatchToken, DRAFT_PREFILL_TOKENS, DecodeOutcome, DraftRequest, Interrupt, SeqId,
    StopFlag,
};

use super::context::{Context, ContextOptions};
use super::first_step::FirstStep;
use super::sampling::likeliest;

/// A loaded draft model.
pub(in crate::llama) struct DraftModel {
    context: Context,
    /// Number of consecutive calls of [`Self::draft`] in which a step failed.
    n_failures: u32,
    /// Number of tokens in the vocabularies of both this and the main model.
    n_shared_tokens: usize,
    /// The tokens of each slot in this model's KV cache.
    cached: Vec<Vec<Token>>,
}

impl DraftModel {
    /// Creates the draft model's context. `n_shared_tokens` is the number of tokens that it shares
    /// with the main model, which have the lowest ids. `None` if llama.cpp failed, which logged
    /// why.
    pub(in crate::llama) fn new(
        model: Arc<LlamaModel>,
        n_shared_tokens: usize,
        options: ContextOptions,
    ) -> Option<Self> {
        let cached = vec![Vec::new(); options.n_slots as usize];
        Some(Self {
            context: Context::new(model, options)?,
            n_failures: 0,
            n_shared_tokens,
            cached,
        })
    }

    /// Computes a first step with `tokens`, see [`FirstStep::of`].
    pub(in crate::llama) fn first_step(
        &mut self,
        tokens: &[Token],
        weight_bytes: u64,
        stop: &StopFlag,
    ) -> FirstStep {
        FirstStep::of(&mut self.context, tokens, weight_bytes, stop)
    }

    /// The id below which all tokens can be drafted, see [`crate::engine::Model::draft_tokens`].
    /// `None` once drafting has failed too often.
    pub(super) fn draft_tokens(&self) -> Option<usize> {
        (self.n_failures < MAX_FAILURES).then_some(self.n_shared_tokens)
    }

    /// Drafts tokens for each of the requests, see [`crate::engine::Model::draft`].
    pub(super) fn draft(
        &mut self,
        requests: &[DraftRequest<'_>],
        interrupt: &Interrupt<'_>,
    ) -> Vec<Vec<Token>> {
        let mut texts: Vec<DraftText> = requests.iter().map(DraftText::new).collect();
        let mut prefill_budget = DRAFT_PREFILL_TOKENS;
        let n_failures = self.n_failures;
        while self.step(&mut texts, &mut prefill_budget, interrupt) {}
        if self.n_failures == n_failures {
            self.n_failures = 0;
        }
        texts.into_iter().map(|mut text| text.tokens.split_off(text.n_given)).collect()
    }

    /// Changes the number of compute threads of the next steps.
    pub(super) fn set_threads(&mut self, n_threads: u32) {
        self.context.set_threads(n_threads);
    }

    /// Removes the positions of `seq` from `n` on.
    pub(super) fn truncate(&mut self, seq: SeqId, n: usize) {
        if let Some(cached) = self.cached.get_mut(seq as usize)
            && cached.len() > n
        {
            cached.truncate(n);
            self.context.truncate(seq, n);
        }
    }

    /// Computes one step: prefills at most `prefill_budget` tokens, and drafts one token for each
    /// text that is completely prefilled. Returns whether to compute another step.
    fn step(
        &mut self,
        texts: &mut [DraftText],
        prefill_budget: &mut usize,
        interrupt: &Interrupt<'_>,
    ) -> bool {
        let (batch, outputs) = self.plan_step(texts, prefill_budget);
        if batch.tokens.is_empty() || !self.decode(&batch, interrupt) {
            return false;
        }
        for &(index, i) in &outputs {
            match self.most_likely(index) {
                Some(token) => texts[i].tokens.push(token),
                None => texts[i].end_draft(),
            }
        }
        // Without outputs, the prefill budget is exhausted: the next call continues.
        !outputs.is_empty()
    }

    /// The batch of the next step. Its outputs are pairs of an index in the batch and an index in
    /// `texts`.
    fn plan_step(
        &mut self,
        texts: &[DraftText],
        prefill_budget: &mut usize,
    ) -> (Batch, Vec<(usize, usize)>) {
        let mut batch = Batch::default();
        let mut outputs = Vec::new();
        let mut pending: Vec<(usize, usize)> = texts
            .iter()
            .enumerate()
            .filter(|(_, text)| text.tokens.len() < text.target_len)
            .filter_map(|(i, text)| Some((self.n_pending(text)?, i)))
            .collect();
        // Texts that can be drafted soon come before texts with a long prompt to prefill.
        pending.sort_unstable();
        for (n_pending, i) in pending {
            let text = &texts[i];
            let start = text.tokens.len() - n_pending;
            self.truncate(text.seq, start);
            // The last token, which outputs logits, does not count towards the budget.
            let n_prefill = (n_pending - 1).min(*prefill_budget);
            *prefill_budget -= n_prefill;
            let is_complete = n_prefill == n_pending - 1;
            let end = if is_complete { text.tokens.len() } else { start + n_prefill };
            for pos in start..end {
                let has_output = pos + 1 == text.tokens.len();
                if has_output {
                    outputs.push((batch.tokens.len(), i));
                }
                let token = text.tokens[pos];
                batch.tokens.push(BatchToken { token, pos, seq: text.seq, has_output });
            }
        }
        (batch, outputs)
    }

    /// Number of tokens at the end of `text` to compute before the next one can be drafted, at
    /// least 1. `None` if the text's sequence is not a slot's.
    fn n_pending(&self, text: &DraftText) -> Option<usize> {
        let cached = self.cached.get(text.seq as usize)?;
        let n_common = cached.iter().zip(&text.tokens).take_while(|(a, b)| a == b).count();
        // If all tokens are cached, the last one is computed again for its logits.
        Some((text.tokens.len() - n_common).max(1))
    }

    /// Computes `batch`. Returns false if the step was cancelled or failed.
    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> bool {
        match self.context.decode(batch, interrupt) {
            DecodeOutcome::Done => {
                for &BatchToken { token, seq, .. } in &batch.tokens {
                    self.cached[seq as usize].push(token);
                }
                true
            }
            DecodeOutcome::Cancelled => {
                // Parts of the batch may have been computed.
                for (seq, cached) in self.cached.iter().enumerate() {
                    self.context.truncate(seq as SeqId, cached.len());
                }
                false
            }
            DecodeOutcome::Failed(reason) => {
                self.n_failures += 1;
                let is_last = self.n_failures == MAX_FAILURES;
                let end = if is_last { " and is not used any more" } else { "" };
                tracing::warn!(reason, "the draft model could not compute a step{end}");
                for (seq, cached) in self.cached.iter_mut().enumerate() {
                    self.context.truncate(seq as SeqId, 0);
                    cached.clear();
                }
                false
            }
        }
    }

    /// The most likely shared token of output `index` of the last step. `None` if no logit is
    /// finite.
    fn most_likely(&mut self, index: usize) -> Option<Token> {
        let n_shared_tokens = self.n_shared_tokens;
        let logits = self.context.logits(index)?.get(..n_shared_tokens)?;
        Token::try_from(likeliest(logits)?).ok()
    }
}

/// Consecutive failed drafts after which the draft model is not used any more: the cause is
/// unlikely to go away.
const MAX_FAILURES: u32 = 3;

/// A text for which tokens are drafted.
struct DraftText {
    seq: SeqId,
    /// The tokens of the request, followed by the draft tokens.
    tokens: Vec<Token>,
    /// Number of tokens of the request.
    n_given: usize,
    /// The length of `tokens` at which the draft is complete.
    target_len: usize,
}

impl DraftText {
    fn new(&DraftRequest { seq, tokens, n }: &DraftRequest<'_>) -> Self {
        let n_given = tokens.len();
        Self { seq, tokens: tokens.to_vec(), n_given, target_len: n_given + n }
    }

    /// Drafts no more tokens.
    fn end_draft(&mut self) {
        self.target_len = self.tokens.len();
    }
}
