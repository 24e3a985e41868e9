//! Asks the drafters for the drafts of a step, and learns from the results.
//!
//! The speculator measures what steps with drafts of each drafter cost. The drafters know how often
//! their drafts were accepted, and [`policy`](super::policy) chooses the lengths from both.

use crate::engine::model::{CancelFlag, DraftRequest, Interrupt, Model, SeqId, StopFlag};

use super::costs::StepCosts;
use super::draft_model::ModelDrafter;
use super::drafter::Drafter;
use super::ngram::NgramDrafter;
use super::policy::{DraftCandidate, DraftCosts, StepForecast, draft_lengths};
use super::text::{DecodingText, Draft, DraftingCost};

/// All drafters, and the costs of steps.
pub(in crate::engine) struct Speculator<M> {
    /// Minimum ratio of the expected throughput with drafts to that without. With 0, as many tokens
    /// as possible are drafted.
    margin: f64,
    /// In order of preference: a text gets its draft from the first drafter that drafts for it.
    /// Each takes more time than those before it.
    drafters: Vec<Box<dyn Drafter<M>>>,
    /// Costs of steps by the last drafter that was asked, including the time of the drafters. Those
    /// of the first drafter include steps without drafts.
    costs: StepCosts,
    /// Number of steps that drafts were planned for. Determines which text gets drafts first.
    rotation: usize,
}

impl<M: Model> Speculator<M> {
    /// A speculator that drafts if the expected throughput is above `margin_percent` of that
    /// without drafts. It assumes answers of `expected_answer` tokens until some have ended.
    pub(in crate::engine) fn new(margin_percent: u32, expected_answer: u64) -> Self {
        let drafters: Vec<Box<dyn Drafter<M>>> =
            vec![Box::new(NgramDrafter::default()), Box::new(ModelDrafter::new(expected_answer))];
        let costs = StepCosts::new(drafters.len());
        Self { margin: f64::from(margin_percent) / 100.0, drafters, costs, rotation: 0 }
    }

