//! Draft tokens for the decoding slots of a step, and their results.
//!
//! N-gram lookup drafts first, because it needs no computation of a model. The draft model drafts
//! for the slots for which n-gram lookup drafted nothing. The
//! [`Speculator`](crate::engine::speculation) chooses the lengths; this file asks the drafters and
//! settles what was accepted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::Token;
use crate::engine::model::{CancelFlag, DraftRequest, Interrupt, Model};
use crate::engine::speculation::{DraftCandidate, DraftResult, Drafter, StepForecast};

use super::Scheduler;
use super::slot::Slot;

/// The draft tokens of one slot in a step.
#[derive(Debug, Default)]
pub(super) struct DraftTokens {
    /// The tokens that are drafted to follow the slot's text; may be empty.
    pub(super) tokens: Vec<Token>,
    /// The drafter that was asked, if any. The draft model may have returned no tokens.
    pub(super) drafter: Option<Drafter>,
}

/// The draft tokens of a step.
#[derive(Debug, Default)]
pub(super) struct StepDrafts {
    /// By index of the slot.
    by_slot: HashMap<usize, DraftTokens>,
    /// How long the draft model took, even if it returned no tokens; `None` if it was not asked.
    pub(super) draft_model_time: Option<Duration>,
    /// Whether the draft model also prefilled, so that its time says nothing about later steps.
    pub(super) has_prefill: bool,
}

impl StepDrafts {
    /// Takes the draft tokens of slot `i`.
    pub(super) fn take(&mut self, i: usize) -> DraftTokens {
        self.by_slot.remove(&i).unwrap_or_default()
    }
}

impl<M: Model> Scheduler<M> {
    /// Drafts tokens for a step in which every decoding slot gets one token and no slot prefills.
    /// The draft model stops early when `stop` is set.
    pub(super) fn draft(&mut self, stop: &CancelFlag) -> StepDrafts {
        let is_decoding = |i: &usize| self.slots[*i].as_ref().is_some_and(Slot::can_decode);
        let mut slots: Vec<usize> = (0..self.slots.len()).filter(is_decoding).collect();
        let n_decoding = slots.len();
        // The draft tokens of a step may not suffice for all slots, so each step begins with
        // another slot.
        self.draft_rotation = self.draft_rotation.wrapping_add(1);
        slots.rotate_left(self.draft_rotation % n_decoding.max(1));
        slots.retain(|&i| self.slots[i].as_ref().is_some_and(Slot::may_draft));

        let mut forecast = StepForecast::without_drafts(n_decoding);
        let mut drafts = StepDrafts::default();
        let max_tokens = self.limits.n_draft.min(self.limits.n_ubatch.saturating_sub(n_decoding));
        let n_drafted = self.draft_by_ngram(&slots, max_tokens, &mut forecast, &mut drafts);
        slots.retain(|i| !drafts.by_slot.contains_key(i));
        slots.retain(|&i| self.draft_model_may_draft(i));
        if !slots.is_empty() {
            let left = max_tokens - n_drafted;
            let lengths = self.choose_lengths(Drafter::Model, &slots, left, &mut forecast);
            self.draft_by_model(slots.into_iter().zip(lengths).collect(), stop, &mut drafts);
        }
        drafts
    }

    /// Drafts by n-gram lookup for some of `slots`, at most `max_tokens` together. Returns the
    /// number of draft tokens.
    fn draft_by_ngram(
        &mut self,
        slots: &[usize],
        max_tokens: usize,
        forecast: &mut StepForecast,
        drafts: &mut StepDrafts,
    ) -> usize {
        for &i in slots {
            if let Some(slot) = &mut self.slots[i] {
                slot.drafts.ngram.extend(&slot.tokens, slot.n_prompt);
            }
        }
        let lengths = self.choose_lengths(Drafter::Ngram, slots, max_tokens, forecast);
        for (&i, &n) in slots.iter().zip(&lengths).filter(|&(_, &n)| n > 0) {
            let Some(slot) = &self.slots[i] else { continue };
            let tokens = slot.drafts.ngram.draft(&slot.tokens, n);
            drafts.by_slot.insert(i, DraftTokens { tokens, drafter: Some(Drafter::Ngram) });
        }
        lengths.iter().sum()
    }

