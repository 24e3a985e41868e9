//! Where the runner of a model is in its life, and what that means for clients.

/// Where the runner is in its life, as the daemon sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerPhase {
    /// The first runner loads the model.
    Loading,
    /// A runner serves the model.
    Ready,
    /// The runner makes no progress and is being ended.
    Stalled,
    /// A runner has ended, and the next one starts. Requests wait for it.
    Restarting {
        /// How the runner ended.
        cause: String,
    },
    /// Runners end again and again. The next attempt comes later.
    Failed {
        /// How the last runner ended.
        reason: String,
    },
    /// Running requests may finish, new ones are refused.
    Draining,
    /// No runner will start again.
    Stopped,
}

/// The health of the model, as pages and metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The model is being loaded.
    Loading,
    /// No request is running or waiting.
    Idle,
    /// Requests are running or waiting.
    Busy,
    /// The runner makes no progress and is being ended.
    Stalled,
    /// A runner has ended, and the next one starts.
    Restarting,
    /// Runners end again and again.
    Failed,
    /// Running requests may finish, new ones are refused.
    Draining,
    /// No runner will start again.
    Stopped,
}

impl Health {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Loading,
        Self::Idle,
        Self::Busy,
        Self::Stalled,
        Self::Restarting,
        Self::Failed,
        Self::Draining,
        Self::Stopped,
    ];

    /// The health in this phase, with requests in flight or without.
    pub(super) fn of(phase: &RunnerPhase, has_requests: bool) -> Self {
        match phase {
            RunnerPhase::Loading => Self::Loading,
            RunnerPhase::Stalled => Self::Stalled,
            RunnerPhase::Restarting { .. } => Self::Restarting,
            RunnerPhase::Failed { .. } => Self::Failed,
            RunnerPhase::Draining => Self::Draining,
            RunnerPhase::Stopped => Self::Stopped,
            RunnerPhase::Ready if has_requests => Self::Busy,
            RunnerPhase::Ready => Self::Idle,
        }
    }

    /// Whether requests can be expected to finish. While a runner is replaced they wait.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Idle | Self::Busy | Self::Restarting | Self::Draining)
    }

    /// Whether a new request would be computed now.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Idle | Self::Busy)
    }

    /// The name on pages and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Stalled => "stalled",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Draining => "draining",
            Self::Stopped => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_says_who_serves_and_who_waits() {
        let cause = || "SIGKILL".to_owned();
        let table = [
            (RunnerPhase::Loading, "loading", false, false),
            (RunnerPhase::Ready, "idle", true, true),
            (RunnerPhase::Stalled, "stalled", false, false),
            (RunnerPhase::Restarting { cause: cause() }, "restarting", true, false),
            (RunnerPhase::Failed { reason: cause() }, "failed", false, false),
            (RunnerPhase::Draining, "draining", true, false),
            (RunnerPhase::Stopped, "ended", false, false),
        ];
        for (phase, name, is_alive, is_ready) in table {
            let health = Health::of(&phase, false);
            let actual = (health.name(), health.is_alive(), health.is_ready());
            assert_eq!(actual, (name, is_alive, is_ready), "{phase:?}");
        }
    }

    #[test]
    fn model_is_busy_while_requests_run_or_wait() {
        assert_eq!(Health::of(&RunnerPhase::Ready, true), Health::Busy);
    }
}
