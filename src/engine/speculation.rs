//! Guessing tokens ahead: what is guessed, and whether it pays.
//!
//! A step that computes a token and eight guesses behind it costs less than nine steps, and where
//! the guesses are what the model would have drawn, nine tokens come of it. Each is drawn from the
//! model's own numbers, guessed or not, so guesses change when tokens come and never which.
//!
//! Whether to guess is a matter of measured costs and of the text's own record: [`Speculator`]
//! keeps both, and guesses only where more tokens a second are to be expected. With many streams a
//! step is full already and guessing ends by itself.

mod account;
mod costs;
mod lookup;
mod record;

use crate::domain::Speculation;

use self::account::Account;
use self::costs::StepCosts;
use self::lookup::Lookup;
use self::record::Record;

/// Most tokens that are guessed in a step. With the one they follow they make sixteen, beyond
/// which a CPU computes a step no faster for each token, and each costs a row of logits.
pub const MOST_GUESSES: usize = 15;

/// How many tokens are guessed at a time: with the one they follow 2, and 4, 8 and 16, since
/// llama.cpp's matrix kernels take rows by fours. Two cost little more than one, so that a guess of one
/// pays where longer ones are seldom right. Few sizes, so that each one's cost is known soon.
const SIZES: [usize; 4] = [1, 3, 7, MOST_GUESSES];

/// What the streams of a step may lose together while one of them is helped by guesses, in tokens. All
/// wait for the longer step, and who says nothing twice gets nothing for it: with two streams a step
/// may take a quarter longer, with five a sixteenth.
const LOST_BY_OTHERS: f64 = 0.25;

/// Who guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guesser {
    /// The text itself.
    Ngram,
    /// The draft model.
    Draft,
}

/// What the draft model's first guesses of all are taken for.
const DRAFT_UNKNOWN: f64 = 0.7;

/// Guesses in one text that say as much about the next one there as all other texts do. With one, a
/// draft that is right in fifteen of sixteen cases was given up for the rest of a text after its first
/// wrong guess.
const WEIGHT_OF_OTHERS: f64 = 8.0;

/// One text's guesses so far, of either guesser.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    pub(super) lookup: Lookup,
    /// Whether the draft model has guessed for it and so has read it.
    pub(super) is_drafted: bool,
    draft: Record,
    account: Account,
}

/// What became of a text's guesses in a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) guessed: usize,
    pub(super) right: usize,
    /// What they have cost, in tokens; see [`Speculator::price`].
    pub(super) price: f64,
    /// Whether the text is over, so that those behind the last right one say nothing.
    pub(super) is_over: bool,
}

/// Weighs costs against chances, for one step after the other.
#[derive(Debug)]
pub(super) struct Speculator {
    /// Guesses must promise more than this times the rate without them.
    margin: f64,
    /// Of steps with guesses from the text or none, and of those for which the draft model was
    /// asked first.
    ngram: StepCosts,
    draft: StepCosts,
    /// The draft model's guesses in all texts: what those in a new one are taken for.
    drafts: Record,
    /// And what they have brought.
    draft_account: Account,
}

/// A step as far as it is planned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlook {
    /// The streams that get a token of it.
    streams: usize,
    /// Its tokens.
    tokens: usize,
    /// The tokens that are expected to come of it.
    expected: f64,
}

impl Outlook {
    /// A step in which each of `streams` gets a token.
    pub(super) fn without_guesses(streams: usize) -> Self {
        Self { streams, tokens: streams, expected: streams as f64 }
    }

    /// How many times as long as without guesses the step may take.
    fn longest(&self) -> f64 {
        match self.streams {
            0 | 1 => f64::INFINITY,
            streams => 1.0 + LOST_BY_OTHERS / (streams - 1) as f64,
        }
    }
}

impl Speculator {
    pub(super) fn new(margin_percent: u32) -> Self {
        Self {
            margin: f64::from(margin_percent) / 100.0,
            ngram: StepCosts::default(),
            draft: StepCosts::default(),
            drafts: Record::of_all(),
            draft_account: Account::default(),
        }
    }

