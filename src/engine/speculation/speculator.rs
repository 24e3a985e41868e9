//! Chooses draft lengths for each step, and learns from the results.
//!
//! The speculator knows the costs of steps and the results of earlier drafts across all texts. What
//! it knows about a single text is in [`SlotDrafts`]. It never drafts itself.

use super::acceptance::AcceptanceEstimate;
use super::costs::StepCosts;
use super::drafter::Drafter;
use super::forecast::{DRAFT_LENGTHS, DraftCandidate, StepForecast};
use super::slot_drafts::SlotDrafts;

/// Compares the measured costs of steps with the expected gain of drafts.
#[derive(Debug)]
pub(in crate::engine) struct Speculator {
    /// Minimum ratio of the expected throughput with drafts to that without. With 0, as many tokens
    /// as possible are drafted.
    margin: f64,
    /// Costs of steps without drafts or with n-gram drafts only.
    ngram_costs: StepCosts,
    /// Costs of steps for which the draft model was asked, including the time it took.
    model_costs: StepCosts,
    /// Acceptance of the draft model in all texts: the prior for a new text.
    model_acceptance: AcceptanceEstimate,
    /// Expected length of an answer in tokens: a moving average over the answers that ended.
    expected_answer: f64,
}

/// The result of one text's draft in a step.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct DraftResult {
    /// Number of draft tokens that were computed.
    pub(in crate::engine) n_drafted: usize,
    /// Number of draft tokens that were accepted.
    pub(in crate::engine) n_accepted: usize,
    /// Whether the answer ended, so that the tokens after the last accepted one were not verified.
    pub(in crate::engine) is_last: bool,
}

impl Speculator {
    /// A speculator that drafts if the expected throughput is above `margin_percent` of that
    /// without drafts. It assumes answers of `expected_answer` tokens until some have ended.
    pub(in crate::engine) fn new(margin_percent: u32, expected_answer: u64) -> Self {
        Self {
            margin: f64::from(margin_percent) / 100.0,
            ngram_costs: StepCosts::default(),
            model_costs: StepCosts::default(),
            model_acceptance: AcceptanceEstimate::across_texts(),
            expected_answer: expected_answer as f64,
        }
    }

    /// Chooses how many tokens `drafter` drafts for each candidate, at most `max_tokens` together.
    /// Adds the drafts to `forecast`.
    ///
    /// All streams wait for the longer step, so drafting for all may pay where drafting for one
    /// does not. All lengths are therefore tried for the candidate with the highest acceptance
    /// alone, for the two with the highest, and so on. Candidates of about equal acceptance keep
    /// their order.
    pub(in crate::engine) fn choose_lengths(
        &self,
        drafter: Drafter,
        candidates: &[DraftCandidate],
        max_tokens: usize,
        forecast: &mut StepForecast,
    ) -> Vec<usize> {
        let mut lengths = vec![0; candidates.len()];
        let mut ranked: Vec<usize> =
            (0..candidates.len()).filter(|&i| candidates[i].acceptance > 0.0).collect();
        if self.margin == 0.0 {
            let mut left = max_tokens;
            for i in ranked {
                lengths[i] = candidates[i].longest_draft(left);
                left -= lengths[i];
                forecast.add(candidates[i], lengths[i]);
            }
            return lengths;
        }
        // Candidates are ranked by acceptance in steps of a tenth below the best. Drafting for a
        // text raises its estimate a little, and texts of about the same acceptance must still
        // alternate.
        let best = candidates.iter().map(|candidate| candidate.acceptance).fold(0.0, f64::max);
        ranked.sort_by_key(|&i| (10.0 * (best - candidates[i].acceptance)) as u32);

        let by_rank: Vec<DraftCandidate> = ranked.iter().map(|&i| candidates[i]).collect();
        let choice = self.best_choice(drafter, &by_rank, max_tokens, forecast);
        for &i in &ranked[..choice.n_candidates] {
            lengths[i] = candidates[i].longest_draft(choice.length);
            forecast.add(candidates[i], lengths[i]);
        }
        lengths
    }

