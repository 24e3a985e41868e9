//! Chooses draft lengths from step costs, acceptance estimates and limits. All functions are pure.
//!
//! All streams wait for the longer step, so drafting for all may pay where drafting for one does
//! not. All lengths are therefore tried for the candidate with the highest acceptance alone, for
//! the two with the highest, and so on.

/// The largest number of draft tokens in one step, for an engine with `slots` slots.
pub fn max_draft_tokens(slots: u32) -> u32 {
    const LONGEST_DRAFT: u32 = DRAFT_LENGTHS[DRAFT_LENGTHS.len() - 1] as u32;
    slots.saturating_mul(DRAFT_TOKENS_PER_SLOT).clamp(LONGEST_DRAFT, MAX_DRAFT_TOKENS)
}

/// The measured costs that the choice depends on, in seconds of a step.
#[derive(Clone, Copy)]
pub(super) struct DraftCosts<'a> {
    /// A step with one token for each stream.
    pub(super) without_drafts: Option<f64>,
    /// The step as it is planned so far.
    pub(super) so_far: Option<f64>,
    /// A step of the given number of tokens, with drafts of the drafter in question.
    pub(super) with_drafts: &'a dyn Fn(usize) -> Option<f64>,
}

/// Chooses how many tokens to draft for each of `candidates`, in addition to the step that is
/// `forecast` so far and with at most `max_tokens` draft tokens in the step.
///
/// The expected throughput must be more than `margin` times the throughput of `forecast`. With a
/// margin of 0, as many tokens as possible are drafted. Otherwise nothing is drafted while the
/// costs of `forecast` are not measured. Candidates of about equal acceptance keep their order.
pub(super) fn draft_lengths(
    candidates: &[DraftCandidate],
    forecast: &StepForecast,
    costs: &DraftCosts<'_>,
    margin: f64,
    max_tokens: usize,
) -> Vec<usize> {
    let mut left = max_tokens.saturating_sub(forecast.n_tokens - forecast.n_streams);
    if margin == 0.0 {
        let longest = |candidate: &DraftCandidate| {
            if candidate.acceptance == 0.0 {
                return 0;
            }
            let n = candidate.longest_draft(left);
            left -= n;
            n
        };
        return candidates.iter().map(longest).collect();
    }
    let ranked = by_acceptance(candidates);
    let in_order: Vec<DraftCandidate> = ranked.iter().map(|&i| candidates[i]).collect();
    let chosen = best_choice(&in_order, forecast, costs, margin, left).unwrap_or_default();
    let mut lengths = vec![0; candidates.len()];
    for (i, n) in ranked.into_iter().zip(chosen) {
        lengths[i] = n;
    }
    lengths
}

/// A text that may get draft tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftCandidate {
    /// The probability that a draft token is accepted, if all before it were.
    pub(super) acceptance: f64,
    /// The largest number of draft tokens that the text may get.
    pub(super) max_tokens: usize,
}

impl DraftCandidate {
    /// The largest of [`DRAFT_LENGTHS`] that is at most `n` and allowed for this text; 0 if none
    /// is.
    pub(super) fn longest_draft(self, n: usize) -> usize {
        let max = n.min(self.max_tokens);
        DRAFT_LENGTHS.into_iter().rfind(|&length| length <= max).unwrap_or(0)
    }

    /// The expected number of accepted tokens of a draft of `n` tokens.
    pub(super) fn expected_accepted(self, n: usize) -> f64 {
        (1..=n).map(|i| self.acceptance.powi(i as i32)).sum()
    }
}

/// The tokens of a step as far as it is planned, and those that it is expected to yield.
#[derive(Debug, Clone)]
pub(super) struct StepForecast {
    /// Number of decoding slots. Each yields one token in any case.
    pub(super) n_streams: usize,
    /// Number of tokens to compute.
    pub(super) n_tokens: usize,
    /// Expected number of accepted draft tokens, for each stream with a draft.
    gains: Vec<f64>,
}

impl StepForecast {
    /// A step that computes one token for each of `n_streams`.
    pub(super) fn without_drafts(n_streams: usize) -> Self {
        Self { n_streams, n_tokens: n_streams, gains: Vec::new() }
    }

    /// Adds a draft of `n` tokens for one stream.
    pub(super) fn add(&mut self, candidate: DraftCandidate, n: usize) {
        self.n_tokens += n;
        self.gains.push(candidate.expected_accepted(n));
    }

