//! The state of the engine at one moment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::table::{Histograms, Numbers};

/// Where the engine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What the engine is doing now, and what it has counted since it was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where the engine is in its life.
    pub state: EngineState,
    /// Loaded part of the model, 0 to 1.
    pub load_progress: f32,
    /// Counters and gauges.
    pub numbers: Numbers,
    /// Histograms.
    pub histograms: Histograms,
    /// Tokens per second of the request that ended last; `None` before the first.
    pub last_tps: Option<f64>,
    /// Time spent in each phase since the start, in the order of [`Phase::ALL`].
    pub phases: [Duration; Phase::ALL.len()],
    /// The age of the current iteration; `None` while the engine waits for work.
    pub step_age: Option<Duration>,
    /// Changes whenever the engine makes progress: with each iteration, with each part of a step
    /// that the model reports, and with each part of the model that is loaded.
    pub heartbeat: u64,
    /// Duration of the longest iteration so far.
    pub longest_step: Duration,
    /// Whether requests have arrived that the engine has not looked at.
    pub has_unseen_requests: bool,
}

impl Snapshot {
    /// An engine that has not begun to load.
    pub fn loading() -> Self {
        Self {
            state: EngineState::Loading,
            load_progress: 0.0,
            numbers: Numbers::default(),
            histograms: Histograms::default(),
            last_tps: None,
            phases: Default::default(),
            step_age: None,
            heartbeat: 0,
            longest_step: Duration::ZERO,
            has_unseen_requests: false,
        }
    }

    /// This snapshot with the totals of `earlier` added, an engine that has ended.
    #[must_use]
    pub fn plus_totals(&self, earlier: &Self) -> Self {
        let mut phases = self.phases;
        phases.iter_mut().zip(earlier.phases).for_each(|(own, earlier)| *own += earlier);
        Self {
            numbers: self.numbers.plus_totals(&earlier.numbers),
            histograms: self.histograms.plus_totals(&earlier.histograms),
            last_tps: self.last_tps.or(earlier.last_tps),
            phases,
            ..self.clone()
        }
    }

    /// The totals alone, without anything about the present.
    #[must_use]
    pub fn totals(&self) -> Self {
        Self {
            numbers: self.numbers.counters(),
            histograms: self.histograms.clone(),
            last_tps: self.last_tps,
            phases: self.phases,
            ..Self::loading()
        }
    }
}
