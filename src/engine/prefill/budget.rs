//! The number of prompt tokens in a step, from the measured throughput of earlier steps.
//!
//! llama.cpp computes the prompts of a step and its decoding slots one after another. So a step
//! takes as long as one without prompts, and the prompts' own time in addition. A lone prompt gets
//! steps of up to a quarter of a second. While other slots decode or prefill, steps are cut to the
//! target duration, and [`Pace`] takes over where even the smallest such steps are slow.

use std::time::Duration;

use super::pace::{Pace, PaceEvent};
use super::{BLOCK_TOKENS, StepTokens, TILE_TOKENS};

/// Decides how many prompt tokens join a step, and learns from how long steps take.
#[derive(Debug)]
pub(in crate::engine) struct PrefillBudget {
    /// Target duration of a step.
    target: Duration,
    /// Most tokens of a step.
    n_ubatch: usize,
    /// Prompt tokens per second of the prompts' own time: moving average over steps with prompt
    /// tokens; `None` before the first.
    tokens_per_second: Option<f64>,
    /// Durations of the latest two steps with neither prompt nor draft tokens; zero before them.
    decode_only: [Duration; 2],
    /// The size of chunks while other slots decode.
    pace: Pace,
    /// Depth of the latest step, in tokens.
    depth: usize,
}

impl PrefillBudget {
    pub(in crate::engine) fn new(target: Duration, n_ubatch: usize) -> Self {
        Self {
            target,
            n_ubatch,
            tokens_per_second: None,
            decode_only: [Duration::ZERO; 2],
            pace: Pace::START,
            depth: 0,
        }
    }

    /// Number of prompt tokens that may join a step with `n_decoding` decoding slots of one token
    /// each. `remaining` lists the prompt tokens that each prefilling slot still has to compute.
    /// `has_only_new_streams` says that no decoding slot has generated more than
    /// [`NEW_STREAM_TOKENS`].
    pub(in crate::engine) fn prompt_tokens(
        &self,
        n_decoding: usize,
        has_only_new_streams: bool,
        remaining: &[usize],
    ) -> usize {
        let is_alone = n_decoding == 0 && remaining.len() <= 1;
        let has_only_short_prompts = || remaining.iter().all(|&n| n <= TILE_TOKENS);
        let is_relaxed = is_alone || has_only_new_streams && has_only_short_prompts();
        let target = if is_relaxed { RELAXED_TARGET.max(self.target) } else { self.target };
        let n_tokens = match self.pace {
            Pace::Shrunk { n_tokens, .. } if n_decoding > 0 => n_tokens,
            _ if is_alone => self.tokens_within(target, 0).max(TILE_TOKENS),
            _ => self.tokens_within(target, n_decoding).max(BLOCK_TOKENS),
        };
        // A short last step would cost nearly as much as a full one, so the rest joins this one.
        let rest = remaining.first().filter(|&&rest| is_alone && rest <= 2 * n_tokens);
        rest.copied().unwrap_or(n_tokens).min(self.n_ubatch.saturating_sub(n_decoding))
    }

    /// Learns that a step took `elapsed`.
    pub(in crate::engine) fn observe(&mut self, step: StepTokens, elapsed: Duration) {
        let StepTokens { n_decoding, n_prompt, n_drafted, depth } = step;
        if n_prompt == 0 || depth < self.depth / 2 {
            self.pace = self.pace.after(PaceEvent::PromptEnd);
        }
        self.depth = depth;
        if n_prompt > 0 {
            if n_decoding > 0 && n_prompt == self.pace.smallest_chunk() {
                self.pace = self.pace.after(self.judge(elapsed));
            }
            self.measure(step, elapsed);
        } else if n_drafted == 0 {
            // Draft tokens lengthen a step as much as prompt tokens do, so such a step says nothing
            // about the time that decoding slots need.
            self.decode_only = [elapsed, self.decode_only[0]];
        }
    }

    /// What a step with the smallest chunk that took `elapsed` says about the pace.
    fn judge(&self, elapsed: Duration) -> PaceEvent {
        let slow = self.target * SLOW_PERCENT / 100;
        let slow = slow.max(MIN_SLOW_DECODE_STEPS * self.decode_time());
        if elapsed > slow {
            PaceEvent::SlowStep
        } else if elapsed < slow / 2 {
            PaceEvent::FastStep
        } else {
            PaceEvent::TimelyStep
        }
    }

    /// Updates the throughput after a step with prompt tokens that took `elapsed`.
    fn measure(&mut self, step: StepTokens, elapsed: Duration) {
        if step.n_prompt < MIN_MEASURED_TOKENS || elapsed.is_zero() {
            return;
        }
        // A prompt takes at least as long as the decoding slots: both need all weights once.
        let decoding =
            if step.n_decoding > 0 { self.decode_time().min(elapsed / 2) } else { Duration::ZERO };
        let measured = step.n_prompt as f64 / (elapsed - decoding).as_secs_f64();
        self.tokens_per_second = Some(match self.tokens_per_second {
            Some(average) => (average + measured) / 2.0,
            None => measured,
        });
    }

    /// Number of prompt tokens, to the nearest multiple of a block, with which a step with
    /// `n_decoding` decoding slots takes about `target`.
    fn tokens_within(&self, target: Duration, n_decoding: usize) -> usize {
        let decoding = if n_decoding > 0 { self.decode_time() } else { Duration::ZERO };
        let tokens = match self.tokens_per_second {
            Some(rate) => (rate * target.saturating_sub(decoding).as_secs_f64()) as usize,
            // Before the first measurement a step is small. A slow machine would compute a whole
            // batch for seconds, and a step can be cancelled only between two operations.
            None if n_decoding == 0 => TILE_TOKENS,
            None => BLOCK_TOKENS,
        };
        (tokens + BLOCK_TOKENS / 2) / BLOCK_TOKENS * BLOCK_TOKENS
    }

    /// Duration of a step without prompts; zero if unknown. The lesser of the latest two, so that a
    /// pause of the machine does not count.
    fn decode_time(&self) -> Duration {
        self.decode_only[0].min(self.decode_only[1])
    }
}

/// A stream counts as new up to this number of tokens. While all streams are new, short prompts may
/// be prefilled in longer steps. (ADR-0010)
pub(in crate::engine) const NEW_STREAM_TOKENS: usize = 8;

/// Target duration of a step with a lone prompt, or with short prompts while all streams are new.
/// It bounds how long a short prompt waits that arrives during the prefill of a long one.
/// (ADR-0010)
const RELAXED_TARGET: Duration = Duration::from_millis(250);

/// Steps with fewer prompt tokens say little about the prefill throughput.
const MIN_MEASURED_TOKENS: usize = 8;

/// Duration beyond which a step is slow, in percent of the target. (ADR-0010)
pub(super) const SLOW_PERCENT: u32 = 120;

/// No step is slow up to this many times the duration of a step without prompt tokens: if those are
/// long themselves, smaller chunks would hardly shorten the gaps between tokens. (ADR-0010)
pub(super) const MIN_SLOW_DECODE_STEPS: u32 = 3;