    /// How many tokens, at most `most`, `guesser` shall guess for a text, each of which is right
    /// with the probability `chance`. Adds them to `outlook`.
    pub(super) fn choose(
        &self,
        guesser: Guesser,
        chance: f64,
        most: usize,
        outlook: &mut Outlook,
    ) -> usize {
        let Outlook { streams, tokens, expected } = *outlook;
        let known = self.ngram.of(tokens).zip(self.ngram.of(streams));
        let Some((plain, alone)) = known.filter(|_| chance > 0.0) else { return 0 };
        let costs = self.costs(guesser);
        let longest = alone * outlook.longest();
        let mut best = (expected / plain * self.margin, 0, expected);
        let mut smaller = plain;
        for n in SIZES.into_iter().filter(|&n| n <= most) {
            let expected = expected + right_in_a_row(chance, n);
            let known = costs.of(tokens + n);
            // A size that was never tried is taken to cost no more than the next smaller one, and then
            // it is known. One at a time, the smallest first: to be wrong with it costs least.
            let cost = known.unwrap_or(smaller);
            let rate = expected / cost;
            if rate > best.0 && cost <= longest {
                best = (rate, n, expected);
            }
            if known.is_none() {
                break;
            }
            smaller = cost;
        }
        let (_, n, expected) = best;
        *outlook = Outlook { tokens: tokens + n, expected, ..*outlook };
        n
    }

    /// Learns that a step of `tokens` tokens without prompts took `seconds`, the asking of the
    /// draft model included.
    pub(super) fn observe(&mut self, guesser: Guesser, tokens: usize, seconds: f64) {
        let (asked, other) = match guesser {
            Guesser::Ngram => (&mut self.ngram, &mut self.draft),
            Guesser::Draft => (&mut self.draft, &mut self.ngram),
        };
        asked.observe(tokens, seconds);
        other.pass(seconds);
    }

    /// How many tokens a step of `tokens` tokens could have made of `streams` more in its time than it
    /// does without its `guessed` ones; 0 where that is not known.
    pub(super) fn price(
        &self,
        guesser: Guesser,
        streams: usize,
        tokens: usize,
        guessed: usize,
    ) -> f64 {
        let costs = self.costs(guesser).of(tokens).zip(self.ngram.of(tokens - guessed));
        costs.map_or(0.0, |(cost, plain)| (cost / plain - 1.0) * streams as f64)
    }

    /// The probability that the next guess of `guesser` for a text is right; 0 where there is none, or
    /// where the guesser has lost too much.
    pub(super) fn chance(&self, guesser: Guesser, guesses: &Guesses) -> f64 {
        let (account, chance) = match guesser {
            Guesser::Ngram => (guesses.account, guesses.lookup.chance()),
            Guesser::Draft => {
                let unknown = self.drafts.chance(DRAFT_UNKNOWN, 1.0);
                (self.draft_account, guesses.draft.chance(unknown, WEIGHT_OF_OTHERS))
            }
        };
        if self.margin == 0.0 || account.has_credit() { chance } else { 0.0 }
    }

    /// The draft model is not asked for the next token of a text.
    pub(super) fn pass_draft(&mut self, guesses: &mut Guesses) {
        guesses.draft.pass();
        self.drafts.pass();
    }

    /// Learns what became of a text's guesses in a step, and of whose they were, if there were any.
    pub(super) fn settle(&mut self, guesses: &mut Guesses, guesser: Option<Guesser>, fate: Fate) {
        let Fate { guessed, right, price, is_over } = fate;
        guesses.account.earn(right + 1);
        self.draft_account.earn(right + 1);
        match guesser {
            None => {}
            Some(Guesser::Ngram) => guesses.account.settle(right, price),
            Some(Guesser::Draft) => {
                self.draft_account.settle(right, price);
                let guessed = if is_over { right } else { guessed };
                guesses.draft.add_run(right, guessed);
                self.drafts.add_run(right, guessed);
            }
        }
    }

    fn costs(&self, guesser: Guesser) -> &StepCosts {
        match guesser {
            Guesser::Ngram => &self.ngram,
            Guesser::Draft => &self.draft,
        }
    }
}

