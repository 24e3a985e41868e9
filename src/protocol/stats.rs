//! The `stats` object of an `end` frame: times and token counts of one request.
//!
//! Times are whole milliseconds and throughputs are tokens/s with two decimals.

use std::time::Duration;

use serde::Serialize;

use crate::domain::Usage;

/// The content of `stats`. A throughput is `null` if no time has passed or no token was computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EndStats {
    ttft_ms: Option<u64>,
    total_ms: u64,
    tokens: usize,
    tps: Option<f64>,
    prompt_tokens: usize,
    cached_tokens: usize,
    queue_ms: u64,
    prompt_ms: u64,
    prompt_tps: Option<f64>,
    drafted: usize,
    accepted: usize,
}

impl EndStats {
    /// Converts the engine's `usage`. `ttft` is the time until the first text was written to the
    /// socket; `None` if there was no text.
    pub fn new(usage: &Usage, ttft: Option<Duration>) -> Self {
        let Usage {
            prompt_tokens,
            cached_tokens,
            prefilled_tokens,
            tokens,
            drafted,
            accepted,
            queued,
            prompt,
            generation,
            total,
            // The surfaces tell them where they have a field for them.
            reasoning_tokens: _,
            computing: _,
        } = *usage;
        Self {
            ttft_ms: ttft.map(millis),
            // The engine can finish a short request before its first text reaches the socket.
            total_ms: millis(ttft.map_or(total, |ttft| ttft.max(total))),
            tokens,
            // `generation` starts with the first token, which the prefill computes.
            tps: rate(tokens.saturating_sub(1), generation),
            prompt_tokens,
            cached_tokens,
            queue_ms: millis(queued),
            prompt_ms: millis(prompt),
            prompt_tps: rate(prefilled_tokens, prompt),
            drafted,
            accepted,
        }
    }

    /// Tokens per second of the answer; `None` if it has fewer than two tokens.
    pub fn tps(&self) -> Option<f64> {
        self.tps
    }
}

/// Whole milliseconds, rounded.
pub(super) fn millis(duration: Duration) -> u64 {
    (duration.as_secs_f64() * 1e3).round() as u64
}

/// Tokens per second with two decimals; `None` without tokens or elapsed time.
fn rate(tokens: usize, time: Duration) -> Option<f64> {
    let rate = tokens as f64 / time.as_secs_f64();
    (tokens > 0 && rate.is_finite()).then(|| two_decimals(rate))
}

/// Rounds to two decimals.
pub(super) fn two_decimals(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