    /// Number of tokens that the step is expected to yield.
    pub(super) fn expected_tokens(&self) -> f64 {
        self.n_streams as f64 + self.gains.iter().sum::<f64>()
    }

    /// Number of tokens that all streams together lose if the step takes `slowdown` times as long
    /// as without drafts, and further streams get drafts with these `gains`. In the extra time each
    /// stream could have generated `slowdown - 1` tokens; the gain of its own draft reduces that,
    /// at most to 0.
    pub(super) fn loss(&self, gains: &[f64], slowdown: f64) -> f64 {
        let n_drafting = self.gains.len() + gains.len();
        let loss = |gain: &f64| (slowdown - 1.0 - gain).max(0.0);
        let of_drafting: f64 = self.gains.iter().chain(gains).map(loss).sum();
        of_drafting + loss(&0.0) * self.n_streams.saturating_sub(n_drafting) as f64
    }
}

/// The indices of the `candidates` with an acceptance above 0, the highest first.
///
/// Acceptance counts in steps of a tenth below the best. Drafting for a text raises its estimate a
/// little, and texts of about the same acceptance must still alternate.
fn by_acceptance(candidates: &[DraftCandidate]) -> Vec<usize> {
    let best = candidates.iter().map(|candidate| candidate.acceptance).fold(0.0, f64::max);
    let mut ranked: Vec<usize> =
        (0..candidates.len()).filter(|&i| candidates[i].acceptance > 0.0).collect();
    ranked.sort_by_key(|&i| (10.0 * (best - candidates[i].acceptance)) as u32);
    ranked
}

/// The lengths for the first of `candidates` that have the highest expected throughput within
/// [`MAX_LOST_TOKENS`]. `None` if none exceed the throughput of `forecast` by the margin, or if a
/// cost is missing.
fn best_choice(
    candidates: &[DraftCandidate],
    forecast: &StepForecast,
    costs: &DraftCosts<'_>,
    margin: f64,
    max_tokens: usize,
) -> Option<Vec<usize>> {
    let (without_drafts, so_far) = (costs.without_drafts?, costs.so_far?);
    let expected = forecast.expected_tokens();
    let mut best_throughput = expected / so_far * margin;
    let mut best = None;
    // A step size without a measurement is assumed to cost no more than the next smaller one, so
    // that it is tried and measured. Only the smallest unmeasured size is tried, as it costs the
    // least if the assumption is wrong.
    let mut smaller_costs = vec![Some(so_far); candidates.len()];
    for length in DRAFT_LENGTHS {
        let lengths: Vec<usize> = candidates.iter().map(|c| c.longest_draft(length)).collect();
        let mut gains = Vec::with_capacity(candidates.len());
        let mut n_drafted = 0;
        for (i, candidate) in candidates.iter().enumerate() {
            n_drafted += lengths[i];
            if n_drafted > max_tokens {
                break;
            }
            gains.push(candidate.expected_accepted(lengths[i]));
            let Some(smaller_cost) = smaller_costs[i] else { continue };
            smaller_costs[i] = (costs.with_drafts)(forecast.n_tokens + n_drafted);
            let cost = smaller_costs[i].unwrap_or(smaller_cost);
            let throughput = (expected + gains.iter().sum::<f64>()) / cost;
            let loss = forecast.loss(&gains, cost / without_drafts);
            if throughput > best_throughput && loss <= MAX_LOST_TOKENS {
                best_throughput = throughput;
                best = Some(lengths[..=i].to_vec());
            }
        }
    }
    best
}

/// Possible lengths of a draft, in tokens. Together with the token before the draft a slot has 2,
/// 4, 8 or 16 tokens in the step, as llama.cpp's matrix kernels process rows in groups of four.
/// Four lengths are soon measured. (ADR-0009)
pub(super) const DRAFT_LENGTHS: [usize; 4] = [1, 3, 7, 15];

/// Largest number of draft tokens in a step, for each slot. (ADR-0009)
const DRAFT_TOKENS_PER_SLOT: u32 = 3;

/// Largest number of draft tokens in a step, however many slots there are. Each takes the memory of
/// two rows of logits. (ADR-0009)
const MAX_DRAFT_TOKENS: u32 = 48;

