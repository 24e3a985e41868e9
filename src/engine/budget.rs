//! How many prompt tokens go into a step, and whose.
//!
//! Pure arithmetic. Decoding slots are served before anything here is asked; what is decided here
//! is how much reading may lengthen their step, and how the readers share it.

use std::time::Duration;

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
    /// How long the last step took in which nobody read or guessed.
    without_reading: Duration,
}

impl StepBudget {
    pub(super) fn new(target: Duration, n_batch: usize) -> Self {
        Self {
            target,
            n_batch,
            tokens_per_second: None,
            slowness: 0,
            slow_steps: 0,
            without_reading: Duration::ZERO,
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
        let rows = if is_slow { least } else { rows.max(least) };
        // A short rest would cost nearly as much as a whole step.
        let rest = remaining.first().filter(|&&rest| is_alone && rest <= 2 * rows);
        rest.copied().unwrap_or(rows).min(self.n_batch).saturating_sub(decoding)
    }

    /// Least tokens of a step. Half of its rows, or one of three, are for those that read.
    fn least(&self, decoding: usize) -> usize {
        let rows = if decoding > 0 { LEAST_ROWS[self.slowness] } else { ROWS };
        (decoding + rows / 2).next_multiple_of(rows)
    }

    /// Learns from a step of `decoding` single tokens, `prompt` prompt tokens and `guessed` guesses.
    pub(super) fn observe(
        &mut self,
        decoding: usize,
        prompt: usize,
        guessed: usize,
        elapsed: Duration,
    ) {
        if prompt == 0 {
            self.slowness = 0;
            // With guesses it takes as long as with a prompt, which would then never be slow.
            if guessed == 0 {
                self.without_reading = elapsed;
            }
        } else if decoding > 0 && decoding + prompt == self.least(decoding) {
            self.adapt(elapsed);
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

    /// Makes the smallest steps smaller if they are slow, and larger if they are not at all.
    fn adapt(&mut self, elapsed: Duration) {
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
        if self.slow_steps >= SLOW_STEPS {
            self.slow_steps = 0;
            self.slowness = (self.slowness + 1).min(LEAST_ROWS.len() - 1);
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
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    #[test]
    fn a_step_fills_the_batch_when_nobody_streams_and_the_model_is_fast() {
        let mut budget = StepBudget::new(TARGET, 512);
        assert_eq!(budget.prompt_tokens(0, false, &[2000]), SOLO_ROWS, "not before that is known");
        budget.observe(0, SOLO_ROWS, 0, Duration::from_millis(10));
        assert_eq!(budget.prompt_tokens(0, false, &[2000]), 512);
    }

    #[test]
    fn a_step_shrinks_to_the_target_while_others_stream_or_read() {
        let mut budget = StepBudget::new(TARGET, 512);
        budget.observe(1, 99, 0, Duration::from_millis(100));
        // A thousand tokens a second, of which 100 ms have a hundred.
        assert_eq!(budget.prompt_tokens(2, false, &[900]), 94);
        assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 96);
        assert_eq!(budget.prompt_tokens(0, false, &[900]), 256, "alone, a quarter of a second");
        assert_eq!(
            budget.prompt_tokens(0, false, &[400]),
            400,
            "and what would leave a short rest"
        );
    }

    #[test]
    fn short_prompts_are_read_in_larger_steps_while_everybody_has_just_begun() {
        let mut budget = StepBudget::new(TARGET, 512);
        budget.observe(1, 15, 0, Duration::from_millis(80));
        assert_eq!(budget.prompt_tokens(2, false, &[17, 17]), 14);
        // 47 tokens take a quarter of a second, and steps are of multiples of 16.
        assert_eq!(budget.prompt_tokens(2, true, &[17, 17, 17, 17]), 46);
        assert_eq!(budget.prompt_tokens(2, true, &[17, 900]), 14, "a long one has to wait");
    }

    #[test]
    fn a_slow_machine_still_reads_a_little() {
        let mut budget = StepBudget::new(TARGET, 512);
        budget.observe(0, 64, 0, Duration::from_secs(60));
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 15);
        assert_eq!(budget.prompt_tokens(16, false, &[900]), 16);
        assert_eq!(budget.prompt_tokens(20, false, &[900]), 12);
        for decoding in 0..40 {
            assert!(budget.prompt_tokens(decoding, false, &[900, 900]) >= 8, "{decoding}");
        }
    }

    #[test]
    fn where_the_smallest_steps_are_slow_they_become_smaller_while_somebody_reads() {
        let mut budget = StepBudget::new(TARGET, 512);
        let slow = TARGET * SLOW_PERCENT / 100 + Duration::from_millis(1);
        budget.observe(1, 15, 0, slow);
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 15, "once is not often");
        budget.observe(1, 15, 0, slow);
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 7);
        budget.observe(1, 7, 0, slow);
        budget.observe(1, 7, 0, slow / 2);
        budget.observe(1, 7, 0, slow);
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 7, "not two in a row");
        for _ in 0..9 {
            budget.observe(1, budget.prompt_tokens(1, false, &[900]), 0, slow);
        }
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 2, "and no less");
        assert_eq!(budget.prompt_tokens(9, false, &[900]), 3);
        budget.observe(1, 1, 0, slow / 4);
        assert_eq!(
            budget.prompt_tokens(1, false, &[900]),
            2,
            "a step for a short prompt says nothing"
        );
        budget.observe(1, 2, 0, slow / 4);
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 3, "and larger again");
        budget.observe(1, 0, 0, TARGET / 10);
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 15, "nobody was reading");
        for _ in 0..4 {
            budget.observe(1, budget.prompt_tokens(1, false, &[900]), 0, slow);
        }
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 3);
        assert_eq!(budget.prompt_tokens(0, false, &[900, 900]), 16, "nobody is streaming");
    }

    #[test]
    fn steps_of_a_model_that_is_slow_for_a_single_token_stay_as_large() {
        let mut budget = StepBudget::new(TARGET, 512);
        budget.observe(1, 0, 0, 2 * TARGET);
        for _ in 0..9 {
            budget.observe(1, 15, 0, 2 * STEPS_OF_A_SLOW_MODEL * TARGET);
        }
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 15);
    }

    #[test]
    fn a_step_full_of_guesses_does_not_say_that_the_model_is_slow() {
        let mut budget = StepBudget::new(TARGET, 512);
        budget.observe(1, 0, 0, TARGET / 3);
        budget.observe(1, 0, 15, 2 * TARGET);
        for _ in 0..9 {
            budget.observe(1, budget.prompt_tokens(1, false, &[900]), 0, 2 * TARGET);
        }
        assert_eq!(budget.prompt_tokens(1, false, &[900]), 2);
    }

    #[test]
    fn a_step_never_exceeds_the_batch() {
        let budget = StepBudget::new(TARGET, 16);
        assert_eq!(budget.prompt_tokens(12, false, &[900]), 4);
        assert_eq!(budget.prompt_tokens(16, false, &[900]), 0);
    }

    #[test]
    fn a_short_prompt_is_read_before_a_long_one_which_keeps_a_quarter() {
        assert_eq!(divide(100, &[1000, 60], &[]), [40, 60]);
        assert_eq!(divide(100, &[1000, 200], &[]), [25, 75]);
    }

    #[test]
    fn a_short_prompt_passes_a_long_one_where_steps_are_slow() {
        let mut shares = [12, 4];
        assert!(pass(&mut shares, &[1000, 4]));
        assert_eq!(shares, [0, 4]);
        let mut shares = [200, 4];
        assert!(!pass(&mut shares, &[1000, 4]), "a fast machine reads both at once");
        let mut shares = [40, 24];
        assert!(!pass(&mut shares, &[1000, 24]), "which is not short");
        let mut shares = [2, 4];
        assert!(!pass(&mut shares, &[2, 4]), "where nobody is passed");
        let mut shares = [12, 4];
        assert!(!pass(&mut shares, &[17, 4]), "where nobody is long");
        assert_eq!(shares, [12, 4]);
    }

    #[test]
    fn what_nobody_needs_is_not_given_out() {
        assert_eq!(divide(100, &[10, 20], &[]), [10, 20]);
        assert_eq!(divide(100, &[], &[]), [0; 0]);
    }

    #[test]
    fn what_a_short_prompt_waits_for_is_read_as_if_it_were_its_own() {
        let short = Claim { reader: 1, upto: 30, left: 40 };
        assert_eq!(divide(100, &[500, 1000], &[]), [100, 0]);
        assert_eq!(divide(100, &[500, 1000], &[short]), [70, 30], "and no more of it");
        let long = Claim { left: 600, ..short };
        assert_eq!(divide(100, &[500, 1000], &[long]), [100, 0], "in its turn");
    }
}