    /// The draft length, and the number of first `candidates` to draft for, with the highest
    /// expected throughput within [`MAX_LOST_TOKENS`]. No candidates if no choice exceeds the
    /// throughput of `forecast` by the margin, or if the cost of `forecast` is not measured yet.
    fn best_choice(
        &self,
        drafter: Drafter,
        candidates: &[DraftCandidate],
        max_tokens: usize,
        forecast: &StepForecast,
    ) -> DraftChoice {
        let so_far = self.ngram_costs.measured(forecast.n_tokens);
        let without_drafts = self.ngram_costs.measured(forecast.n_streams);
        let Some((so_far, without_drafts)) = so_far.zip(without_drafts) else {
            return DraftChoice::default();
        };
        let costs = self.costs(drafter);
        let expected = forecast.expected_tokens();
        let mut best =
            DraftChoice { throughput: expected / so_far * self.margin, ..DraftChoice::default() };
        // A step size without a measurement is assumed to cost no more than the next smaller one,
        // so that it is tried and measured. Only the smallest unmeasured size is tried, as it costs
        // the least if the assumption is wrong.
        let mut smaller_costs = vec![Some(so_far); candidates.len()];
        for length in DRAFT_LENGTHS {
            let mut n_drafted = 0;
            let mut gains = Vec::with_capacity(candidates.len());
            for (i, candidate) in candidates.iter().enumerate() {
                let n = candidate.longest_draft(length);
                n_drafted += n;
                if n_drafted > max_tokens {
                    break;
                }
                gains.push(candidate.expected_accepted(n));
                let Some(smaller_cost) = smaller_costs[i] else { continue };
                let measured = costs.estimate(forecast.n_tokens + n_drafted);
                let cost = measured.unwrap_or(smaller_cost);
                let throughput = (expected + gains.iter().sum::<f64>()) / cost;
                let loss = forecast.loss(&gains, cost / without_drafts);
                if throughput > best.throughput && loss <= MAX_LOST_TOKENS {
                    best = DraftChoice { throughput, length, n_candidates: i + 1 };
                }
                smaller_costs[i] = measured;
            }
        }
        best
    }

    /// Learns that a step of `n_tokens` tokens, none of them prompt tokens, took `seconds`,
    /// including the time of the draft model.
    pub(in crate::engine) fn observe_step(
        &mut self,
        drafter: Drafter,
        n_tokens: usize,
        seconds: f64,
    ) {
        let (used, other) = match drafter {
            Drafter::Ngram => (&mut self.ngram_costs, &mut self.model_costs),
            Drafter::Model => (&mut self.model_costs, &mut self.ngram_costs),
        };
        used.observe(n_tokens, seconds);
        other.skip(seconds);
    }

    /// The probability that `drafter`'s next token for a text is accepted; 0 if it has no
    /// prediction.
    pub(in crate::engine) fn acceptance(&self, drafter: Drafter, drafts: &SlotDrafts) -> f64 {
        match drafter {
            Drafter::Ngram => drafts.ngram.acceptance(),
            Drafter::Model => {
                let in_all_texts = self.model_acceptance.probability(PRIOR_MODEL_ACCEPTANCE, 1.0);
                drafts.model_acceptance.probability(in_all_texts, OTHER_TEXTS_WEIGHT)
            }
        }
    }

    /// Learns that the draft model is not asked for the next token of a text.
    pub(in crate::engine) fn skip_draft_model(&mut self, drafts: &mut SlotDrafts) {
        drafts.model_acceptance.skip();
        self.model_acceptance.skip();
    }

    /// Learns the result of a text's draft; `drafter` is `None` if no drafter was asked.
    pub(in crate::engine) fn settle(
        &mut self,
        drafts: &mut SlotDrafts,
        drafter: Option<Drafter>,
        result: DraftResult,
    ) {
        if drafter == Some(Drafter::Model) {
            let DraftResult { n_drafted, n_accepted, is_last } = result;
            let n_verified = if is_last { n_accepted } else { n_drafted };
            drafts.model_acceptance.add_draft(n_accepted, n_verified);
            self.model_acceptance.add_draft(n_accepted, n_verified);
        }
    }

    /// Learns that an answer ended after `n_tokens` tokens.
    pub(in crate::engine) fn observe_answer(&mut self, n_tokens: usize) {
        self.expected_answer += (n_tokens as f64 - self.expected_answer) * ANSWER_WEIGHT;
    }

    /// Expected length of an answer in tokens, from the answers so far.
    pub(in crate::engine) fn expected_answer(&self) -> usize {
        self.expected_answer as usize
    }

    /// The costs of steps with drafts of `drafter`.
    fn costs(&self, drafter: Drafter) -> &StepCosts {
        match drafter {
            Drafter::Ngram => &self.ngram_costs,
            Drafter::Model => &self.model_costs,
        }
    }
}

/// A draft length for the first `n_candidates` candidates.
#[derive(Debug, Default)]
struct DraftChoice {
    /// Expected tokens per second. A better choice has to exceed this.
    throughput: f64,
    /// In tokens.
    length: usize,
    /// 0 if nothing is to be drafted.
    n_candidates: usize,
}

/// Number of tokens that all streams of a step together may lose by its drafts. If one stream gets
/// no draft, a step may take a quarter longer; if four get none, a sixteenth. (ADR-0009)
const MAX_LOST_TOKENS: f64 = 0.25;

/// Acceptance of the draft model that is assumed before its first draft.
const PRIOR_MODEL_ACCEPTANCE: f64 = 0.7;

/// Weight of the draft model's acceptance in other texts, in draft tokens of this one. (ADR-0009)
const OTHER_TEXTS_WEIGHT: f64 = 32.0;

/// Weight of the latest answer in the expected length of an answer.
const ANSWER_WEIGHT: f64 = 0.2;
