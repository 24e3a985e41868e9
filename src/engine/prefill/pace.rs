//! Adapts the size of prefill steps beside streams on machines where even small steps are slow.
//!
//! At depth attention dominates a step and costs the same for each token, so fewer tokens do make
//! the step shorter. The pace goes down one level for every two slow steps in a row, and up again
//! after a fast one. Where small steps stay long, wide ones may replace them; see [`WideSteps`].
//! The pace starts over when prefill ends, or when another prompt starts. (ADR-0010)

use std::time::Duration;

use super::wide::{WideSteps, wide_step};
use super::{BLOCK_TOKENS, StepTokens};

/// What determines the size of a step with prompt tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PaceMode {
    /// The measured throughput, but at least [`Pace::smallest_step`].
    Measured,
    /// [`Pace::smallest_step`], since steps are slow.
    Shrunk,
    /// [`wide_step`], since small steps do not become short.
    Wide,
}

/// The pace of prefill while at least one slot decodes.
#[derive(Debug)]
pub(super) struct Pace {
    /// Target duration of a step.
    target: Duration,
    n_batch: usize,
    /// Index into [`SMALLEST_STEPS`]. Above 0 steps are [`PaceMode::Shrunk`] or [`PaceMode::Wide`].
    level: usize,
    /// Number of slow steps in a row.
    slow_steps: u32,
    wide: WideSteps,
    /// Duration of the last step that had neither prompt nor draft tokens.
    decode_only: Duration,
    /// Depth of the last step.
    depth: usize,
}

impl Pace {
    pub(super) fn new(target: Duration, n_batch: usize) -> Self {
        Self {
            target,
            n_batch,
            level: 0,
            slow_steps: 0,
            wide: WideSteps::default(),
            decode_only: Duration::ZERO,
            depth: 0,
        }
    }

    /// What determines the size of the next step with `decoding` slots.
    pub(super) fn mode(&self, decoding: usize) -> PaceMode {
        if decoding == 0 || self.level == 0 {
            PaceMode::Measured
        } else if self.wide.are_active() {
            PaceMode::Wide
        } else {
            PaceMode::Shrunk
        }
    }

    /// Tokens of the smallest step with `decoding` slots: a multiple for the level, in which at
    /// least half a multiple (rounded down) is left for prompt tokens.
    pub(super) fn smallest_step(&self, decoding: usize) -> usize {
        let multiple = if decoding > 0 { SMALLEST_STEPS[self.level] } else { BLOCK_TOKENS };
        (decoding + multiple / 2).next_multiple_of(multiple)
    }

    /// Learns that a step took `elapsed`.
    pub(super) fn observe(&mut self, step: StepTokens, elapsed: Duration) {
        let StepTokens { decoding, prompt, drafted, depth } = step;
        self.wide.learn(step, elapsed);
        let is_new_prompt = prompt > 0 && depth < self.depth / 2;
        if prompt == 0 || is_new_prompt {
            self.start_over();
        }
        self.depth = depth;
        if prompt == 0 {
            // Draft tokens make a step as long as prompt tokens do. If such a step counted, no step
            // with prompt tokens would ever be slow.
            if drafted == 0 {
                self.decode_only = elapsed;
            }
        } else if decoding > 0 && self.wide.are_active() {
            self.wide.review(step, elapsed);
        } else if decoding > 0 && decoding + prompt == self.smallest_step(decoding) {
            self.adapt(step, elapsed);
        }
    }

    fn start_over(&mut self) {
        self.level = 0;
        self.slow_steps = 0;
        self.wide.stop();
    }

    /// Changes the level after one of the smallest steps, and switches to wide steps if they are
    /// better than shrinking further.
    fn adapt(&mut self, step: StepTokens, elapsed: Duration) {
        let slow = self.slow_step();
        if elapsed <= slow {
            self.slow_steps = 0;
            // The next level up has at most twice the tokens, and so takes at most twice as long.
            if elapsed < slow / 2 {
                self.level = self.level.saturating_sub(1);
            }
            return;
        }
        self.slow_steps += 1;
        if self.slow_steps < SLOW_STEPS_TO_SHRINK {
            return;
        }
        self.slow_steps = 0;
        let is_hopeless = SMALLEST_STEPS[self.level] <= HOPELESS_STEP
            && elapsed > self.target * HOPELESS_PERCENT / 100;
        self.level = (self.level + 1).min(SMALLEST_STEPS.len() - 1);
        if wide_step(step.decoding) <= self.n_batch {
            self.wide.compare(step, elapsed, is_hopeless);
        }
    }

    /// Steps that take longer than this are slow.
    fn slow_step(&self) -> Duration {
        (self.target * SLOW_PERCENT / 100).max(MIN_SLOW_STEP * self.decode_only)
    }
}

/// The multiple that smallest steps have at each level. Steps of 3 tokens are for the greatest
/// depths and the slowest machines. (ADR-0010)
const SMALLEST_STEPS: [usize; 4] = [BLOCK_TOKENS, 8, 4, 3];

/// Duration beyond which a step is slow, in percent of the target. (ADR-0010)
pub(super) const SLOW_PERCENT: u32 = 120;

/// Duration up to which no step is slow, in steps without prompt tokens: if those are long
/// themselves, smaller prefill steps would hardly make the streams smoother.
pub(super) const MIN_SLOW_STEP: u32 = 3;

/// Slow steps in a row before the pace goes down a level; a single one tells little.
const SLOW_STEPS_TO_SHRINK: u32 = 2;

/// Duration beyond which small steps are hopeless, in percent of the target. Wide ones are then
/// tried even if their cost is unknown, at the risk of a step of a second or more. (ADR-0011)
const HOPELESS_PERCENT: u32 = 180;

/// Steps with a larger multiple are never hopeless, since they may still shrink.
const HOPELESS_STEP: usize = 4;
