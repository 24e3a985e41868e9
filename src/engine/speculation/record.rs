//! How often a guesser was right of late.

/// What a guess counts for after each later one.
const MEMORY: f64 = 0.95;

/// What the record counts for after each token for which nobody guessed. After some hundred of
/// them it says nothing any more, and the guesser gets another chance.
const FORGETTING: f64 = 0.99;

/// Right and wrong guesses, the latest counting most.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Record {
    right: f64,
    wrong: f64,
}

impl Record {
    /// Adds a guess.
    pub(super) fn add(&mut self, is_right: bool) {
        self.right *= MEMORY;
        self.wrong *= MEMORY;
        *(if is_right { &mut self.right } else { &mut self.wrong }) += 1.0;
    }

    /// Adds a token for which there was no guess.
    pub(in crate::engine) fn pass(&mut self) {
        self.right *= FORGETTING;
        self.wrong *= FORGETTING;
    }

    /// Adds the fate of guesses of which the first `right` were, and the next, if any, was not.
    pub(in crate::engine) fn add_run(&mut self, right: usize, guessed: usize) {
        (0..right).for_each(|_| self.add(true));
        if right < guessed {
            self.add(false);
        }
    }

    /// The probability that the next guess is right, where `before` is what it is taken for
    /// without any record.
    pub(in crate::engine) fn chance(&self, before: f64) -> f64 {
        (self.right + before) / (self.right + self.wrong + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_follows_what_happened_of_late() {
        let mut record = Record::default();
        assert_eq!(record.chance(0.5), 0.5);
        record.add_run(20, 20);
        assert!(record.chance(0.5) > 0.9);
        record.add_run(0, 3);
        record.add_run(0, 3);
        record.add_run(0, 3);
        assert!(record.chance(0.5) < 0.9);
    }

    #[test]
    fn a_bad_record_is_forgotten() {
        let mut record = Record::default();
        (0..20).for_each(|_| record.add(false));
        assert!(record.chance(0.5) < 0.1);
        (0..500).for_each(|_| record.pass());
        assert!(record.chance(0.5) > 0.4);
    }
}
