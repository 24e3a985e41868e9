//! Guessing tokens ahead: what is guessed, and whether it pays.
//!
//! A step that computes a token and eight guesses behind it costs less than nine steps, and where
//! the guesses are what the model would have drawn, nine tokens come of it. Each is drawn from the
//! model's own numbers, guessed or not, so guesses change when tokens come and never which.
//!
//! Whether to guess is a matter of measured costs and of the text's own record: [`Speculator`]
//! keeps both, and guesses only where more tokens a second are to be expected. With many streams a
//! step is full already, and the more there are the less is guessed.

mod acceptance;
mod costs;
mod loss_budget;
mod ngram;

use crate::domain::{Speculation, Token};

use self::acceptance::Record;
use self::costs::StepCosts;
use self::loss_budget::Account;
use self::ngram::Lookup;
use super::queue::EXPECTED_OUTPUT;

/// How many tokens are guessed at a time for a text: with the one they follow 2, and 4, 8 and 16,
/// since llama.cpp's matrix kernels take rows by fours. Two cost little more than one, so that a guess
/// of one pays where longer ones are seldom right; beyond sixteen a CPU computes a step no faster for
/// each token. Few sizes, so that each one's cost is known soon.
const SIZES: [usize; 4] = [1, 3, 7, 15];

/// Guesses of a step for each slot: what four streams of a 1B model gain most by on two cores, but for
/// a fifth, with less than half of the guesses.
const GUESSES_A_SLOT: u32 = 3;

/// Most guesses of a step, three for each of sixteen streams that repeat themselves: these gain 5 % of
/// a 0.5B model's rate by guesses and a tenth of a 1B model's. Each costs two rows of logits, 1.2 MB at a
/// vocabulary of 150,000.
const MOST_GUESSES: u32 = 48;

/// Most tokens that are guessed in a step of `slots` slots.
pub fn max_draft_tokens(slots: u32) -> u32 {
    const ONE_TEXT: u32 = SIZES[SIZES.len() - 1] as u32;
    slots.saturating_mul(GUESSES_A_SLOT).clamp(ONE_TEXT, MOST_GUESSES)
}

/// What the streams of a step may lose together by its guesses, in tokens. All wait for the longer
/// step, and who says nothing twice gets nothing for it: with one such stream beside one that
/// guesses a step may take a quarter longer, with four a sixteenth. Where all guess nobody loses.
const LOST_BY_OTHERS: f64 = 0.25;

/// Who guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drafter {
    /// The text itself.
    Ngram,
    /// The draft model.
    Draft,
}

/// What the draft model's first guesses of all are taken for.
const DRAFT_UNKNOWN: f64 = 0.7;

/// Guesses in one text that say as much about the next one there as all other texts do. Where only the
/// longest guesses pay, as of a 1B model on two cores, a draft that is right in 24 of 25 cases was given up
/// for the rest of a text with a weight of 8 when the first guess there was wrong from its fifth token on.
const WEIGHT_OF_OTHERS: f64 = 32.0;

/// What the last answer counts for in how long answers are, against all before.
const WEIGHT_OF_AN_ANSWER: f64 = 0.2;

/// One text's guesses so far, of either guesser.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    pub(super) lookup: Lookup,
    /// Whether the draft model has guessed for it and so has read it.
    pub(super) is_drafted: bool,
    /// Tokens of the text that the draft model has, from the first on. It guesses for no text with others.
    known: usize,
    draft: Record,
    account: Account,
}

impl Guesses {
    /// Whether a draft model that has the tokens below `n_shared` has all of `tokens`, which are this
    /// text's: looks at those that are new.
    pub(super) fn are_known(&mut self, tokens: &[Token], n_shared: usize) -> bool {
        let is_known = |&&token: &&Token| usize::try_from(token).is_ok_and(|id| id < n_shared);
        let new = tokens.get(self.known..).unwrap_or_default();
        self.known += new.iter().take_while(is_known).count();
        self.known >= tokens.len()
    }
}

/// What became of a text's guesses in a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) guessed: usize,
    pub(super) right: usize,
    /// What they have cost together, in tokens; see [`Speculator::price`].
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
    /// Tokens of an answer, a moving average of those that ended.
    usual_answer: f64,
}

