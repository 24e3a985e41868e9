//! The values of a histogram.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A histogram as it was read at one moment. Seconds for durations, tokens for batch sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Upper bound of each bucket and the number of values in this bucket alone. The last bound is
    /// infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
}

impl Distribution {
    /// A histogram of durations without values.
    pub fn of_durations() -> Self {
        Self::empty(DURATION_BOUNDS.iter().map(|&nanos| nanos as f64 / 1e9))
    }

    /// A histogram of batch sizes without values.
    pub fn of_batch_sizes() -> Self {
        Self::empty(BATCH_BOUNDS.iter().map(|&tokens| tokens as f64))
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, n)| n).sum()
    }

    /// Adds a duration.
    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some((_, n)) = self.buckets.iter_mut().find(|(bound, _)| seconds <= *bound) {
            *n += 1;
        }
        self.sum += seconds;
    }

    /// The values of both histograms, which must have the same bounds.
    #[must_use]
    pub fn plus_totals(&self, earlier: &Self) -> Self {
        debug_assert_eq!(self.buckets.len(), earlier.buckets.len(), "the bounds are the same");
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        Self {
            buckets: pairs.map(|(&(bound, n), &(_, earlier))| (bound, n + earlier)).collect(),
            sum: self.sum + earlier.sum,
        }
    }

    fn empty(bounds: impl Iterator<Item = f64>) -> Self {
        let bounds = bounds.chain([f64::INFINITY]);
        Self { buckets: bounds.map(|bound| (bound, 0)).collect(), sum: 0.0 }
    }
}

/// Upper bounds of durations in nanoseconds, from one token of a tiny model (0.1 ms) to a long
/// answer of a large one (five minutes). The steps are 1, 2, 5 below a minute.
pub const DURATION_BOUNDS: [u64; 20] = [
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    60_000_000_000,
    120_000_000_000,
    300_000_000_000,
];

/// Upper bounds of batch sizes in tokens, up to the largest `--ubatch`.
pub const BATCH_BOUNDS: [u64; 14] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observed_duration_is_in_the_first_bucket_that_holds_it() {
        let mut durations = Distribution::of_durations();
        for micros in [100, 150, 400_000_000] {
            durations.observe(Duration::from_micros(micros));
        }
        assert_eq!(durations.buckets[0], (0.0001, 1));
        assert_eq!(durations.buckets[1], (0.0002, 1));
        assert_eq!(durations.buckets.last(), Some(&(f64::INFINITY, 1)));
        assert_eq!(durations.plus_totals(&durations).count(), 6);
        assert!((durations.plus_totals(&durations).sum - 800.0005).abs() < 1e-9);
    }
}
