//! How many prompt tokens go into a step, and whose.
//!
//! Pure arithmetic. Decoding slots are served before anything here is asked; what is decided here
//! is how much reading may lengthen their step, and how the readers share it.

mod wide;

use std::time::Duration;

use self::wide::{WideSteps, wide_rows};

/// Steps with prompts have a multiple of so many tokens. On a CPU llama.cpp multiplies packed
/// matrices by so many rows at once, and a step of 8 or 12 tokens takes as long as one of 16 (1B
/// weights at 4 bits on two cores of an AMD Zen 5: 117, 174, 119 ms). It is also the least, so
/// that a slow machine gets on, unless that is slow, see [`SLOW_PERCENT`].
const ROWS: usize = 16;

/// The least, from a machine that is fast enough to one where that is slow. Behind a long text
/// attention costs more than the weights, and it costs the same for each token: behind 3,000 tokens
/// the same machine takes 122, 221, 377 ms for 4, 8, 16, so that larger steps read 42 tokens a
/// second instead of 33 and hold up streams three times as long. The last step is for texts behind
/// which 4 are slow, too: behind 4,500 tokens 4 take 143 ms and 3 take 119, for two prompt tokens
/// instead of three.
const LEAST_ROWS: [usize; 4] = [ROWS, 8, 4, 3];

/// A step is slow that takes so much longer than the target, in percent of it. The longest gap of a
/// stream beside 4,096 tokens of a 1B model was 135 ms with 130 and 127 with 120, for 5 % more time
/// of the long prompt (two cores of an AMD Zen 5, two runs each).
const SLOW_PERCENT: u32 = 120;

/// No step is slow that takes less than so many steps in which nobody reads: smaller ones would make
/// the streams of a slow model hardly smoother.
const STEPS_OF_A_SLOW_MODEL: u32 = 3;

/// Slow steps of [`HOPELESS_ROWS`] that take so long, in percent of the target, are hopeless: whether
/// wide ones are better is then tried where it is not known. That costs a stream a second and more
/// where they are not, so it has to be worth a try: by the figures at [`LEAST_ROWS`] it is none up to
/// 7,000 tokens.
const HOPELESS_PERCENT: u32 = 180;

/// No larger steps are hopeless: smaller ones may help.
const HOPELESS_ROWS: usize = 4;

/// Slow steps in a row until there are fewer tokens in one: a single one says little.
const SLOW_STEPS: u32 = 2;

/// How long a step may take when a single prompt is read and nobody is streaming, or short ones and
/// everybody has just begun. It bounds what a short prompt waits that arrives behind a long one, and
/// a chunk of this length loses nothing to being cut.
const SOLO_TARGET: Duration = Duration::from_millis(250);

/// Least tokens of such a step. From so many on llama.cpp's flash attention on a CPU works in tiles
/// (`GGML_FA_TILE_Q` in `ggml-cpu`): behind 2,048 tokens a 1B model reads 101 tokens a second in
/// steps of 64 or 512, and 58 in steps of 32.
const SOLO_ROWS: usize = 64;

/// Tokens of a stream's beginning. Clients that come at the same moment have their prompts read one
/// after another, and those that come first stream before the last is read: a longer step there is
/// in nobody's rhythm yet, and they end together, where a step for a few of them would cost nearly as
/// much as for all. Of eight on a 1B model the last has its first token after 650 ms instead of 966,
/// at the price of the first ones: the median is 520 ms instead of 398, the mean 430 instead of 479.
pub(super) const BEGINNING: usize = 8;

/// Steps after one in which a short prompt passed a long one until that may happen again.
pub(super) const STEPS_BETWEEN_PASSES: u32 = 4;

/// Steps with fewer prompt tokens say little about the cost of one.
const MEASURABLE_CHUNK: usize = 8;

/// What a step was made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens {
    /// Tokens of slots that generate, one each.
    pub(super) decoding: usize,
    /// Prompt tokens.
    pub(super) prompt: usize,
    /// Guesses.
    pub(super) guessed: usize,
    /// How far into their prompts those are who read, in this step or not: the most of them.
    pub(super) depth: usize,
}