/// A text for which tokens may be guessed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    /// The probability that a guess is right.
    pub(super) chance: f64,
    /// Most tokens that may be guessed.
    pub(super) most: usize,
}

impl Candidate {
    /// The largest of [`SIZES`] up to `n` for which there is room.
    fn fit(self, n: usize) -> usize {
        let most = n.min(self.most);
        SIZES.into_iter().rfind(|&size| size <= most).unwrap_or(0)
    }
}

/// The best of the plans so far: sizes up to `n` for so many of the surest texts.
struct Plan {
    rate: f64,
    n: usize,
    texts: usize,
}

/// A step as far as it is planned.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    /// The streams that get a token of it.
    streams: usize,
    /// Its tokens.
    tokens: usize,
    /// What is expected beyond that token, for each stream with guesses.
    gains: Vec<f64>,
}

impl Outlook {
    /// A step in which each of `streams` gets a token.
    pub(super) fn without_guesses(streams: usize) -> Self {
        Self { streams, tokens: streams, gains: Vec::new() }
    }

    /// Adds `n` guesses for a stream with `text`.
    fn add(&mut self, text: Candidate, n: usize) {
        self.tokens += n;
        self.gains.push(right_in_a_row(text.chance, n));
    }

    /// The tokens that are expected to come of it.
    fn expected(&self) -> f64 {
        self.streams as f64 + self.gains.iter().sum::<f64>()
    }

    /// What the streams lose together by a step that takes `longer` times as long as without
    /// guesses, of which further ones have `gains`.
    fn lost(&self, gains: &[f64], longer: f64) -> f64 {
        let n_guessing = self.gains.len() + gains.len();
        let lost = |gain: &f64| (longer - 1.0 - gain).max(0.0);
        let by_guessing: f64 = self.gains.iter().chain(gains).map(lost).sum();
        by_guessing + lost(&0.0) * self.streams.saturating_sub(n_guessing) as f64
    }
}

impl Speculator {
    pub(super) fn new(margin_percent: u32) -> Self {
        Self {
            margin: f64::from(margin_percent) / 100.0,
            ngram: StepCosts::default(),
            draft: StepCosts::default(),
            drafts: Record::of_all(),
            draft_account: Account::of_all(),
            usual_answer: EXPECTED_OUTPUT as f64,
        }
    }

    /// How many tokens `guesser` shall guess for each of `texts`, at most `left` together. Adds them
    /// to `outlook`.
    ///
    /// What pays for all may pay for none alone, since all wait for the longer step: so sizes are
    /// weighed for the surest text, for the two surest, and so on. Those that are about as sure
    /// come in the order in which they are given.
    pub(super) fn choose(
        &self,
        guesser: Drafter,
        texts: &[Candidate],
        left: usize,
        outlook: &mut Outlook,
    ) -> Vec<usize> {
        let mut chosen = vec![0; texts.len()];
        let mut surest: Vec<usize> = (0..texts.len()).filter(|&i| texts[i].chance > 0.0).collect();
        if self.margin == 0.0 {
            let mut left = left;
            for i in surest {
                chosen[i] = texts[i].fit(left);
                left -= chosen[i];
                outlook.add(texts[i], chosen[i]);
            }
            return chosen;
        }
        let known = self.ngram.of(outlook.tokens).zip(self.ngram.of(outlook.streams));
        let Some((plain, alone)) = known else { return chosen };
        // In tenths below the best chance of all: a text whose turn it just was is known a little
        // better, and so a little surer, than its equals.
        let best_chance = texts.iter().map(|text| text.chance).fold(0.0, f64::max);
        surest.sort_by_key(|&i| (10.0 * (best_chance - texts[i].chance)) as u32);

        let costs = self.costs(guesser);
        let expected = outlook.expected();
        let mut best = Plan { rate: expected / plain * self.margin, n: 0, texts: 0 };
        // A size that was never tried is taken to cost no more than the next smaller one, and then
        // it is known. One at a time, the smallest first: to be wrong with it costs least.
        let mut before = vec![Some(plain); surest.len()];
        for n in SIZES {
            let mut guessed = 0;
            let mut gains = Vec::with_capacity(surest.len());
            for (place, &i) in surest.iter().enumerate() {
                let fit = texts[i].fit(n);
                guessed += fit;
                if guessed > left {
                    break;
                }
                gains.push(right_in_a_row(texts[i].chance, fit));
                let Some(smaller) = before[place] else { continue };
                let known = costs.about(outlook.tokens + guessed);
                let cost = known.unwrap_or(smaller);
                let rate = (expected + gains.iter().sum::<f64>()) / cost;
                if rate > best.rate && outlook.lost(&gains, cost / alone) <= LOST_BY_OTHERS {
                    best = Plan { rate, n, texts: place + 1 };
                }
                before[place] = known;
            }
        }
        for &i in &surest[..best.texts] {
            chosen[i] = texts[i].fit(best.n);
            outlook.add(texts[i], chosen[i]);
        }
        chosen
    }