    /// Whether the draft model may draft for slot `i`: it has all tokens of the text, and its
    /// prefill pays.
    fn draft_model_may_draft(&mut self, i: usize) -> bool {
        let Some(slot) = &mut self.slots[i] else { return false };
        let n_shared = self.model.draft_tokens();
        n_shared.is_some_and(|n| slot.drafts.draft_model_has_all(&slot.tokens, n))
            && slot.draft_model_pays(self.speculator.expected_answer())
    }

    /// Chooses how many tokens `drafter` drafts for each of `slots`, at most `max_tokens` together.
    fn choose_lengths(
        &self,
        drafter: Drafter,
        slots: &[usize],
        max_tokens: usize,
        forecast: &mut StepForecast,
    ) -> Vec<usize> {
        let candidate = |&i: &usize| {
            let slot = self.slots[i].as_ref();
            let acceptance =
                slot.map_or(0.0, |slot| self.speculator.acceptance(drafter, &slot.drafts));
            DraftCandidate { acceptance, max_tokens: slot.map_or(0, Slot::max_draft) }
        };
        let candidates: Vec<DraftCandidate> = slots.iter().map(candidate).collect();
        self.speculator.choose_lengths(drafter, &candidates, max_tokens, forecast)
    }

    /// Asks the draft model for the given number of tokens for each slot. Slots with 0 are skipped.
    fn draft_by_model(
        &mut self,
        mut wanted: Vec<(usize, usize)>,
        stop: &CancelFlag,
        drafts: &mut StepDrafts,
    ) {
        for &(i, _) in wanted.iter().filter(|&&(_, n)| n == 0) {
            if let Some(slot) = &mut self.slots[i] {
                self.speculator.skip_draft_model(&mut slot.drafts);
            }
        }
        wanted.retain(|&(_, n)| n > 0);
        if wanted.is_empty() {
            return;
        }
        let (requests, cancel): (Vec<_>, Vec<_>) = wanted
            .iter()
            .filter_map(|&(i, n)| {
                let slot = self.slots[i].as_ref()?;
                let request = DraftRequest { seq: slot.seq, tokens: &slot.tokens, n };
                Some((request, slot.job.cancel.clone()))
            })
            .unzip();
        let began = Instant::now();
        let drafted = self.model.draft(&requests, &Interrupt { requests: &cancel, stop });
        drafts.draft_model_time = Some(began.elapsed());
        for (&(i, n), mut tokens) in wanted.iter().zip(drafted) {
            tokens.truncate(n);
            if let Some(slot) = &mut self.slots[i] {
                let was_prefilled = slot.drafts.is_model_prefilled;
                slot.drafts.is_model_prefilled = !tokens.is_empty();
                drafts.has_prefill |= !was_prefilled || !slot.drafts.is_model_prefilled;
            }
            drafts.by_slot.insert(i, DraftTokens { tokens, drafter: Some(Drafter::Model) });
        }
    }

    /// Counts the result of a slot's draft, of which `n_accepted` tokens were accepted, and removes
    /// the rejected ones from the KV cache. `is_last` says that
    /// the answer ended, so that the tokens after the last accepted one were not verified.
    pub(super) fn settle_draft(
        &mut self,
        i: usize,
        draft: &DraftTokens,
        n_accepted: usize,
        is_last: bool,
    ) {
        let Some(slot) = &mut self.slots[i] else { return };
        let n_drafted = draft.tokens.len();
        let result = DraftResult { n_drafted, n_accepted, is_last };
        self.speculator.settle(&mut slot.drafts, draft.drafter, result);
        slot.n_drafted += n_drafted;
        slot.n_accepted += n_accepted;
        self.metrics.drafted(n_drafted, n_accepted);
        if n_accepted < n_drafted {
            self.model.truncate(slot.seq, slot.n_computed);
        }
    }
}
