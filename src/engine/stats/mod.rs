//! What the engine reports about itself: state, counters, histograms and the heartbeat.
//!
//! The engine thread writes relaxed atomics where things happen; other threads read a [`Snapshot`]
//! or a [`Report`] at any time and never wait for a step. Each number is an atomic of its own, so
//! the numbers of one snapshot may be a few tokens apart.
//!
//! The heartbeat is [`Snapshot::step_age`]: the age of the current iteration until its step is
//! computed.

mod histogram;
mod metrics;

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::domain::Code;

use self::histogram::nanos;
use self::metrics::{AtomicHistograms, AtomicNumbers};

pub use self::histogram::Distribution;
pub use self::metrics::{Histograms, Metric, MetricKind, MetricUnit, Numbers};

/// Where the engine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EngineState {
    /// The weights are being loaded.
    Loading,
    /// Requests are accepted.
    Ready,
    /// Running requests may finish, new ones are refused.
    Draining,
    /// The thread has ended.
    Stopped,
}

/// A part of an iteration of the engine's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Admission, prefix reuse, n-gram drafts and the plan of a step.
    Schedule,
    /// The draft model computes draft tokens.
    Draft,
    /// The model computes the step.
    Decode,
    /// Tokens are sampled and turned into text.
    Commit,
}

impl Phase {
    /// Every phase, in the order in which an iteration runs through them.
    pub const ALL: [Self; 4] = [Self::Schedule, Self::Draft, Self::Decode, Self::Commit];
}

/// What the engine is doing now.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where the engine is in its life.
    pub state: EngineState,
    /// Loaded part of the model, 0 to 1.
    pub load_progress: f32,
    /// Counters and gauges.
    pub numbers: Numbers,
    /// Tokens per second of the request that ended last; `None` before the first.
    pub last_tps: Option<f64>,
    /// Time to first token of the request that started last; `None` before the first.
    pub last_ttft: Option<Duration>,
    /// Time spent in each phase since the start.
    pub phases: [(Phase, Duration); Phase::ALL.len()],
    /// The age of the current iteration until its step is computed; `None` while a step is
    /// committed and while the engine waits.
    pub step_age: Option<Duration>,
    /// Time since the engine was created.
    pub uptime: Duration,
}

/// Distributions and request ends since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Number of requests by the code they ended or were refused with.
    pub ends: Vec<(Code, u64)>,
    /// The histograms.
    pub histograms: Histograms,
}

/// The numbers behind [`Snapshot`] and [`Report`].
#[derive(Debug)]
pub(super) struct Stats {
    /// When the engine was created.
    started: Instant,
    /// An [`EngineState`].
    state: AtomicU8,
    /// Bits of an `f32` from 0 to 1.
    load_progress: AtomicU32,
    /// `queued` also bounds the queue: it counts requests that are accepted and not yet in a slot.
    pub(super) numbers: AtomicNumbers,
    pub(super) histograms: AtomicHistograms,
    /// Number of requests that ended or were refused, by code.
    ends: [AtomicU64; Code::ALL.len()],
    /// Time spent in each phase since the start.
    phase_nanos: [AtomicU64; Phase::ALL.len()],
    /// Bits of an `f64`; NaN before the first request has ended.
    last_tps_bits: AtomicU64,
    /// [`NONE`] before the first text.
    last_ttft_nanos: AtomicU64,
    /// When the current iteration began, counted from `started`; [`NONE`] once its step is
    /// computed.
    iteration_began_nanos: AtomicU64,
}

impl Stats {
    /// The statistics of an engine that is created at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            started: now,
            state: AtomicU8::new(EngineState::Loading as u8),
            load_progress: AtomicU32::new(0),
            numbers: AtomicNumbers::default(),
            histograms: AtomicHistograms::default(),
            ends: std::array::from_fn(|_| AtomicU64::new(0)),
            phase_nanos: Default::default(),
            last_tps_bits: AtomicU64::new(f64::NAN.to_bits()),
            last_ttft_nanos: AtomicU64::new(NONE),
            iteration_began_nanos: AtomicU64::new(NONE),
        }
    }

    /// Records a change of the engine's state.
    pub(super) fn set_state(&self, state: EngineState) {
        self.state.store(state as u8, Relaxed);
    }

    /// The engine's state.
    pub(super) fn state(&self) -> EngineState {
        const STATES: [EngineState; 4] =
            [EngineState::Loading, EngineState::Ready, EngineState::Draining, EngineState::Stopped];
        STATES[usize::from(self.state.load(Relaxed))]
    }

    /// Records the loaded fraction of the model, 0 to 1.
    pub(super) fn set_load_progress(&self, fraction: f32) {
        self.load_progress.store(fraction.to_bits(), Relaxed);
    }

    /// Records the time to first token of a request.
    pub(super) fn first_text(&self, ttft: Duration) {
        self.last_ttft_nanos.store(nanos(ttft), Relaxed);
        self.histograms.ttft.observe(ttft);
    }

    /// Records the throughput of a request that ended, in tokens per second.
    pub(super) fn set_last_tps(&self, tps: f64) {
        self.last_tps_bits.store(tps.to_bits(), Relaxed);
    }

    /// Counts the end of a request, or its refusal.
    pub(super) fn count_end(&self, code: Code) {
        self.ends[code as usize].fetch_add(1, Relaxed);
    }

    /// Starts the clock of an iteration of the loop. [`Snapshot::step_age`] is its age until
    /// [`PlannedStep::decoded`] is called or the guard is dropped.
    pub(super) fn iteration(&self, now: Instant) -> Iteration<'_> {
        self.iteration_began_nanos.store(nanos(now - self.started), Relaxed);
        Iteration { stats: self, began: now }
    }

    /// The state at `now`.
    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let uptime = now.saturating_duration_since(self.started);
        let some = |nanos: &AtomicU64| {
            Some(nanos.load(Relaxed)).filter(|&n| n != NONE).map(Duration::from_nanos)
        };
        Snapshot {
            state: self.state(),
            load_progress: f32::from_bits(self.load_progress.load(Relaxed)),
            numbers: self.numbers.read(),
            last_tps: Some(f64::from_bits(self.last_tps_bits.load(Relaxed)))
                .filter(|tps| !tps.is_nan()),
            last_ttft: some(&self.last_ttft_nanos),
            phases: Phase::ALL.map(|phase| {
                (phase, Duration::from_nanos(self.phase_nanos[phase as usize].load(Relaxed)))
            }),
            step_age: some(&self.iteration_began_nanos).map(|began| uptime.saturating_sub(began)),
            uptime,
        }
    }

    /// Histograms and request ends so far.
    pub(super) fn report(&self) -> Report {
        let count = |&code: &Code| (code, self.ends[code as usize].load(Relaxed));
        Report { ends: Code::ALL.iter().map(count).collect(), histograms: self.histograms.read() }
    }
}

