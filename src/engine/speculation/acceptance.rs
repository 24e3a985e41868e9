//! Estimates how likely a drafter's next token is to be accepted, from its recent drafts.
//!
//! The estimate for one text follows its latest tokens. The estimate across all texts changes more
//! slowly and serves as the prior for a new text. Without recent drafts both return to their prior.

/// Counts of accepted and rejected draft tokens. Older ones weigh less.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptanceEstimate {
    /// Number of accepted tokens, reduced by age.
    accepted: f64,
    /// Number of rejected tokens, reduced by age.
    rejected: f64,
    decay: Decay,
}

impl Default for AcceptanceEstimate {
    /// The estimate for one text.
    fn default() -> Self {
        Self { accepted: 0.0, rejected: 0.0, decay: ONE_TEXT }
    }
}

impl AcceptanceEstimate {
    /// The estimate across all texts, which changes more slowly than that for one text.
    pub(super) fn across_texts() -> Self {
        Self { decay: ALL_TEXTS, ..Self::default() }
    }

    /// Adds one draft token.
    pub(super) fn add(&mut self, is_accepted: bool) {
        self.accepted *= self.decay.per_draft_token;
        self.rejected *= self.decay.per_draft_token;
        *(if is_accepted { &mut self.accepted } else { &mut self.rejected }) += 1.0;
    }

    /// Adds a draft of `n_drafted` tokens: the first `n_accepted` were accepted, and the next one,
    /// if there was one, was rejected. The tokens after that one were not verified and do not
    /// count.
    pub(super) fn add_draft(&mut self, n_accepted: usize, n_drafted: usize) {
        (0..n_accepted).for_each(|_| self.add(true));
        if n_accepted < n_drafted {
            self.add(false);
        }
    }

    /// Adds a generated token that was not drafted.
    pub(super) fn skip(&mut self) {
        self.accepted *= self.decay.per_skipped_token;
        self.rejected *= self.decay.per_skipped_token;
    }

    /// The probability that the next draft token is accepted. `prior` is the value without any
    /// drafts; it weighs as much as `weight` draft tokens.
    pub(super) fn probability(&self, prior: f64, weight: f64) -> f64 {
        (self.accepted + prior * weight) / (self.accepted + self.rejected + weight)
    }
}

/// The factors by which older counts are reduced.
#[derive(Debug, Clone, Copy)]
struct Decay {
    /// For each later draft token.
    per_draft_token: f64,
    /// For each generated token that was not drafted. After some hundred (one text) or thousand
    /// (all texts) of them the estimate is back at its prior, and the drafter is tried again.
    per_skipped_token: f64,
}

/// Decay of the estimate for one text, whose content changes.
const ONE_TEXT: Decay = Decay { per_draft_token: 0.95, per_skipped_token: 0.99 };

/// Decay of the estimate across texts, which the latest text alone must not dominate.
const ALL_TEXTS: Decay = Decay { per_draft_token: 0.99, per_skipped_token: 0.998 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probability_follows_recent_drafts() {
        let mut estimate = AcceptanceEstimate::default();
        assert_eq!(estimate.probability(0.5, 1.0), 0.5);
        estimate.add_draft(20, 20);
        assert!(estimate.probability(0.5, 1.0) > 0.9);
        estimate.add_draft(0, 3);
        estimate.add_draft(0, 3);
        estimate.add_draft(0, 3);
        assert!(estimate.probability(0.5, 1.0) < 0.9);
    }

    #[test]
    fn estimate_across_texts_outlives_a_rejected_draft_and_a_pause() {
        let after = |mut estimate: AcceptanceEstimate| {
            estimate.add_draft(100, 100);
            estimate.add_draft(4, 15);
            (0..300).for_each(|_| estimate.skip());
            estimate.probability(0.7, 1.0)
        };
        let one = after(AcceptanceEstimate::default());
        let all = after(AcceptanceEstimate::across_texts());
        assert!(one < 0.85 && all > 0.95, "{one} {all}");
    }

    #[test]
    fn prior_weighs_as_much_as_its_number_of_draft_tokens() {
        let mut estimate = AcceptanceEstimate::default();
        estimate.add_draft(0, 1);
        assert!(estimate.probability(0.9, 8.0) > 0.79 && estimate.probability(0.9, 1.0) < 0.46);
    }

    #[test]
    fn rejections_are_forgotten_after_enough_skipped_tokens() {
        let mut estimate = AcceptanceEstimate::default();
        (0..20).for_each(|_| estimate.add(false));
        assert!(estimate.probability(0.5, 1.0) < 0.1);
        (0..500).for_each(|_| estimate.skip());
        assert!(estimate.probability(0.5, 1.0) > 0.4);
    }
}
