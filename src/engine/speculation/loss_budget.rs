//! What guessing has brought.
//!
//! Costs and chances are estimates, and what looks best of several estimates is most often one that
//! is too good. An account is of what came true: a guesser that loses time makes fewer guesses until
//! it has earned that back, whatever is expected of the next. The text itself has one for each text,
//! the draft model one for all, since one text says much about how it does in another.

/// Tokens that may be lost to guesses from the start.
const FREE: f64 = 0.5;

/// And for each token that is generated.
const FREE_PART: f64 = 0.01;

/// Most tokens that can be owed: after 800 more the guesser is tried again. And most that a text can
/// save up: a failed guess of the longest kind costs about so many (7 to 8 with a draft of a seventh of a
/// 1B model, two cores), and shall not end what has been right for long.
const MOST: f64 = 8.0;

/// Most tokens that can be saved up of all texts: four such guesses. A draft model that is right in 19 of
/// 20 cases fails with the first four of fifteen in one guess of five, so that twice in a row is nothing
/// unusual, and what was saved was won.
const MOST_OF_ALL: f64 = 32.0;

/// Tokens that may be lost to guesses.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Account {
    balance: f64,
    most: f64,
}

impl Default for Account {
    /// That of one text.
    fn default() -> Self {
        Self { balance: FREE, most: MOST }
    }
}

impl Account {
    /// That of all texts.
    pub(super) fn of_all() -> Self {
        Self { most: MOST_OF_ALL, ..Self::default() }
    }

    /// A step gave a text `made` tokens.
    pub(in crate::engine) fn earn(&mut self, made: usize) {
        self.add(FREE_PART * made as f64);
    }

    /// `right` guesses came of a step that took as much longer as `price` tokens take.
    pub(in crate::engine) fn settle(&mut self, right: usize, price: f64) {
        self.add(right as f64 - price);
    }

    fn add(&mut self, tokens: f64) {
        self.balance = (self.balance + tokens).clamp(-MOST, self.most);
    }

    /// Whether there may be another guess.
    pub(super) fn has_credit(self) -> bool {
        self.balance > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_of_a_text_and_what_guesses_have_won_may_be_lost_to_others() {
        let mut account = Account::default();
        assert!(account.has_credit());
        account.settle(0, 1.2);
        account.earn(60);
        assert!(!account.has_credit(), "after 60 tokens");
        account.earn(20);
        assert!(account.has_credit());
        account.settle(3, 1.0);
        account.settle(0, 1.2);
        assert!(account.has_credit());
    }

    #[test]
    fn what_was_won_long_ago_pays_for_no_more_than_one_long_guess() {
        let mut account = Account::default();
        account.settle(1000, 0.0);
        account.settle(0, MOST - 0.1);
        assert!(account.has_credit());
        account.settle(0, 1.0);
        assert!(!account.has_credit());
    }

    #[test]
    fn what_was_won_in_all_texts_pays_for_several_long_guesses_in_a_row() {
        let mut account = Account::of_all();
        account.settle(1000, 0.0);
        (0..3).for_each(|_| account.settle(0, MOST));
        assert!(account.has_credit());
        account.settle(0, MOST);
        assert!(!account.has_credit());
    }

    #[test]
    fn whatever_was_lost_there_is_another_guess_some_day() {
        let mut account = Account::default();
        account.settle(0, 1e6);
        account.earn(790);
        assert!(!account.has_credit());
        account.earn(20);
        assert!(account.has_credit());
    }
}
