//! What guessing has brought a text.
//!
//! Costs and chances are estimates, and what looks best of several estimates is most often one that
//! is too good. The account is of what came true: a text whose guesses lose time gets fewer of them
//! until they have earned it back, whatever is expected of the next.

/// Tokens that may be lost to guesses in any text.
const FREE: f64 = 0.5;

/// And for each token of it.
const FREE_PART: f64 = 0.01;

/// Tokens that came of guesses beyond those that their time was worth.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Account {
    balance: f64,
}

impl Account {
    /// `right` guesses came of a step that took as much longer as `price` tokens take.
    pub(in crate::engine) fn settle(&mut self, right: usize, price: f64) {
        self.balance += right as f64 - price;
    }

    /// Whether a text of which so many tokens were generated may lose some more.
    pub(super) fn has_credit(self, n_generated: usize) -> bool {
        self.balance > -(FREE + FREE_PART * n_generated as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_lose_a_hundredth_to_guesses_and_what_they_have_won() {
        let mut account = Account::default();
        assert!(account.has_credit(0));
        account.settle(0, 1.2);
        assert!(!account.has_credit(50) && account.has_credit(100));
        account.settle(3, 1.0);
        assert!(account.has_credit(0));
    }
}