    /// Drafts tokens for a step with one token of each of `texts`, at most `max_tokens` together.
    /// Returns one draft for each text. Drafting ends early when `stop` is set.
    pub(in crate::engine) fn propose(
        &mut self,
        model: &mut M,
        texts: &mut [DecodingText<'_>],
        max_tokens: usize,
        stop: &StopFlag,
    ) -> (Vec<Draft>, DraftingCost) {
        for text in texts.iter_mut().filter(|text| !text.speculation.is_begun) {
            self.drafters.iter_mut().for_each(|drafter| drafter.begin(text.seq));
            text.speculation.is_begun = true;
        }
        // The draft tokens of a step may not suffice for all texts, so each step begins with
        // another text.
        self.rotation = self.rotation.wrapping_add(1);
        let mut undrafted: Vec<usize> = (0..texts.len()).collect();
        undrafted.rotate_left(self.rotation % texts.len().max(1));

        let mut forecast = StepForecast::without_drafts(texts.len());
        let mut cost = DraftingCost::default();
        let mut drafts: Vec<Draft> = texts.iter().map(|_| Draft::default()).collect();
        draft_forced(texts, &undrafted, max_tokens, &mut forecast, &mut drafts);
        undrafted.retain(|&i| drafts[i].tokens.is_empty());
        for id in 0..self.drafters.len() {
            let candidates = self.candidates(id, model, texts, &undrafted);
            let lengths = self.choose_lengths(id, &candidates, max_tokens, cost, &mut forecast);
            let chosen: Vec<(usize, usize)> =
                undrafted.iter().copied().zip(lengths).filter(|&(_, n)| n > 0).collect();
            if chosen.is_empty() {
                continue;
            }
            let request = |&(i, n): &(usize, usize)| {
                let DecodingText { seq, tokens, .. } = texts[i];
                DraftRequest { seq, tokens, n }
            };
            let requests: Vec<DraftRequest<'_>> = chosen.iter().map(request).collect();
            let cancel: Vec<CancelFlag> =
                chosen.iter().map(|&(i, _)| texts[i].cancel.clone()).collect();
            let interrupt = Interrupt { requests: &cancel, stop };
            cost.drafter = id;
            let tokens = self.drafters[id].draft(&requests, model, &interrupt, &mut cost);
            for (&(i, _), tokens) in chosen.iter().zip(tokens) {
                drafts[i] = Draft { tokens, drafter: Some(id) };
            }
            undrafted.retain(|&i| drafts[i].drafter.is_none());
        }
        (drafts, cost)
    }

    /// Learns the result of a draft for `seq`, of which `n_accepted` tokens were accepted.
    /// `is_last` says that the answer ended, so that the tokens after these were not verified.
    pub(in crate::engine) fn settle(
        &mut self,
        seq: SeqId,
        draft: &Draft,
        n_accepted: usize,
        is_last: bool,
    ) {
        for (id, drafter) in self.drafters.iter_mut().enumerate() {
            let n_drafted = if draft.drafter == Some(id) { draft.tokens.len() } else { 0 };
            let n_accepted = n_accepted.min(n_drafted);
            let n_verified = if is_last { n_accepted } else { n_drafted };
            drafter.settle(seq, n_accepted, n_verified);
        }
    }

    /// Learns that a step of `n_tokens` tokens, none of them prompt tokens, took `seconds`,
    /// including the time of its drafters.
    pub(in crate::engine) fn observe_step(
        &mut self,
        cost: DraftingCost,
        n_tokens: usize,
        seconds: f64,
    ) {
        if !cost.has_prefill {
            self.costs.observe(cost.drafter, n_tokens, seconds);
        }
    }

    /// Learns that an answer ended after `n_tokens` tokens.
    pub(in crate::engine) fn observe_answer(&mut self, n_tokens: usize) {
        self.drafters.iter_mut().for_each(|drafter| drafter.observe_answer(n_tokens));
    }

    /// Chooses how many tokens drafter `id` drafts for each candidate, after the drafters before it
    /// have added to `forecast` and `so_far`. Adds the drafts to `forecast`, which then has at most
    /// `max_tokens` draft tokens.
    pub(super) fn choose_lengths(
        &self,
        id: usize,
        candidates: &[DraftCandidate],
        max_tokens: usize,
        so_far: DraftingCost,
        forecast: &mut StepForecast,
    ) -> Vec<usize> {
        let costs = DraftCosts {
            without_drafts: self.costs.measured(0, forecast.n_streams),
            so_far: self.costs.measured(so_far.drafter, forecast.n_tokens),
            with_drafts: &|n_tokens| self.costs.estimate(id, n_tokens),
        };
        let lengths = draft_lengths(candidates, forecast, &costs, self.margin, max_tokens);
        for (&candidate, &n) in candidates.iter().zip(&lengths).filter(|&(_, &n)| n > 0) {
            forecast.add(candidate, n);
        }
        lengths
    }

    /// What drafter `id` expects of each of the `undrafted` texts; an acceptance of 0 where it
    /// cannot draft.
    fn candidates(
        &mut self,
        id: usize,
        model: &M,
        texts: &[DecodingText<'_>],
        undrafted: &[usize],
    ) -> Vec<DraftCandidate> {
        let drafter = &mut self.drafters[id];
        let mode = drafter.mode();
        let candidate = |&i: &usize| {
            let text = &texts[i];
            let is_allowed = text.speculation.modes.contains(&mode);
            let acceptance = if is_allowed { drafter.acceptance(text, model) } else { None };
            DraftCandidate {
                acceptance: acceptance.unwrap_or(0.0),
                max_tokens: text.max_tokens.saturating_sub(text.tokens.len()),
            }
        };
        undrafted.iter().map(candidate).collect()
    }
}

/// Drafts the tokens that have to follow, at most `max_tokens` together. They cost no more than
/// steps of their own, so they need no forecast of their acceptance. Texts that can follow in
/// several ways wait for the longer step, so beside these there are fewer.
fn draft_forced(
    texts: &[DecodingText<'_>],
    undrafted: &[usize],
    max_tokens: usize,
    forecast: &mut StepForecast,
    drafts: &mut [Draft],
) {
    let has_others = texts.iter().any(|text| text.forced.is_empty());
    let mut left = if has_others { max_tokens.min(MAX_FORCED_BESIDE_OTHERS) } else { max_tokens };
    for &i in undrafted {
        let text = &texts[i];
        if text.speculation.modes.is_empty() {
            continue;
        }
        let most = left.min(text.max_tokens.saturating_sub(text.tokens.len()));
        let n = text.forced.len().min(most);
        if n > 0 {
            left -= n;
            forecast.add(DraftCandidate { acceptance: 1.0, max_tokens: n }, n);
            drafts[i].tokens = text.forced[..n].to_vec();
        }
    }
}

/// Most forced tokens in a step with texts that have none (ADR-0045).
const MAX_FORCED_BESIDE_OTHERS: usize = 15;