/// Decides the size of a step from how fast the last ones were.
#[derive(Debug)]
pub(super) struct StepBudget {
    target: Duration,
    n_batch: usize,
    /// Moving average over steps that read prompts; `None` before the first.
    tokens_per_second: Option<f64>,
    /// How slow the smallest steps are while somebody is streaming: which of [`LEAST_ROWS`] holds.
    slowness: usize,
    /// Slow steps in a row.
    slow_steps: u32,
    /// What takes the place of small steps that do not become short while somebody is streaming.
    wide: WideSteps,
    /// How long the last step took in which nobody read or guessed.
    without_reading: Duration,
    /// How far into their prompts those were who read last.
    depth: usize,
}

impl StepBudget {
    pub(super) fn new(target: Duration, n_batch: usize) -> Self {
        Self {
            target,
            n_batch,
            tokens_per_second: None,
            slowness: 0,
            slow_steps: 0,
            wide: WideSteps::default(),
            without_reading: Duration::ZERO,
            depth: 0,
        }
    }

    /// How many prompt tokens may join a step in which `decoding` slots get one token each, where
    /// those that read have so many tokens `remaining`. `is_beginning` says that none of those that
    /// decode is past its [`BEGINNING`].
    pub(super) fn prompt_tokens(
        &self,
        decoding: usize,
        is_beginning: bool,
        remaining: &[usize],
    ) -> usize {
        let is_alone = decoding == 0 && remaining.len() <= 1;
        let is_calm = is_alone || is_beginning && remaining.iter().all(|&n| n <= SOLO_ROWS);
        let target = if is_calm { SOLO_TARGET.max(self.target) } else { self.target };
        let tokens = match self.tokens_per_second {
            Some(rate) => (rate * target.as_secs_f64()) as usize,
            // Not the whole batch: a slow machine would be at it for seconds, and a step can only be
            // given up between two operations.
            None if decoding == 0 => SOLO_ROWS,
            None => ROWS,
        };
        let rows = (tokens + ROWS / 2) / ROWS * ROWS;
        let least = if is_alone { SOLO_ROWS } else { self.least(decoding) };
        // A slow step is as small as it can be, whatever the rate of the last ones promises.
        let is_slow = decoding > 0 && self.slowness > 0;
        let rows = match is_slow {
            true if self.wide.are_taken() => wide_rows(decoding),
            true => least,
            false => rows.max(least),
        };
        // A short rest would cost nearly as much as a whole step.
        let rest = remaining.first().filter(|&&rest| is_alone && rest <= 2 * rows);
        rest.copied().unwrap_or(rows).min(self.n_batch).saturating_sub(decoding)
    }

    /// Least tokens of a step. Half of its rows, or one of three, are for those that read.
    fn least(&self, decoding: usize) -> usize {
        let rows = if decoding > 0 { LEAST_ROWS[self.slowness] } else { ROWS };
        (decoding + rows / 2).next_multiple_of(rows)
    }

    /// Learns from a step that took so long.
    pub(super) fn observe(&mut self, step: Tokens, elapsed: Duration) {
        let Tokens { decoding, prompt, guessed, .. } = step;
        self.wide.learn(step, elapsed);
        // At the beginning of another prompt steps are short again.
        let is_another = prompt > 0 && step.depth < self.depth / 2;
        if prompt == 0 || is_another {
            self.slowness = 0;
            self.slow_steps = 0;
            self.wide.end();
        }
        self.depth = step.depth;
        if prompt == 0 {
            // With guesses it takes as long as with a prompt, which would then never be slow.
            if guessed == 0 {
                self.without_reading = elapsed;
            }
        } else if decoding > 0 && self.wide.are_taken() {
            self.wide.check(step, elapsed);
        } else if decoding > 0 && decoding + prompt == self.least(decoding) {
            self.adapt(step, elapsed);
        }
        if prompt < MEASURABLE_CHUNK || elapsed.is_zero() {
            return;
        }
        let measured = (decoding + prompt) as f64 / elapsed.as_secs_f64();
        self.tokens_per_second = Some(match self.tokens_per_second {
            Some(known) => (known + measured) / 2.0,
            None => measured,
        });
    }

