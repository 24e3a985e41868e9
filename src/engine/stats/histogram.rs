//! Histograms of durations and batch sizes.
//!
//! Adding a value takes two relaxed atomic additions, and reading never blocks the writer. So the
//! counts and the sum that are read may be a few values apart.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::domain::{BATCH_BOUNDS, DURATION_BOUNDS, Distribution};

/// A histogram of durations.
#[derive(Debug, Default)]
pub(in crate::engine) struct Durations(Histogram<{ DURATION_BOUNDS.len() }>);

impl Durations {
    /// Adds a duration.
    pub(in crate::engine) fn observe(&self, duration: Duration) {
        self.0.observe(&DURATION_BOUNDS, nanos(duration));
    }

    /// The histogram in seconds.
    pub(super) fn read(&self) -> Distribution {
        self.0.read(&DURATION_BOUNDS, 1e9)
    }
}

/// A histogram of the number of tokens in a batch.
#[derive(Debug, Default)]
pub(in crate::engine) struct BatchSizes(Histogram<{ BATCH_BOUNDS.len() }>);

impl BatchSizes {
    /// Adds the size of a batch.
    pub(in crate::engine) fn observe(&self, n_tokens: usize) {
        self.0.observe(&BATCH_BOUNDS, n_tokens as u64);
    }

    /// The histogram in tokens.
    pub(super) fn read(&self) -> Distribution {
        self.0.read(&BATCH_BOUNDS, 1.0)
    }
}

/// Nanoseconds of a duration; a `u64` holds 584 years of them.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

/// Counts values in buckets with `N` upper bounds, and those beyond the last bound.
#[derive(Debug)]
struct Histogram<const N: usize> {
    /// Number of values in each bucket, by index of its upper bound.
    counts: [AtomicU64; N],
    /// Number of values beyond the last bound.
    beyond: AtomicU64,
    /// Sum of all values.
    sum: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Histogram<N> {
    /// Adds a value. `bounds` are the upper bounds of the buckets, in ascending order.
    fn observe(&self, bounds: &[u64; N], value: u64) {
        let bucket = bounds.partition_point(|&bound| bound < value);
        self.counts.get(bucket).unwrap_or(&self.beyond).fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// The histogram now, with bounds and sum divided by `unit`.
    fn read(&self, bounds: &[u64; N], unit: f64) -> Distribution {
        let counted = bounds
            .iter()
            .zip(&self.counts)
            .map(|(&bound, count)| (bound as f64 / unit, count.load(Relaxed)));
        let beyond = (f64::INFINITY, self.beyond.load(Relaxed));
        Distribution {
            buckets: counted.chain([beyond]).collect(),
            sum: self.sum.load(Relaxed) as f64 / unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_counted_in_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for nanos in [0, 100_000, 100_001, 400_000_000_000] {
            durations.observe(Duration::from_nanos(nanos));
        }
        let Distribution { buckets, sum } = durations.read();
        assert_eq!(buckets[0], (0.0001, 2));
        assert_eq!(buckets[1], (0.0002, 1));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
        assert!((sum - 400.000_200_001).abs() < 1e-9);
    }
}
