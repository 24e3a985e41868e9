//! Wide prefill steps beside streams, where small ones do not become short.
//!
//! At depth, on a CPU with slow attention, a step of a few tokens is long, and a wide one takes
//! about twice the time for thirty times the prompt tokens, as llama.cpp computes it in tiles
//! ([`TILE_TOKENS`]). Both are compared by their value: prompt tokens per second times steps per
//! second. At the maximum of this product neither prefill nor the streams can gain in proportion
//! what the other loses (Nash's bargaining solution, 1950). The measurements are in ADR-0011.

use std::time::Duration;

use super::{StepTokens, TILE_TOKENS};

/// Tokens of a wide step with `decoding` slots.
pub(super) fn wide_step(decoding: usize) -> usize {
    (decoding + TILE_TOKENS / 2).next_multiple_of(TILE_TOKENS)
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
    pub(super) fn are_active(&self) -> bool {
        self.replaced.is_some()
    }

    /// Learns the cost of wide steps from any step that is large enough.
    pub(super) fn learn(&mut self, step: StepTokens, elapsed: Duration) {
        let StepTokens { decoding, prompt, drafted, depth } = step;
        let tokens = decoding + prompt;
        // Attention makes steps longer with depth, so a shallow step tells nothing about a deep
        // one.
        let is_deep = self.sample.is_none_or(|known| depth >= known.depth / 2);
        if prompt > 0 && drafted == 0 && tokens >= TILE_TOKENS && is_deep {
            let last = elapsed.as_secs_f64() / tokens as f64;
            let seconds_per_token = self.sample.map_or(last, |known| known.last.min(last));
            self.sample = Some(WideSample { depth, seconds_per_token, last });
        }
    }

    /// Switches to wide steps if they are worth more than the small `step`, which took `elapsed`.
    /// If their cost at this depth is unknown, they are tried if small steps are hopeless.
    pub(super) fn compare(&mut self, step: StepTokens, elapsed: Duration, is_hopeless: bool) {
        let small = value(step.prompt, elapsed.as_secs_f64());
        let known = self.sample.filter(|known| step.depth <= 2 * known.depth);
        let is_better = known.map_or(is_hopeless, |known| {
            let deeper = step.depth.max(known.depth).max(1) as f64 / known.depth.max(1) as f64;
            let tokens = wide_step(step.decoding);
            let seconds = tokens as f64 * known.seconds_per_token * deeper;
            value(tokens - step.decoding, seconds) > small
        });
        self.replaced = is_better.then_some(ReplacedStep { value: small, n_wide: 0 });
    }

    /// Returns to small steps if the wide `step`, which took `elapsed`, was worth less, or after
    /// [`WIDE_STEPS_IN_A_ROW`].
    pub(super) fn review(&mut self, step: StepTokens, elapsed: Duration) {
        let is_whole = step.decoding + step.prompt == wide_step(step.decoding);
        self.replaced.take_if(|small| {
            small.n_wide += 1;
            let is_worse = is_whole && value(step.prompt, elapsed.as_secs_f64()) < small.value;
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
    depth: usize,
    /// The lesser of the last two measurements, so that a pause of the machine does not count.
    seconds_per_token: f64,
    /// The last measurement, in seconds per token.
    last: f64,
}

/// The small steps that wide ones have replaced.
#[derive(Debug, Clone, Copy)]
struct ReplacedStep {
    value: f64,
    /// Number of wide steps since then.
    n_wide: u32,
}

/// The value of a step with `prompt` prompt tokens that takes `seconds`.
fn value(prompt: usize, seconds: f64) -> f64 {
    prompt as f64 / (seconds * seconds)
}

/// Wide steps before small ones are tried again, as these may have been slow for a passing reason.
/// (ADR-0011)
const WIDE_STEPS_IN_A_ROW: u32 = 16;