/// Number of tokens that all streams of a step together may lose by its drafts. If one stream gets
/// no draft, a step may take a quarter longer; if four get none, a sixteenth. (ADR-0009)
const MAX_LOST_TOKENS: f64 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;

    /// A row: a reason, the number of streams, the texts that may get drafts (acceptance, largest
    /// number of tokens), the draft tokens of the step, and the expected lengths.
    type Row<'a> = (&'a str, usize, &'a [(f64, usize)], usize, &'a [usize]);

    const SECOND_IS_SHORT: [(f64, usize); 4] = [(0.95, 15), (0.95, 2), (0.95, 15), (0.95, 15)];

    const ROWS: [Row<'_>; 18] = [
        ("low acceptance", 1, &[(0.05, 15)], 15, &[0]),
        ("longer drafts with higher acceptance", 1, &[(0.6, 15)], 15, &[3]),
        ("longer drafts with higher acceptance", 1, &[(0.8, 15)], 15, &[7]),
        ("a lone stream delays no other", 1, &[(0.98, 15)], 15, &[15]),
        ("the text has no space for more", 1, &[(0.98, 10)], 15, &[7]),
        ("the step has no space for more", 1, &[(0.98, 15)], 10, &[7]),
        ("no prediction", 1, &[(0.0, 15)], 15, &[0]),
        ("full step", 60, &[(0.6, 15)], 15, &[0]),
        ("three more tokens take a quarter longer", 2, &[(0.98, 15)], 15, &[3]),
        ("a sixteenth is too little for any draft", 6, &[(0.98, 15)], 15, &[0]),
        ("all streams repeat themselves", 4, &[(0.95, 15); 4], 15, &[3; 4]),
        ("all streams repeat themselves", 8, &[(0.95, 15); 8], 15, &[1; 8]),
        ("the eighth stream would wait", 8, &[(0.95, 15); 7], 15, &[0; 7]),
        ("the second text is short", 4, &SECOND_IS_SHORT, 15, &[3, 1, 3, 3]),
        ("the second text ends", 3, &[(0.95, 15), (0.95, 0), (0.95, 15)], 15, &[1, 0, 1]),
        ("highest acceptance first", 3, &[(0.1, 15), (0.9, 15), (0.85, 15)], 15, &[0, 1, 1]),
        ("first among equals", 2, &[(0.87, 15), (0.92, 15)], 3, &[3, 0]),
        ("no texts", 3, &[], 15, &[]),
    ];

    /// The lengths for a row, on a machine where a step of n tokens takes `seconds(n)`.
    fn lengths(row: Row<'_>, margin: f64, seconds: &dyn Fn(usize) -> Option<f64>) -> Vec<usize> {
        let (_, n_streams, texts, max_tokens, _) = row;
        let candidate = |&(acceptance, max_tokens)| DraftCandidate { acceptance, max_tokens };
        let candidates: Vec<DraftCandidate> = texts.iter().map(candidate).collect();
        let forecast = StepForecast::without_drafts(n_streams);
        let without_drafts = seconds(n_streams);
        let costs = DraftCosts { without_drafts, so_far: without_drafts, with_drafts: seconds };
        draft_lengths(&candidates, &forecast, &costs, margin, max_tokens)
    }

    #[test]
    fn lengths_follow_costs_acceptance_and_limits() {
        for row in ROWS {
            let found = lengths(row, 1.05, &|n| Some(1.0 + n as f64 / 10.0));
            assert_eq!(found, row.4, "{row:?}");
        }
    }

    #[test]
    fn nothing_is_drafted_without_costs() {
        for row in ROWS {
            assert_eq!(lengths(row, 1.05, &|_| None), vec![0; row.2.len()], "{row:?}");
        }
    }

    #[test]
    fn margin_of_zero_drafts_as_much_as_the_limits_allow() {
        let texts = [(0.1, 15), (0.0, 15), (0.1, 2), (0.1, 15)];
        let row = ("whatever it costs", 4, &texts[..], 24, &[][..]);
        assert_eq!(lengths(row, 0.0, &|_| None), [15, 0, 1, 7]);
    }

    #[test]
    fn drafts_of_an_earlier_drafter_count_as_part_of_the_step() {
        let mut forecast = StepForecast::without_drafts(2);
        let text = DraftCandidate { acceptance: 0.95, max_tokens: 15 };
        forecast.add(text, 3);
        let seconds = |n: usize| 1.0 + n as f64 / 10.0;
        let costs = DraftCosts {
            without_drafts: Some(seconds(2)),
            so_far: Some(seconds(5)),
            with_drafts: &|n| Some(seconds(n)),
        };
        let with_limit = |max| draft_lengths(&[text], &forecast, &costs, 1.05, max);
        assert_eq!((with_limit(15), with_limit(5)), (vec![7], vec![1]));
    }
}
