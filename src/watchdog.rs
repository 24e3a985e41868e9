//! Judges the health of the engine from a snapshot of its counters.
//!
//! The heartbeat is [`Snapshot::step_age`]: the age of the current iteration until its step is
//! computed, so it includes planning and drafting. A timer would prove nothing, because it can fire
//! while the engine thread hangs. The watchdog only judges: its callers decide what to do about a
//! stall.

use std::time::Duration;

use crate::engine::{EngineState, Snapshot};

/// Judges snapshots of the engine.
#[derive(Debug, Clone, Copy)]
pub struct Watchdog {
    /// Longest heartbeat of a healthy engine.
    stall_limit: Duration,
}

impl Watchdog {
    /// A watchdog that judges the engine as stalled when an iteration takes longer than
    /// `stall_limit` to compute its step.
    pub fn new(stall_limit: Duration) -> Self {
        Self { stall_limit }
    }

    /// The health of the engine when `snapshot` was taken.
    pub fn judge(self, snapshot: &Snapshot) -> Health {
        let is_stalled = snapshot.step_age.is_some_and(|age| age > self.stall_limit);
        match snapshot.state {
            EngineState::Loading => Health::Loading,
            EngineState::Stopped => Health::Stopped,
            EngineState::Ready | EngineState::Draining if is_stalled => Health::Stalled,
            EngineState::Draining => Health::Draining,
            EngineState::Ready if snapshot.numbers.active + snapshot.numbers.queued > 0 => {
                Health::Busy
            }
            EngineState::Ready => Health::Idle,
        }
    }
}

/// The health of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The model is being loaded.
    Loading,
    /// No request is running or waiting.
    Idle,
    /// Requests are running or waiting.
    Busy,
    /// The current iteration has taken longer than the stall limit to compute its step.
    Stalled,
    /// Running requests may finish, new ones are refused.
    Draining,
    /// The engine thread has stopped.
    Stopped,
}

impl Health {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Loading, Self::Idle, Self::Busy, Self::Stalled, Self::Draining, Self::Stopped];

    /// Whether the engine makes progress or has no work.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Stalled | Self::Stopped)
    }

    /// Whether the engine accepts new requests.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }

    /// The name on the health page and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Stalled => "stalled",
            Self::Draining => "draining",
            Self::Stopped => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Numbers, Phase};

    const LIMIT: Duration = Duration::from_secs(10);

    fn snapshot(state: EngineState, active: usize, step_age: Option<Duration>) -> Snapshot {
        Snapshot {
            state,
            load_progress: 0.0,
            numbers: Numbers { active, slots: 4, ..Numbers::default() },
            last_tps: None,
            last_ttft: None,
            phases: Phase::ALL.map(|phase| (phase, Duration::ZERO)),
            step_age,
            uptime: Duration::ZERO,
        }
    }

    fn judge(state: EngineState, active: usize, step_age: Option<Duration>) -> Health {
        Watchdog::new(LIMIT).judge(&snapshot(state, active, step_age))
    }

    #[test]
    fn engine_is_busy_while_requests_run_or_wait_and_idle_otherwise() {
        assert_eq!(judge(EngineState::Ready, 0, None), Health::Idle);
        assert_eq!(judge(EngineState::Ready, 1, None), Health::Busy);
        let mut waiting = snapshot(EngineState::Ready, 0, None);
        waiting.numbers.queued = 1;
        assert_eq!(Watchdog::new(LIMIT).judge(&waiting), Health::Busy);
    }

    #[test]
    fn step_is_stalled_only_beyond_the_limit() {
        assert_eq!(judge(EngineState::Ready, 1, Some(LIMIT)), Health::Busy);
        let longer = LIMIT + Duration::from_nanos(1);
        assert_eq!(judge(EngineState::Ready, 1, Some(longer)), Health::Stalled);
        assert_eq!(judge(EngineState::Draining, 1, Some(longer)), Health::Stalled);
    }

    #[test]
    fn loading_draining_and_stopped_are_distinct() {
        assert_eq!(judge(EngineState::Loading, 0, None), Health::Loading);
        assert_eq!(judge(EngineState::Draining, 1, None), Health::Draining);
        assert_eq!(judge(EngineState::Stopped, 0, None), Health::Stopped);
    }

    #[test]
    fn stalled_and_stopped_are_not_alive_and_only_idle_and_busy_are_ready() {
        let table = [
            (Health::Loading, true, false),
            (Health::Idle, true, true),
            (Health::Busy, true, true),
            (Health::Stalled, false, false),
            (Health::Draining, true, false),
            (Health::Stopped, false, false),
        ];
        for (health, is_alive, is_ready) in table {
            assert_eq!((health.is_alive(), health.is_ready()), (is_alive, is_ready), "{health:?}");
        }
    }
}
