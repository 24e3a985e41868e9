//! Limits how much generation time a drafter may lose.
//!
//! Drafts are chosen by estimated costs and acceptance, and the best of several estimates is
//! usually an optimistic one. The budget records what drafts really gained or lost. A drafter that
//! has used up its budget does not draft until generated tokens have refilled it, whatever the
//! estimates say.
//!
//! N-gram lookup has one budget for each text. The draft model has one for all texts, since its
//! results in one text say much about the next.

/// The tokens that a drafter may still lose.
#[derive(Debug, Clone, Copy)]
pub(super) struct LossBudget {
    /// Tokens that may still be lost; negative after larger losses.
    balance: f64,
    /// Largest value of `balance`.
    max_credit: f64,
}

impl Default for LossBudget {
    /// The budget for one text.
    fn default() -> Self {
        Self { balance: INITIAL_CREDIT_TOKENS, max_credit: MAX_CREDIT_TOKENS_ONE_TEXT }
    }
}

impl LossBudget {
    /// The budget for all texts together.
    pub(super) fn across_texts() -> Self {
        Self { max_credit: MAX_CREDIT_TOKENS_ALL_TEXTS, ..Self::default() }
    }

    /// Adds the credit for `n_tokens` generated tokens.
    pub(super) fn earn(&mut self, n_tokens: usize) {
        self.add(CREDIT_PER_TOKEN * n_tokens as f64);
    }

    /// Adds the result of a draft. It gained `n_accepted` tokens and lengthened the step by the
    /// time in which `token_cost` tokens are generated without drafts.
    pub(super) fn settle(&mut self, n_accepted: usize, token_cost: f64) {
        self.add(n_accepted as f64 - token_cost);
    }

    /// Whether the drafter may draft again.
    pub(super) fn has_credit(self) -> bool {
        self.balance > 0.0
    }

    /// Changes the balance within its limits.
    fn add(&mut self, tokens: f64) {
        self.balance = (self.balance + tokens).clamp(-MAX_DEBT_TOKENS, self.max_credit);
    }
}

/// Credit of a new budget, in tokens.
const INITIAL_CREDIT_TOKENS: f64 = 0.5;

/// Credit for each generated token: drafting may cost up to a hundredth of the throughput.
const CREDIT_PER_TOKEN: f64 = 0.01;

/// Largest debt, in tokens: after 800 more generated tokens the drafter is tried again. (ADR-0009)
const MAX_DEBT_TOKENS: f64 = 8.0;

/// Largest credit for one text, in tokens: about the cost of one rejected draft of full length, so
/// that a single failure does not disable a drafter after a long success. (ADR-0009)
const MAX_CREDIT_TOKENS_ONE_TEXT: f64 = 8.0;

/// Largest credit for all texts, in tokens: four rejected drafts of full length. (ADR-0009)
const MAX_CREDIT_TOKENS_ALL_TEXTS: f64 = 32.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_covered_by_a_hundredth_of_the_text_and_by_earlier_gains() {
        let mut budget = LossBudget::default();
        assert!(budget.has_credit());
        budget.settle(0, 1.2);
        budget.earn(60);
        assert!(!budget.has_credit(), "after 60 tokens");
        budget.earn(20);
        assert!(budget.has_credit());
        budget.settle(3, 1.0);
        budget.settle(0, 1.2);
        assert!(budget.has_credit());
    }

    #[test]
    fn gains_in_one_text_cover_a_single_long_rejected_draft() {
        let mut budget = LossBudget::default();
        budget.settle(1000, 0.0);
        budget.settle(0, MAX_CREDIT_TOKENS_ONE_TEXT - 0.1);
        assert!(budget.has_credit());
        budget.settle(0, 1.0);
        assert!(!budget.has_credit());
    }

    #[test]
    fn gains_across_texts_cover_several_long_rejected_drafts_in_a_row() {
        let mut budget = LossBudget::across_texts();
        budget.settle(1000, 0.0);
        (0..3).for_each(|_| budget.settle(0, MAX_CREDIT_TOKENS_ONE_TEXT));
        assert!(budget.has_credit());
        budget.settle(0, MAX_CREDIT_TOKENS_ONE_TEXT);
        assert!(!budget.has_credit());
    }

    #[test]
    fn drafter_is_tried_again_after_any_loss() {
        let mut budget = LossBudget::default();
        budget.settle(0, 1e6);
        budget.earn(790);
        assert!(!budget.has_credit());
        budget.earn(20);
        assert!(budget.has_credit());
    }
}