    /// Learns that a step of `tokens` tokens without prompts took `seconds`, the asking of the
    /// draft model included.
    pub(super) fn observe(&mut self, guesser: Drafter, tokens: usize, seconds: f64) {
        let (asked, other) = match guesser {
            Drafter::Ngram => (&mut self.ngram, &mut self.draft),
            Drafter::Draft => (&mut self.draft, &mut self.ngram),
        };
        asked.observe(tokens, seconds);
        other.pass(seconds);
    }

    /// What a guess of `guesser` has cost in a step of `streams` streams with `by_text` guesses from
    /// the texts and `by_draft` of the draft model: the tokens that all streams could have made
    /// without guesses in the time by which these have made the step longer, for each guess. 0 where
    /// that is not known.
    pub(super) fn price(
        &self,
        guesser: Drafter,
        streams: usize,
        by_text: usize,
        by_draft: usize,
    ) -> f64 {
        let with_text = streams + by_text;
        let (before, after, n) = match guesser {
            Drafter::Ngram => (self.ngram.of(streams), self.ngram.about(with_text), by_text),
            Drafter::Draft => {
                (self.ngram.about(with_text), self.draft.of(with_text + by_draft), by_draft)
            }
        };
        match (self.ngram.of(streams), before, after) {
            (Some(plain), Some(before), Some(after)) if n > 0 => {
                (after - before) / plain * streams as f64 / n as f64
            }
            _ => 0.0,
        }
    }

    /// The probability that the next guess of `guesser` for a text is right; 0 where there is none, or
    /// where the guesser has lost too much.
    pub(super) fn chance(&self, guesser: Drafter, guesses: &Guesses) -> f64 {
        let (account, chance) = match guesser {
            Drafter::Ngram => (guesses.account, guesses.lookup.chance()),
            Drafter::Draft => {
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
    pub(super) fn settle(&mut self, guesses: &mut Guesses, guesser: Option<Drafter>, fate: Fate) {
        let Fate { guessed, right, price, is_over } = fate;
        guesses.account.earn(right + 1);
        self.draft_account.earn(right + 1);
        match guesser {
            None => {}
            Some(Drafter::Ngram) => guesses.account.settle(right, price),
            Some(Drafter::Draft) => {
                self.draft_account.settle(right, price);
                let guessed = if is_over { right } else { guessed };
                guesses.draft.add_run(right, guessed);
                self.drafts.add_run(right, guessed);
            }
        }
    }

    /// Learns that an answer ended with so many tokens.
    pub(super) fn learn_answer(&mut self, tokens: usize) {
        self.usual_answer += (tokens as f64 - self.usual_answer) * WEIGHT_OF_AN_ANSWER;
    }

    /// Tokens of an answer, as far as can be told before.
    pub(super) fn usual_answer(&self) -> usize {
        self.usual_answer as usize
    }

    fn costs(&self, guesser: Drafter) -> &StepCosts {
        match guesser {
            Drafter::Ngram => &self.ngram,
            Drafter::Draft => &self.draft,
        }
    }
}

/// Who may guess for a request that asks for `asked`, on a server that does `usual`.
pub(super) fn drafters(asked: Option<Speculation>, usual: Speculation) -> &'static [Drafter] {
    match asked.unwrap_or(usual) {
        Speculation::Off => &[],
        Speculation::Ngram => &[Drafter::Ngram],
        Speculation::Auto => &[Drafter::Ngram, Drafter::Draft],
    }
}

/// How many of `n` guesses are right before the first wrong one, on average.
fn right_in_a_row(chance: f64, n: usize) -> f64 {
    (1..=n).map(|i| chance.powi(i as i32)).sum()
}

#[cfg(test)]
mod tests;
