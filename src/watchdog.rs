//! Judges whether the engine gets on.
//!
//! A pure judgement on a [`Snapshot`]: the heartbeat is the age of the step that is running. A
//! timer that still fires proves nothing about the engine thread, so none is used. What follows
//! from a stall is for others to decide.

use std::time::Duration;

use crate::engine::{EngineState, Snapshot};

/// How the engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The model is being loaded.
    Loading,
    /// It waits for requests.
    Idle,
    /// It computes.
    Busy,
    /// It computes, and one step has taken longer than any should.
    Stalled,
    /// It finishes what runs and takes nothing new.
    Draining,
    /// Its thread has ended.
    Ended,
}

impl Health {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Loading, Self::Idle, Self::Busy, Self::Stalled, Self::Draining, Self::Ended];

    /// Whether it makes progress, or has none to make.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Stalled | Self::Ended)
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Stalled => "stalled",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }

    /// Whether new requests are taken.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }
}

/// The judge.
#[derive(Debug, Clone, Copy)]
pub struct Watchdog {
    stall_limit: Duration,
}

impl Watchdog {
    /// A judge who calls a step of more than `stall_limit` a stall.
    pub fn new(stall_limit: Duration) -> Self {
        Self { stall_limit }
    }

    /// How the engine was when `snapshot` was taken.
    pub fn judge(self, snapshot: &Snapshot) -> Health {
        let is_stalled = snapshot.step_age.is_some_and(|age| age > self.stall_limit);
        match snapshot.state {
            EngineState::Loading => Health::Loading,
            EngineState::Stopped => Health::Ended,
            EngineState::Ready | EngineState::Draining if is_stalled => Health::Stalled,
            EngineState::Draining => Health::Draining,
            EngineState::Ready if snapshot.numbers.active + snapshot.numbers.queued > 0 => {
                Health::Busy
            }
            EngineState::Ready => Health::Idle,
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
    fn an_engine_without_requests_is_idle_and_with_some_busy() {
        assert_eq!(judge(EngineState::Ready, 0, None), Health::Idle);
        assert_eq!(judge(EngineState::Ready, 1, None), Health::Busy);
        let mut waiting = snapshot(EngineState::Ready, 0, None);
        waiting.numbers.queued = 1;
        assert_eq!(Watchdog::new(LIMIT).judge(&waiting), Health::Busy);
    }

    #[test]
    fn a_step_stalls_only_beyond_the_limit() {
        assert_eq!(judge(EngineState::Ready, 1, Some(LIMIT)), Health::Busy);
        let longer = LIMIT + Duration::from_nanos(1);
        assert_eq!(judge(EngineState::Ready, 1, Some(longer)), Health::Stalled);
        assert_eq!(judge(EngineState::Draining, 1, Some(longer)), Health::Stalled);
    }

    #[test]
    fn the_states_before_and_after_service_are_told_apart() {
        assert_eq!(judge(EngineState::Loading, 0, None), Health::Loading);
        assert_eq!(judge(EngineState::Draining, 1, None), Health::Draining);
        assert_eq!(judge(EngineState::Stopped, 0, None), Health::Ended);
    }

    #[test]
    fn only_a_stalled_or_ended_engine_is_dead_and_only_a_serving_one_ready() {
        let table = [
            (Health::Loading, true, false),
            (Health::Idle, true, true),
            (Health::Busy, true, true),
            (Health::Stalled, false, false),
            (Health::Draining, true, false),
            (Health::Ended, false, false),
        ];
        for (health, is_alive, is_ready) in table {
            assert_eq!((health.is_alive(), health.is_ready()), (is_alive, is_ready), "{health:?}");
        }
    }
}