/// The clock of one iteration of the engine's loop.
#[derive(Debug)]
pub(super) struct Iteration<'a> {
    stats: &'a Stats,
    began: Instant,
}

impl<'a> Iteration<'a> {
    /// The step is planned; the draft model took `drafting` of the time.
    pub(super) fn planned(self, now: Instant, drafting: Duration) -> PlannedStep<'a> {
        let scheduling = (now - self.began).saturating_sub(drafting);
        PlannedStep { iteration: self, planned: now, scheduling, drafting }
    }
}

impl Drop for Iteration<'_> {
    fn drop(&mut self) {
        self.stats.iteration_began_nanos.store(NONE, Relaxed);
    }
}

/// The clock of an iteration whose step is being computed.
#[derive(Debug)]
pub(super) struct PlannedStep<'a> {
    iteration: Iteration<'a>,
    /// When planning ended.
    planned: Instant,
    /// Duration of [`Phase::Schedule`].
    scheduling: Duration,
    /// Duration of [`Phase::Draft`].
    drafting: Duration,
}

impl<'a> PlannedStep<'a> {
    /// The model has returned, which ends the heartbeat of this iteration. To be called before any
    /// client is notified, so that a client that then reads the metrics finds the step counted.
    pub(super) fn decoded(self, now: Instant, is_computed: bool) -> DecodedStep<'a> {
        let Self { iteration, planned, scheduling, drafting } = self;
        let stats = iteration.stats;
        stats.numbers.steps_total.fetch_add(is_computed.into(), Relaxed);
        drop(iteration);
        DecodedStep { stats, decoded: now, earlier: [scheduling, drafting, now - planned] }
    }
}

/// The clock of an iteration whose results are being committed.
#[derive(Debug)]
pub(super) struct DecodedStep<'a> {
    stats: &'a Stats,
    /// When the model returned.
    decoded: Instant,
    /// Time of the phases before [`Phase::Commit`].
    earlier: [Duration; Phase::ALL.len() - 1],
}

impl DecodedStep<'_> {
    /// Records the time of each phase.
    pub(super) fn committed(self, now: Instant) {
        let took = self.earlier.into_iter().chain([now - self.decoded]);
        for (total, took) in self.stats.phase_nanos.iter().zip(took) {
            total.fetch_add(nanos(took), Relaxed);
        }
    }
}

/// Means "not yet" or "not now" in the nanosecond fields.
const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_count_of_its_own() {
        let stats = Stats::new(Instant::now());
        for (n, &code) in Code::ALL.iter().enumerate() {
            (0..=n).for_each(|_| stats.count_end(code));
        }
        for (n, (code, count)) in stats.report().ends.into_iter().enumerate() {
            assert_eq!(count, n as u64 + 1, "{code:?}");
        }
    }

    #[test]
    fn iteration_without_a_step_ends_the_heartbeat_and_counts_nothing() {
        let stats = Stats::new(Instant::now());
        let iteration = stats.iteration(Instant::now());
        assert!(stats.snapshot(Instant::now()).step_age.is_some());
        drop(iteration);
        let snapshot = stats.snapshot(Instant::now());
        assert_eq!((snapshot.step_age, snapshot.numbers.steps_total), (None, 0));
    }

    #[test]
    fn step_is_counted_before_its_results_are_committed() {
        let stats = Stats::new(Instant::now());
        let now = Instant::now();
        let decoded = stats.iteration(now).planned(now, Duration::ZERO).decoded(now, true);
        let snapshot = stats.snapshot(Instant::now());
        assert_eq!((snapshot.step_age, snapshot.numbers.steps_total), (None, 1));
        decoded.committed(now + Duration::from_millis(5));
        let (phase, took) = stats.snapshot(Instant::now()).phases[3];
        assert_eq!((phase, took), (Phase::Commit, Duration::from_millis(5)));
    }
}