/// Who may guess for a request that asks for `asked`, on a server that does `usual`.
pub(super) fn guessers(asked: Option<Speculation>, usual: Speculation) -> &'static [Guesser] {
    match asked.unwrap_or(usual) {
        Speculation::Off => &[],
        Speculation::Ngram => &[Guesser::Ngram],
        Speculation::Auto => &[Guesser::Ngram, Guesser::Draft],
    }
}

/// How many of `n` guesses are right before the first wrong one, on average.
fn right_in_a_row(chance: f64, n: usize) -> f64 {
    (1..=n).map(|i| chance.powi(i as i32)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs of a machine on which a step of n tokens takes 1 + n / 10, in parts of 1,024 of a second.
    fn speculator() -> Speculator {
        let mut speculator = Speculator::new(105);
        for n in 1..80 {
            speculator.observe(Guesser::Ngram, n, (1.0 + n as f64 / 10.0) / 1024.0);
        }
        speculator
    }

    fn choose(chance: f64, most: usize, tokens: usize) -> usize {
        let mut outlook = Outlook::without_guesses(tokens);
        speculator().choose(Guesser::Ngram, chance, most, &mut outlook)
    }

    #[test]
    fn the_surer_the_text_the_longer_the_guess() {
        assert_eq!(choose(0.05, 15, 1), 0);
        assert_eq!(choose(0.6, 15, 1), 3);
        assert_eq!(choose(0.8, 15, 1), 7);
        assert_eq!(choose(0.98, 15, 1), 15);
        assert_eq!(choose(0.98, 10, 1), 7, "as far as there is room");
    }

    #[test]
    fn in_a_full_step_guesses_do_not_pay() {
        assert_ne!(choose(0.6, 15, 1), 0);
        assert_eq!(choose(0.6, 15, 60), 0);
    }

    #[test]
    fn guesses_for_one_stream_hold_up_the_others_little() {
        // The step of two takes 1.2; three more tokens are a quarter of that.
        assert_eq!(choose(0.98, 15, 2), 3);
        assert_eq!(choose(0.98, 15, 6), 0, "for which a sixteenth is too little");
        assert_eq!(choose(0.98, 15, 1), 15, "who is alone");
    }

    #[test]
    fn sizes_are_tried_one_at_a_time_from_the_smallest() {
        let mut speculator = Speculator::new(105);
        speculator.observe(Guesser::Ngram, 1, 0.1);
        let mut tried = Vec::new();
        for _ in SIZES {
            let mut outlook = Outlook::without_guesses(1);
            let n = speculator.choose(Guesser::Draft, 0.95, 15, &mut outlook);
            tried.push(n);
            speculator.observe(Guesser::Draft, 1 + n, 0.1 + 0.01 * n as f64);
        }
        assert_eq!(tried, SIZES);
    }

    #[test]
    fn a_draft_that_was_measured_in_a_bad_moment_gets_another_chance() {
        let mut speculator = speculator();
        let choose = |speculator: &Speculator| {
            let mut outlook = Outlook::without_guesses(1);
            speculator.choose(Guesser::Draft, 0.9, 15, &mut outlook)
        };
        for n in SIZES {
            speculator.observe(Guesser::Draft, 1 + n, 0.1);
        }
        assert_eq!(choose(&speculator), 0);
        for _ in 0..20_000 {
            speculator.observe(Guesser::Ngram, 1, 0.0011);
        }
        assert_ne!(choose(&speculator), 0);
    }

    #[test]
    fn guesses_cost_what_the_step_could_have_made_without_them() {
        // Steps of 1 and of 4 tokens take 1.1 and 1.4.
        let price = speculator().price(Guesser::Ngram, 1, 4, 3);
        assert!((price - 0.3 / 1.1).abs() < 1e-9, "{price}");
        assert_eq!(speculator().price(Guesser::Draft, 1, 4, 3), 0.0, "who knows");
    }

    #[test]
    fn before_any_step_was_measured_nothing_is_guessed() {
        let mut outlook = Outlook::without_guesses(1);
        let n = Speculator::new(105).choose(Guesser::Ngram, 0.99, 15, &mut outlook);
        assert_eq!((n, outlook.tokens), (0, 1));
    }
}
