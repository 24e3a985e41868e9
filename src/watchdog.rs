//! Judges whether a runner makes progress.
//!
//! The heartbeat is [`Snapshot::heartbeat`](crate::domain::Snapshot::heartbeat): it counts
//! iterations of the engine and, on a CPU, the operations of each step. A runner that does not
//! answer has no heartbeat either. Time alone proves nothing: a laptop sleeps, a debugger stops
//! everything, other programs take all CPUs. So the watchdog adds up only the time in which the
//! runner could have made progress: time on a CPU if its threads want one, all time if they sleep
//! or are stopped, and none while the system reads its memory from a disk. Two observations in
//! a row must agree before a runner is stalled.

use std::time::{Duration, Instant};

/// How long a runner may make no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StallLimit {
    /// This long.
    Fixed(Duration),
    /// As the pace of the model demands: a multiple of its longest step, within bounds.
    Measured,
}

impl StallLimit {
    /// The limit for a load, whose parts take different times.
    pub fn for_load(self) -> Duration {
        match self {
            Self::Fixed(limit) => limit.max(MIN_LOAD_LIMIT),
            Self::Measured => LOAD_LIMIT,
        }
    }

    /// The limit for a model whose longest step so far took `longest_step`; zero before the first.
    pub fn for_step(self, longest_step: Duration) -> Duration {
        match self {
            Self::Fixed(limit) => limit,
            Self::Measured if longest_step.is_zero() => UNMEASURED_LIMIT,
            Self::Measured => {
                longest_step.saturating_mul(LONGEST_STEPS).clamp(MIN_LIMIT, MAX_LIMIT)
            }
        }
    }
}

/// What is known about a runner at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// When this was observed.
    pub at: Instant,
    /// Changes whenever the runner makes progress.
    pub heartbeat: u64,
    /// Whether progress is expected: the engine has work, or a question is not answered.
    pub is_expected: bool,
    /// What the system says about the process.
    pub activity: ActivityReading,
}

/// What was read about the activity of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityReading {
    /// Nothing was read, because the runner makes progress.
    Skipped,
    /// The system says nothing.
    Unavailable,
    /// The system says this.
    Read(Activity),
}

/// What the operating system knows about the threads of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// CPU time that the process has taken so far.
    pub cpu: Duration,
    /// Whether one of its threads runs, or would run if a CPU were free.
    pub is_runnable: bool,
    /// Number of pages that were read from a disk for it so far.
    pub major_faults: u64,
}

/// Judges one runner.
#[derive(Debug, Clone)]
pub struct Watchdog {
    last: Option<Observation>,
    /// Time without progress in which there could have been some.
    without_progress: Duration,
    /// Number of observations in a row in which `without_progress` has reached the limit.
    n_over_limit: u32,
}

impl Watchdog {
    /// A watchdog for a runner that has just started.
    pub fn new() -> Self {
        Self { last: None, without_progress: Duration::ZERO, n_over_limit: 0 }
    }

    /// Whether [`Observation::activity`] is to be read: the heartbeat has not changed since the
    /// last observation.
    pub fn needs_activity(&self, heartbeat: u64) -> bool {
        self.last.is_some_and(|last| last.heartbeat == heartbeat)
    }

    /// Adds an observation. Returns whether the runner is stalled: it has made no progress for
    /// `limit`. `interval` is the planned time since the last observation; a daemon that could
    /// not observe for longer than two of them counts no more than two.
    pub fn observe(&mut self, now: Observation, limit: Duration, interval: Duration) -> bool {
        let Some(before) = self.last.replace(now) else { return false };
        if now.heartbeat != before.heartbeat || !now.is_expected || !before.is_expected {
            (self.without_progress, self.n_over_limit) = (Duration::ZERO, 0);
            return false;
        }
        let elapsed = now.at.saturating_duration_since(before.at).min(interval * 2);
        self.without_progress += match (before.activity, now.activity) {
            (ActivityReading::Skipped, ActivityReading::Read(now)) if now.is_runnable => {
                Duration::ZERO
            }
            (ActivityReading::Read(before), ActivityReading::Read(now)) if now.is_runnable => {
                elapsed.min(now.cpu.saturating_sub(before.cpu))
            }
            (ActivityReading::Read(before), ActivityReading::Read(now))
                if now.major_faults > before.major_faults =>
            {
                Duration::ZERO
            }
            _ => elapsed,
        };
        self.n_over_limit = if self.without_progress >= limit { self.n_over_limit + 1 } else { 0 };
        self.n_over_limit >= CONFIRMATIONS
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}

/// Longest step that is a pause and not a stall, in longest steps so far. A step with a long prompt
/// takes up to about ten times as long as the steps before it.
const LONGEST_STEPS: u32 = 20;

/// Limit for a load. A slow disk makes little progress, and so does a driver that compiles kernels.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// Lower bound of a chosen limit for a load: some of its parts report no progress.
const MIN_LOAD_LIMIT: Duration = Duration::from_secs(30);

/// Limit before the first step, which may read the weights from a disk.
const UNMEASURED_LIMIT: Duration = Duration::from_secs(60);

/// Lower bound of the measured limit. Drivers recover from some faults within seconds.
const MIN_LIMIT: Duration = Duration::from_secs(10);

/// Upper bound of the measured limit.
const MAX_LIMIT: Duration = Duration::from_secs(600);

/// Number of observations in a row that must find a stall. One may be due to a pause between a step
/// and its observation.
const CONFIRMATIONS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const TICK: Duration = Duration::from_millis(250);

