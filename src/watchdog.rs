//! Judges whether the engine gets on.
//!
//! A pure judgement on a [`Snapshot`]: the heartbeat is the age of the step that is running. A
//! timer that still fires proves nothing about the engine thread, so none is used. What follows
//! from a stall is for others to decide.

use std::time::Duration;

use crate::engine::{Snapshot, State};

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
            State::Loading => Health::Loading,
            State::Ended => Health::Ended,
            State::Ready | State::Draining if is_stalled => Health::Stalled,
            State::Draining => Health::Draining,
            State::Ready if snapshot.active + snapshot.queued > 0 => Health::Busy,
            State::Ready => Health::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Phase;

    const LIMIT: Duration = Duration::from_secs(10);

    fn snapshot(state: State, active: usize, step_age: Option<Duration>) -> Snapshot {
        Snapshot {
            state,
            load_progress: 0.0,
            active,
            queued: 0,
            slots: 4,
            kv_used_tokens: 0,
            kv_running_tokens: 0,
            kv_total_tokens: 0,
            swapped_sequences: 0,
            swapped_bytes: 0,
            swapped_out_total: 0,
            swapped_in_total: 0,
            last_tps: None,
            last_ttft: None,
            tokens_total: 0,
            prompt_tokens_total: 0,
            cached_tokens_total: 0,
            drafted_total: 0,
            accepted_total: 0,
            steps_total: 0,
            phases: Phase::ALL.map(|phase| (phase, Duration::ZERO)),
            step_age,
            uptime: Duration::ZERO,
        }
    }

    fn judge(state: State, active: usize, step_age: Option<Duration>) -> Health {
        Watchdog::new(LIMIT).judge(&snapshot(state, active, step_age))
    }

    #[test]
    fn an_engine_without_requests_is_idle_and_with_some_busy() {
        assert_eq!(judge(State::Ready, 0, None), Health::Idle);
        assert_eq!(judge(State::Ready, 1, None), Health::Busy);
        let waiting = Snapshot { queued: 1, ..snapshot(State::Ready, 0, None) };
        assert_eq!(Watchdog::new(LIMIT).judge(&waiting), Health::Busy);
    }

    #[test]
    fn a_step_stalls_only_beyond_the_limit() {
        assert_eq!(judge(State::Ready, 1, Some(LIMIT)), Health::Busy);
        let longer = LIMIT + Duration::from_nanos(1);
        assert_eq!(judge(State::Ready, 1, Some(longer)), Health::Stalled);
        assert_eq!(judge(State::Draining, 1, Some(longer)), Health::Stalled);
    }

    #[test]
    fn the_states_before_and_after_service_are_told_apart() {
        assert_eq!(judge(State::Loading, 0, None), Health::Loading);
        assert_eq!(judge(State::Draining, 1, None), Health::Draining);
        assert_eq!(judge(State::Ended, 0, None), Health::Ended);
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
