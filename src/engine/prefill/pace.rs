//! Adapts the size of steps that prefill while other slots decode, on machines where even small
//! steps are slow.
//!
//! At large depths attention dominates a step, and its cost is proportional to the number of
//! tokens. So fewer tokens shorten the step. Two slow steps in a row select the next smaller size;
//! one fast step selects the next larger one. If the smallest steps are still slow, wide steps may
//! replace them; see [`WideSteps`]. The pace starts over when no step prefills, or when the depth
//! falls by more than half (another prompt). (ADR-0010)

use std::time::Duration;

use super::wide::{WideSteps, wide_step};
use super::{BLOCK_TOKENS, StepTokens};

/// What determines the size of a step with prompt tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PaceMode {
    /// The measured throughput, but at least [`Pace::smallest_step`].
    Measured,
    /// [`Pace::smallest_step`], because larger steps were slow.
    Shrunk,
    /// [`wide_step`], because small steps do not become short.
    Wide,
}

/// The pace of prefill while at least one slot decodes.
#[derive(Debug)]
pub(super) struct Pace {
    /// Target duration of a step.
    target: Duration,
    /// Most tokens of a step.
    n_ubatch: usize,
    /// Index into [`SMALLEST_STEPS`]; higher means smaller steps. 0 is [`PaceMode::Measured`].
    shrink_level: usize,
    /// Number of slow steps in a row.
    n_slow_steps: u32,
    /// The measured cost of wide steps, and whether they are in use.
    wide: WideSteps,
    /// Duration of the last step that had neither prompt nor draft tokens; zero before the first.
    decode_only: Duration,
    /// Depth of the last step, in tokens.
    depth: usize,
}

impl Pace {
    pub(super) fn new(target: Duration, n_ubatch: usize) -> Self {
        Self {
            target,
            n_ubatch,
            shrink_level: 0,
            n_slow_steps: 0,
            wide: WideSteps::default(),
            decode_only: Duration::ZERO,
            depth: 0,
        }
    }

    /// What determines the size of the next step with `n_decoding` decoding slots.
    pub(super) fn mode(&self, n_decoding: usize) -> PaceMode {
        if n_decoding == 0 || self.shrink_level == 0 {
            PaceMode::Measured
        } else if self.wide.is_active() {
            PaceMode::Wide
        } else {
            PaceMode::Shrunk
        }
    }

    /// Number of tokens of the smallest step with `n_decoding` decoding slots: a multiple of the
    /// current entry of [`SMALLEST_STEPS`], with at least half that entry (rounded down) left for
    /// prompt tokens.
    pub(super) fn smallest_step(&self, n_decoding: usize) -> usize {
        let multiple =
            if n_decoding > 0 { SMALLEST_STEPS[self.shrink_level] } else { BLOCK_TOKENS };
        (n_decoding + multiple / 2).next_multiple_of(multiple)
    }

    /// Learns that a step took `elapsed`.
    pub(super) fn observe(&mut self, step: StepTokens, elapsed: Duration) {
        let StepTokens { n_decoding, n_prompt, n_drafted, depth } = step;
        self.wide.learn(step, elapsed);
        let is_new_prompt = n_prompt > 0 && depth < self.depth / 2;
        if n_prompt == 0 || is_new_prompt {
            self.start_over();
        }
        self.depth = depth;
        if n_prompt == 0 {
            // Draft tokens lengthen a step as much as prompt tokens do. If a step with draft tokens
            // counted, the threshold would be so high that no step with prompt tokens was slow.
            if n_drafted == 0 {
                self.decode_only = elapsed;
            }
        } else if n_decoding > 0 && self.wide.is_active() {
            self.wide.review(step, elapsed);
        } else if n_decoding > 0 && n_decoding + n_prompt == self.smallest_step(n_decoding) {
            self.adapt(step, elapsed);
        }
    }

    /// Returns to steps by the measured throughput.
    fn start_over(&mut self) {
        self.shrink_level = 0;
        self.n_slow_steps = 0;
        self.wide.stop();
    }

    /// Selects the next smaller or larger size after a step of the current smallest size, and
    /// switches to wide steps if they are better than smaller ones.
    fn adapt(&mut self, step: StepTokens, elapsed: Duration) {
        let threshold = self.slow_threshold();
        if elapsed <= threshold {
            self.n_slow_steps = 0;
            // Steps of the next larger size have at most twice the tokens, and so take at most
            // twice as long.
            if elapsed < threshold / 2 {
                self.shrink_level = self.shrink_level.saturating_sub(1);
            }
            return;
        }
        self.n_slow_steps += 1;
        if self.n_slow_steps < N_SLOW_STEPS_TO_SHRINK {
            return;
        }
        self.n_slow_steps = 0;
        let is_trial_due = SMALLEST_STEPS[self.shrink_level] <= MAX_TRIAL_MULTIPLE
            && elapsed > self.target * TRIAL_PERCENT / 100;
        self.shrink_level = (self.shrink_level + 1).min(SMALLEST_STEPS.len() - 1);
        if wide_step(step.n_decoding) <= self.n_ubatch {
            self.wide.compare(step, elapsed, is_trial_due);
        }
    }

    /// The duration beyond which a step is slow.
    fn slow_threshold(&self) -> Duration {
        (self.target * SLOW_PERCENT / 100).max(MIN_SLOW_DECODE_STEPS * self.decode_only)
    }
}

/// By shrink level: the smallest steps have a multiple of this many tokens. Steps of 3 tokens are
/// for the largest depths and the slowest machines. (ADR-0010)
const SMALLEST_STEPS: [usize; 4] = [BLOCK_TOKENS, 8, 4, 3];

/// Duration beyond which a step is slow, in percent of the target. (ADR-0010)
pub(super) const SLOW_PERCENT: u32 = 120;

/// No step is slow up to this many times the duration of a step without prompt tokens: if those are
/// long themselves, smaller prefill steps would hardly shorten the gaps between tokens. (ADR-0010)
pub(super) const MIN_SLOW_DECODE_STEPS: u32 = 3;

/// Number of slow steps in a row that select the next smaller size. A single one may be an outlier.
const N_SLOW_STEPS_TO_SHRINK: u32 = 2;

/// Above this duration, in percent of the target, a wide step is tried although its cost is
/// unknown. The trial may take a second or more. (ADR-0011)
const TRIAL_PERCENT: u32 = 180;

/// Largest entry of [`SMALLEST_STEPS`] at which a wide step of unknown cost is tried. Larger steps
/// can still shrink. (ADR-0011)
const MAX_TRIAL_MULTIPLE: usize = 4;
