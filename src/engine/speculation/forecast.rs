//! The expected result of a step with drafts, and the limits on draft tokens.
//!
//! A [`StepForecast`] counts the tokens that a step computes and is expected to yield. It says
//! nothing about durations, which are in [`StepCosts`](super::costs::StepCosts).

/// Possible lengths of a draft, in tokens. Together with the token before the draft a slot has 2,
/// 4, 8 or 16 tokens in the step, as llama.cpp's matrix kernels process rows in groups of four.
/// Four lengths are soon measured. (ADR-0009)
pub(super) const DRAFT_LENGTHS: [usize; 4] = [1, 3, 7, 15];

/// The largest number of draft tokens in one step, for an engine with `slots` slots.
pub fn max_draft_tokens(slots: u32) -> u32 {
    const LONGEST_DRAFT: u32 = DRAFT_LENGTHS[DRAFT_LENGTHS.len() - 1] as u32;
    slots.saturating_mul(DRAFT_TOKENS_PER_SLOT).clamp(LONGEST_DRAFT, MAX_DRAFT_TOKENS)
}

/// A text that may get draft tokens.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct DraftCandidate {
    /// The probability that a draft token is accepted, if all before it were.
    pub(in crate::engine) acceptance: f64,
    /// The largest number of draft tokens that the text may get.
    pub(in crate::engine) max_tokens: usize,
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
pub(in crate::engine) struct StepForecast {
    /// Number of decoding slots. Each yields one token in any case.
    pub(super) n_streams: usize,
    /// Number of tokens to compute.
    pub(super) n_tokens: usize,
    /// Expected number of accepted draft tokens, for each stream with a draft.
    gains: Vec<f64>,
}

impl StepForecast {
    /// A step that computes one token for each of `n_streams`.
    pub(in crate::engine) fn without_drafts(n_streams: usize) -> Self {
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

/// Largest number of draft tokens in a step, for each slot. (ADR-0009)
const DRAFT_TOKENS_PER_SLOT: u32 = 3;

/// Largest number of draft tokens in a step, however many slots there are. Each takes the memory of
/// two rows of logits. (ADR-0009)
const MAX_DRAFT_TOKENS: u32 = 48;