    /// What happens in one interval.
    #[derive(Clone, Copy)]
    struct Tick {
        beats: u64,
        is_expected: bool,
        cpu: Duration,
        is_runnable: bool,
        major_faults: u64,
        elapsed: Duration,
    }

    /// A runner that computes on one CPU without progress.
    const SPINNING: Tick = Tick {
        beats: 0,
        is_expected: true,
        cpu: TICK,
        is_runnable: true,
        major_faults: 0,
        elapsed: TICK,
    };

    /// A runner that sleeps in a driver, or that is stopped.
    const SLEEPING: Tick = Tick { cpu: Duration::ZERO, is_runnable: false, ..SPINNING };

    /// The number of ticks of this kind until the runner is stalled; `None` within an hour.
    fn ticks_until_stalled(ticks: impl Iterator<Item = Tick>) -> Option<usize> {
        let mut watchdog = Watchdog::new();
        let (mut at, mut heartbeat) = (Instant::now(), 0);
        let mut activity = Activity { cpu: Duration::ZERO, is_runnable: false, major_faults: 0 };
        let n_ticks = 4 * 3600;
        ticks.take(n_ticks).position(|tick| {
            at += tick.elapsed;
            heartbeat += tick.beats;
            activity = Activity {
                cpu: activity.cpu + tick.cpu,
                is_runnable: tick.is_runnable,
                major_faults: activity.major_faults + tick.major_faults,
            };
            let now = Observation {
                at,
                heartbeat,
                is_expected: tick.is_expected,
                activity: ActivityReading::Read(activity),
            };
            watchdog.observe(now, LIMIT, TICK)
        })
    }

    fn always(tick: Tick) -> Option<usize> {
        ticks_until_stalled(std::iter::repeat(tick))
    }

    #[test]
    fn runner_without_progress_is_stalled_after_the_limit_and_a_second_observation() {
        // The first observation starts the clock, 40 more reach the limit, and one confirms it.
        assert_eq!(always(SPINNING), Some(41));
        assert_eq!(always(SLEEPING), Some(41));
    }

    #[test]
    fn runner_that_makes_progress_or_has_no_work_is_not_stalled() {
        assert_eq!(always(Tick { beats: 1, ..SPINNING }), None);
        assert_eq!(always(Tick { is_expected: false, ..SLEEPING }), None);
        // A beat every nine seconds.
        let slow = (0..).map(|i| Tick { beats: u64::from(i % 36 == 0), ..SPINNING });
        assert_eq!(ticks_until_stalled(slow), None);
    }

    #[test]
    fn runner_that_waits_for_a_cpu_or_a_disk_is_not_stalled() {
        let starved = Tick { cpu: Duration::ZERO, ..SPINNING };
        assert_eq!(always(starved), None);
        assert_eq!(always(Tick { major_faults: 7, ..SLEEPING }), None);
        // With a tenth of a CPU the limit comes after ten times as long.
        let slow = Tick { cpu: TICK / 10, ..SPINNING };
        assert_eq!(always(slow), Some(401));
    }

    #[test]
    fn pause_of_the_whole_machine_counts_as_two_intervals() {
        let paused = Tick { elapsed: Duration::from_secs(3600), ..SLEEPING };
        let once = [SLEEPING, paused].into_iter().chain(std::iter::repeat_n(SLEEPING, 38));
        assert_eq!(ticks_until_stalled(once.clone()), None);
        let more = once.chain(std::iter::repeat(SLEEPING));
        assert_eq!(ticks_until_stalled(more), Some(40));
    }

    #[test]
    fn limit_follows_the_longest_step() {
        let seconds = Duration::from_secs;
        let table = [
            (StallLimit::Measured, Duration::ZERO, seconds(60)),
            (StallLimit::Measured, Duration::from_millis(100), seconds(10)),
            (StallLimit::Measured, seconds(3), seconds(60)),
            (StallLimit::Measured, seconds(100), seconds(600)),
            (StallLimit::Fixed(seconds(2)), seconds(100), seconds(2)),
        ];
        for (limit, longest_step, expected) in table {
            assert_eq!(limit.for_step(longest_step), expected, "{limit:?} {longest_step:?}");
        }
        assert_eq!(StallLimit::Measured.for_load(), seconds(300));
        assert_eq!(StallLimit::Fixed(seconds(2)).for_load(), seconds(30));
        assert_eq!(StallLimit::Fixed(seconds(40)).for_load(), seconds(40));
    }
}
