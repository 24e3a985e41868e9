//! Wide prefill steps while other slots decode, for machines on which small steps stay long.
//!
//! At large depths, on a CPU with slow attention, a step of a few tokens is long. A wide step takes
//! about twice the time for thirty times the prompt tokens, because llama.cpp computes it in tiles
//! ([`TILE_TOKENS`]). The two are compared by their value: prompt tokens per second times steps per
//! second. At the maximum of this product, no other step size raises the throughput of prefill by a
//! larger factor than it lowers that of the streams, or the reverse (Nash's bargaining solution,
//! 1950). The measurements are in ADR-0011.

use std::time::Duration;

use super::{StepTokens, TILE_TOKENS};

/// Number of tokens of a wide step with `n_decoding` decoding slots.
pub(super) fn wide_step(n_decoding: usize) -> usize {
    (n_decoding + TILE_TOKENS / 2).next_multiple_of(TILE_TOKENS)
}

/// What wide steps cost, and whether they are in use.
#[derive(Debug, Default)]
pub(super) struct WideSteps {
    /// The latest measurement at comparable depth.
    sample: Option<WideSample>,
    /// The small steps that wide ones have replaced; `None` while wide steps are not in use.
    replaced: Option<ReplacedStep>,
}

impl WideSteps {
    /// Whether wide steps are in use.
    pub(super) fn is_active(&self) -> bool {
        self.replaced.is_some()
    }

    /// Learns the cost of wide steps from any step that is large enough.
    pub(super) fn learn(&mut self, step: StepTokens, elapsed: Duration) {
        let StepTokens { n_decoding, n_prompt, n_drafted, depth } = step;
        let tokens = n_decoding + n_prompt;
        // Attention makes steps longer with depth, so the cost of a step at a small depth says
        // nothing about one at a large depth.
        let is_deep_enough = self.sample.is_none_or(|known| depth >= known.depth / 2);
        if n_prompt > 0 && n_drafted == 0 && tokens >= TILE_TOKENS && is_deep_enough {
            let last = elapsed.as_secs_f64() / tokens as f64;
            let seconds_per_token = self.sample.map_or(last, |known| known.last.min(last));
            self.sample = Some(WideSample { depth, seconds_per_token, last });
        }
    }

    /// Switches to wide steps if their value is higher than that of the small `step`, which took
    /// `elapsed`. If their cost at this depth is unknown, they are tried if `is_trial_due`.
    pub(super) fn compare(&mut self, step: StepTokens, elapsed: Duration, is_trial_due: bool) {
        let small = value(step.n_prompt, elapsed.as_secs_f64());
        let known = self.sample.filter(|known| step.depth <= 2 * known.depth);
        let is_better = known.map_or(is_trial_due, |known| {
            let deeper = step.depth.max(known.depth).max(1) as f64 / known.depth.max(1) as f64;
            let tokens = wide_step(step.n_decoding);
            let seconds = tokens as f64 * known.seconds_per_token * deeper;
            value(tokens - step.n_decoding, seconds) > small
        });
        self.replaced = is_better.then_some(ReplacedStep { value: small, n_wide: 0 });
    }

    /// Returns to small steps if the wide `step`, which took `elapsed`, had a lower value, or after
    /// [`WIDE_STEPS_IN_A_ROW`].
    pub(super) fn review(&mut self, step: StepTokens, elapsed: Duration) {
        let is_whole = step.n_decoding + step.n_prompt == wide_step(step.n_decoding);
        self.replaced.take_if(|small| {
            small.n_wide += 1;
            let is_worse = is_whole && value(step.n_prompt, elapsed.as_secs_f64()) < small.value;
            is_worse || small.n_wide >= WIDE_STEPS_IN_A_ROW
        });
    }

    /// Returns to small steps, since prefill has ended or another prompt starts.
    pub(super) fn stop(&mut self) {
        self.replaced = None;
    }
}

/// The measured cost of wide steps.
#[derive(Debug, Clone, Copy)]
struct WideSample {
    /// Depth of the measured steps, in tokens.
    depth: usize,
    /// The lesser of the last two measurements, so that a single outlier does not count.
    seconds_per_token: f64,
    /// The last measurement, in seconds per token.
    last: f64,
}

/// The small steps that wide ones have replaced.
#[derive(Debug, Clone, Copy)]
struct ReplacedStep {
    /// [`value`] of the last small step.
    value: f64,
    /// Number of wide steps since then.
    n_wide: u32,
}

/// The value of a step with `n_prompt` prompt tokens that takes `seconds`: prompt tokens per second
/// times steps per second.
fn value(n_prompt: usize, seconds: f64) -> f64 {
    n_prompt as f64 / (seconds * seconds)
}

/// Number of wide steps after which small ones are tried again, because the cause of their slowness
/// may have passed. (ADR-0011)
const WIDE_STEPS_IN_A_ROW: u32 = 16;
