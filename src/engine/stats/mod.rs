//! What the engine reports about itself: state, counters, histograms and the heartbeat.
//!
//! The engine thread writes relaxed atomics where things happen; other threads read a [`Snapshot`]
//! at any time and never wait for a step. Each number is an atomic of its own, so the numbers of
//! one snapshot may be a few tokens apart.

mod histogram;
mod metrics;

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::domain::{EngineState, Phase, Snapshot};

use self::histogram::nanos;
use self::metrics::{AtomicHistograms, AtomicNumbers};

/// The numbers behind a [`Snapshot`].
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
    /// Time spent in each phase since the start.
    phase_nanos: [AtomicU64; Phase::ALL.len()],
    /// Bits of an `f64`; NaN before the first request has ended.
    last_tps_bits: AtomicU64,
    /// When the current iteration began, counted from `started`; [`NONE`] between iterations.
    iteration_began_nanos: AtomicU64,
    /// Number of iterations and of reports about the load.
    heartbeat: AtomicU64,
    /// Duration of the longest iteration.
    longest_step_nanos: AtomicU64,
    /// Number of steps in a row that could not be computed.
    failed_steps: AtomicU32,
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
            phase_nanos: Default::default(),
            last_tps_bits: AtomicU64::new(f64::NAN.to_bits()),
            iteration_began_nanos: AtomicU64::new(NONE),
            heartbeat: AtomicU64::new(0),
            longest_step_nanos: AtomicU64::new(0),
            failed_steps: AtomicU32::new(0),
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
        self.heartbeat.fetch_add(1, Relaxed);
    }

    /// Records the throughput of a request that ended, in tokens per second.
    pub(super) fn set_last_tps(&self, tps: f64) {
        self.last_tps_bits.store(tps.to_bits(), Relaxed);
    }

    /// Starts the clock of an iteration of the loop. [`Snapshot::step_age`] is its age until the
    /// guard is dropped or the step is committed.
    pub(super) fn iteration(&self, now: Instant) -> Iteration<'_> {
        self.iteration_began_nanos.store(nanos(now - self.started), Relaxed);
        Iteration { stats: self, began: now }
    }

    /// Number of steps in a row that could not be computed.
    pub(super) fn failed_steps(&self) -> u32 {
        self.failed_steps.load(Relaxed)
    }

    /// The state at `now`. The heartbeat also counts `n_polls`, how often the model has asked
    /// during its steps whether to go on.
    pub(super) fn snapshot(&self, now: Instant, n_polls: u64) -> Snapshot {
        let age = now.saturating_duration_since(self.started);
        let began = Some(self.iteration_began_nanos.load(Relaxed)).filter(|&n| n != NONE);
        Snapshot {
            state: self.state(),
            load_progress: f32::from_bits(self.load_progress.load(Relaxed)),
            numbers: self.numbers.read(),
            histograms: self.histograms.read(),
            last_tps: Some(f64::from_bits(self.last_tps_bits.load(Relaxed)))
                .filter(|tps| !tps.is_nan()),
            phases: Phase::ALL
                .map(|phase| Duration::from_nanos(self.phase_nanos[phase as usize].load(Relaxed))),
            step_age: began.map(|began| age.saturating_sub(Duration::from_nanos(began))),
            heartbeat: self.heartbeat.load(Relaxed).wrapping_add(n_polls),
            longest_step: Duration::from_nanos(self.longest_step_nanos.load(Relaxed)),
            has_unseen_requests: false,
        }
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
        self.stats.heartbeat.fetch_add(1, Relaxed);
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
    /// The model has returned. To be called before any client is notified, so that a client that
    /// then reads the metrics finds the step counted.
    pub(super) fn decoded(self, now: Instant, result: StepResult) -> DecodedStep<'a> {
        let Self { iteration, planned, scheduling, drafting } = self;
        let stats = iteration.stats;
        match result {
            StepResult::Computed => {
                stats.numbers.steps_total.fetch_add(1, Relaxed);
                stats.failed_steps.store(0, Relaxed);
            }
            StepResult::Failed => {
                stats.failed_steps.fetch_add(1, Relaxed);
            }
            StepResult::Cancelled => {}
        }
        DecodedStep { iteration, decoded: now, earlier: [scheduling, drafting, now - planned] }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepResult {
    Computed,
    Failed,
    Cancelled,
}

/// The clock of an iteration whose results are being committed.
#[derive(Debug)]
pub(super) struct DecodedStep<'a> {
    iteration: Iteration<'a>,
    /// When the model returned.
    decoded: Instant,
    /// Time of the phases before [`Phase::Commit`].
    earlier: [Duration; Phase::ALL.len() - 1],
}

impl DecodedStep<'_> {
    /// Records the time of each phase, and ends the iteration.
    pub(super) fn committed(self, now: Instant) {
        let stats = self.iteration.stats;
        let took = self.earlier.into_iter().chain([now - self.decoded]);
        for (total, took) in stats.phase_nanos.iter().zip(took) {
            total.fetch_add(nanos(took), Relaxed);
        }
        stats.longest_step_nanos.fetch_max(nanos(now - self.iteration.began), Relaxed);
    }
}

/// Means "not yet" or "not now" in the nanosecond fields.
const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iteration_without_a_step_ends_and_counts_nothing() {
        let stats = Stats::new(Instant::now());
        let iteration = stats.iteration(Instant::now());
        assert!(stats.snapshot(Instant::now(), 0).step_age.is_some());
        drop(iteration);
        let snapshot = stats.snapshot(Instant::now(), 0);
        assert_eq!((snapshot.step_age, snapshot.numbers.steps_total), (None, 0));
        assert_eq!(snapshot.heartbeat, 1);
    }

    #[test]
    fn step_is_counted_before_its_results_are_committed_and_lasts_until_then() {
        let stats = Stats::new(Instant::now());
        let now = Instant::now();
        let planned = stats.iteration(now).planned(now, Duration::ZERO);
        let decoded = planned.decoded(now, StepResult::Computed);
        let snapshot = stats.snapshot(Instant::now(), 0);
        assert_eq!((snapshot.step_age.is_some(), snapshot.numbers.steps_total), (true, 1));
        decoded.committed(now + Duration::from_millis(5));
        let snapshot = stats.snapshot(Instant::now(), 0);
        assert_eq!(snapshot.phases[Phase::Commit as usize], Duration::from_millis(5));
        assert_eq!(snapshot.longest_step, Duration::from_millis(5));
        assert_eq!(snapshot.step_age, None);
    }

    #[test]
    fn failed_steps_are_counted_until_one_is_computed() {
        let stats = Stats::new(Instant::now());
        let now = Instant::now();
        for (result, failed) in [
            (StepResult::Failed, 1),
            (StepResult::Cancelled, 1),
            (StepResult::Failed, 2),
            (StepResult::Computed, 0),
        ] {
            stats.iteration(now).planned(now, Duration::ZERO).decoded(now, result);
            assert_eq!(stats.failed_steps(), failed, "{result:?}");
        }
    }
}