    /// Makes the smallest steps smaller if they are slow, and larger if they are not at all. Where
    /// smaller ones are worth less than wide ones, it is these that follow.
    fn adapt(&mut self, step: Tokens, elapsed: Duration) {
        let slow =
            (self.target * SLOW_PERCENT / 100).max(STEPS_OF_A_SLOW_MODEL * self.without_reading);
        if elapsed <= slow {
            self.slow_steps = 0;
            // Twice as many tokens take twice as long at most.
            if elapsed < slow / 2 {
                self.slowness = self.slowness.saturating_sub(1);
            }
            return;
        }
        self.slow_steps += 1;
        if self.slow_steps < SLOW_STEPS {
            return;
        }
        self.slow_steps = 0;
        let is_hopeless = LEAST_ROWS[self.slowness] <= HOPELESS_ROWS
            && elapsed > self.target * HOPELESS_PERCENT / 100;
        self.slowness = (self.slowness + 1).min(LEAST_ROWS.len() - 1);
        if wide_rows(step.decoding) <= self.n_batch {
            self.wide.weigh(step, elapsed, is_hopeless);
        }
    }
}

/// What somebody waits for who begins as a reader does and shares what that one has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// The reader.
    pub(super) reader: usize,
    /// Tokens that it has to read until then.
    pub(super) upto: usize,
    /// Tokens that whoever waits would have left if it read for itself.
    pub(super) left: usize,
}

/// Shares `budget` prompt tokens among readers that still have `remaining[i]` to read, listed in
/// the order in which they were admitted. The reader with the least left comes first, so a short
/// prompt is not held up by a long one, nor by one whose beginning it waits for: what is `claimed`
/// of a reader is read when it would be the claimant's turn. The longest-waiting reader is always
/// given a quarter, so that a long one is not starved by a stream of short ones.
pub(super) fn divide(budget: usize, remaining: &[usize], claimed: &[Claim]) -> Vec<usize> {
    let mut shares = vec![0; remaining.len()];
    let Some(oldest) = remaining.first() else { return shares };
    shares[0] = (budget / 4).max(1).min(budget).min(*oldest);
    let mut left = budget - shares[0];
    let own = |(reader, &upto): (usize, &usize)| Claim { reader, upto, left: upto };
    let mut claims: Vec<Claim> = remaining.iter().enumerate().map(own).collect();
    claims.extend(claimed);
    claims.sort_by_key(|claim| claim.left);
    for Claim { reader, upto, .. } in claims {
        let more = left.min(upto.min(remaining[reader]).saturating_sub(shares[reader]));
        shares[reader] += more;
        left -= more;
    }
    shares
}

/// Lets short prompts pass a long one on a slow machine: where `shares` end prompts of no more than
/// [`ROWS`] tokens together, the others get nothing in this step, which is then over in a fraction
/// of the time. Where none of these has more left than [`SOLO_ROWS`] the step would be lost for
/// them instead: it takes half as long, and theirs do not become fewer. Whether anybody was passed;
/// in the [`STEPS_BETWEEN_PASSES`] after that nobody may be.
pub(super) fn pass(shares: &mut [usize], remaining: &[usize]) -> bool {
    let step: usize = shares.iter().sum();
    let is_short = |i: usize| shares[i] == remaining[i] && remaining[i] <= ROWS;
    let short: Vec<bool> = (0..shares.len()).map(is_short).collect();
    let ended: usize = shares.iter().zip(&short).filter(|&(_, &short)| short).map(|(n, _)| n).sum();
    let is_anybody_long = remaining.iter().any(|&n| n > SOLO_ROWS);
    if step > SOLO_ROWS || ended == 0 || ended > ROWS || ended == step || !is_anybody_long {
        return false;
    }
    for (share, _) in shares.iter_mut().zip(&short).filter(|&(_, &short)| !short) {
        *share = 0;
    }
    true
}

#[cfg(test)]
mod tests;
