//! How often a guesser was right of late.

/// How soon guesses count for less.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// What a guess counts for after each later one.
    guesses: f64,
    /// What the record counts for after each token for which nobody guessed. After some hundred or
    /// thousand of them it says nothing any more, and the guesser gets another chance.
    tokens: f64,
}

/// Of one text, which changes.
const SHORT: Memory = Memory { guesses: 0.95, tokens: 0.99 };

/// Of all texts, which is not to be the last one's.
const LONG: Memory = Memory { guesses: 0.99, tokens: 0.998 };

/// Right and wrong guesses, the latest counting most.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Record {
    right: f64,
    wrong: f64,
    memory: Memory,
}

impl Default for Record {
    /// That of one text.
    fn default() -> Self {
        Self { right: 0.0, wrong: 0.0, memory: SHORT }
    }
}

impl Record {
    /// That of all texts.
    pub(super) fn of_all() -> Self {
        Self { memory: LONG, ..Self::default() }
    }

    /// Adds a guess.
    pub(super) fn add(&mut self, is_right: bool) {
        self.right *= self.memory.guesses;
        self.wrong *= self.memory.guesses;
        *(if is_right { &mut self.right } else { &mut self.wrong }) += 1.0;
    }

    /// Adds a token for which there was no guess.
    pub(in crate::engine) fn pass(&mut self) {
        self.right *= self.memory.tokens;
        self.wrong *= self.memory.tokens;
    }

    /// Adds the fate of guesses of which the first `right` were, and the next, if any, was not.
    pub(in crate::engine) fn add_run(&mut self, right: usize, guessed: usize) {
        (0..right).for_each(|_| self.add(true));
        if right < guessed {
            self.add(false);
        }
    }

    /// The probability that the next guess is right, where `before` is what it is taken for
    /// without any record, which counts as much as `weight` guesses.
    pub(in crate::engine) fn chance(&self, before: f64, weight: f64) -> f64 {
        (self.right + before * weight) / (self.right + self.wrong + weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_follows_what_happened_of_late() {
        let mut record = Record::default();
        assert_eq!(record.chance(0.5, 1.0), 0.5);
        record.add_run(20, 20);
        assert!(record.chance(0.5, 1.0) > 0.9);
        record.add_run(0, 3);
        record.add_run(0, 3);
        record.add_run(0, 3);
        assert!(record.chance(0.5, 1.0) < 0.9);
    }

    #[test]
    fn the_record_of_all_texts_outlives_a_bad_guess_and_a_pause() {
        let after = |mut record: Record| {
            record.add_run(100, 100);
            record.add_run(4, 15);
            (0..300).for_each(|_| record.pass());
            record.chance(0.7, 1.0)
        };
        let (one, all) = (after(Record::default()), after(Record::of_all()));
        assert!(one < 0.85 && all > 0.95, "{one} {all}");
    }

    #[test]
    fn what_others_say_counts_for_so_many_guesses() {
        let mut record = Record::default();
        record.add_run(0, 1);
        assert!(record.chance(0.9, 8.0) > 0.79 && record.chance(0.9, 1.0) < 0.46);
    }

    #[test]
    fn a_bad_record_is_forgotten() {
        let mut record = Record::default();
        (0..20).for_each(|_| record.add(false));
        assert!(record.chance(0.5, 1.0) < 0.1);
        (0..500).for_each(|_| record.pass());
        assert!(record.chance(0.5, 1.0) > 0.4);
    }
}
