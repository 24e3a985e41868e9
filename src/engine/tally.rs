//! How often, how long, how many: distributions and counts of what the engine did.
//!
//! Written where things happen, one relaxed addition or two each, and read by whoever exports
//! them. Nothing here is ever taken back or averaged.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::domain::{Failure, FinishReason, Refusal};

use super::request::End;

/// Upper bounds of durations, in nanoseconds: a tenth of a millisecond, which a tiny model takes
/// for a token, to five minutes, which a large one takes for a long answer, in steps of 1, 2, 5 below
/// a minute.
const DURATIONS: [u64; 20] = [
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

/// Upper bounds of the tokens of a step: up to the largest that can be asked for.
const STEP_TOKENS: [u64; 14] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];

/// How a request ended, or why it never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The model ended it, or a stop string was met.
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
    /// The client asked for it, or left.
    Abort,
    /// The client did not read.
    SlowClient,
    /// The model could not compute it, or the engine had stopped.
    EngineFailed,
    /// The server was leaving.
    ShuttingDown,
    /// The model was still loading.
    Loading,
    /// The queue was full.
    Busy,
    /// The prompt was too long.
    ContextOverflow,
    /// A parameter or the prompt could not be used.
    InvalidParams,
    /// What came was no JSON.
    BadJson,
    /// It was JSON, and no frame.
    BadFrame,
    /// It was a frame that nobody knows.
    UnknownOp,
    /// The client had a request without a name already.
    RequestInFlight,
    /// The client had a request of that name already.
    DuplicateId,
}

impl Ending {
    /// Every way.
    pub const ALL: [Self; 15] = [
        Self::Stop,
        Self::Length,
        Self::Abort,
        Self::SlowClient,
        Self::EngineFailed,
        Self::ShuttingDown,
        Self::Loading,
        Self::Busy,
        Self::ContextOverflow,
        Self::InvalidParams,
        Self::BadJson,
        Self::BadFrame,
        Self::UnknownOp,
        Self::RequestInFlight,
        Self::DuplicateId,
    ];
}

impl From<&End> for Ending {
    fn from(end: &End) -> Self {
        match end {
            End::Finished(FinishReason::Stop) => Self::Stop,
            End::Finished(FinishReason::Length) => Self::Length,
            End::Finished(FinishReason::Abort) => Self::Abort,
            End::Failed(Failure::SlowClient { .. }) => Self::SlowClient,
            End::Failed(Failure::EngineFailed { .. }) => Self::EngineFailed,
            End::Failed(Failure::ShuttingDown) => Self::ShuttingDown,
        }
    }
}

impl From<&Refusal> for Ending {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Loading => Self::Loading,
            Refusal::Busy { .. } => Self::Busy,
            Refusal::ShuttingDown => Self::ShuttingDown,
            Refusal::EngineFailed => Self::EngineFailed,
            Refusal::ContextOverflow { .. } => Self::ContextOverflow,
            Refusal::InvalidParams { .. } => Self::InvalidParams,
        }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Each bucket's upper bound, the last infinite, and how many values are in it alone. Seconds
    /// or tokens.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all values.
    pub sum: f64,
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, n)| n).sum()
    }
}

/// All distributions and counts at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Requests by how they ended; one refused is in it too, also before it was read.
    pub endings: [(Ending, u64); Ending::ALL.len()],
    /// Seconds from receipt to a slot, or to the end where a request got none.
    pub queue_wait: Distribution,
    /// Seconds from receipt to the first text handed to the socket.
    pub ttft: Distribution,
    /// Seconds between two tokens of one request.
    pub inter_token: Distribution,
    /// Seconds from receipt to the end, of all requests that were not refused.
    pub total: Distribution,
    /// Seconds a step took.
    pub step: Distribution,
    /// Tokens of a step.
    pub step_tokens: Distribution,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(super) struct Tally {
    endings: [AtomicU64; Ending::ALL.len()],
    pub(super) queue_wait: Histogram<{ DURATIONS.len() }>,
    pub(super) ttft: Histogram<{ DURATIONS.len() }>,
    pub(super) inter_token: Histogram<{ DURATIONS.len() }>,
    pub(super) total: Histogram<{ DURATIONS.len() }>,
    pub(super) step: Histogram<{ DURATIONS.len() }>,
    step_tokens: Histogram<{ STEP_TOKENS.len() }>,
}

impl Tally {
    pub(super) fn count(&self, ending: Ending) {
        self.endings[ending as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn count_step(&self, n_tokens: usize, elapsed: Duration) {
        self.step.observe(elapsed);
        self.step_tokens.add(&STEP_TOKENS, n_tokens as u64);
    }

    pub(super) fn report(&self) -> Report {
        Report {
            endings: Ending::ALL
                .map(|ending| (ending, self.endings[ending as usize].load(Relaxed))),
            queue_wait: self.queue_wait.seconds(),
            ttft: self.ttft.seconds(),
            inter_token: self.inter_token.seconds(),
            total: self.total.seconds(),
            step: self.step.seconds(),
            step_tokens: self.step_tokens.distribution(&STEP_TOKENS, 1.0),
        }
    }
}

/// Counts of values up to each of `N` bounds, and of those beyond.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    counts: [AtomicU64; N],
    beyond: AtomicU64,
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
    fn add(&self, bounds: &[u64; N], value: u64) {
        let bucket = bounds.partition_point(|&bound| bound < value);
        self.counts.get(bucket).unwrap_or(&self.beyond).fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// `unit` is what one of the counted things is worth.
    fn distribution(&self, bounds: &[u64; N], unit: f64) -> Distribution {
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

impl Histogram<{ DURATIONS.len() }> {
    pub(super) fn observe(&self, duration: Duration) {
        // Half a millennium of nanoseconds fits.
        self.add(&DURATIONS, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    fn seconds(&self) -> Distribution {
        self.distribution(&DURATIONS, 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_holds_it() {
        let tally = Tally::default();
        for nanos in [0, 100_000, 100_001, 400_000_000_000] {
            tally.ttft.observe(Duration::from_nanos(nanos));
        }
        let Distribution { buckets, sum } = tally.report().ttft;
        assert_eq!(buckets[0], (0.0001, 2));
        assert_eq!(buckets[1], (0.0002, 1));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
        assert!((sum - 400.000_200_001).abs() < 1e-9);
    }

    #[test]
    fn every_ending_has_a_count_of_its_own() {
        let tally = Tally::default();
        for (n, ending) in Ending::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| tally.count(ending));
        }
        for (n, (ending, count)) in tally.report().endings.into_iter().enumerate() {
            assert_eq!(count, n as u64 + 1, "{ending:?}");
        }
    }
}
