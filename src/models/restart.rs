//! When the next runner starts after one has ended.

use std::time::Duration;

/// Counts the runners that have ended without a finished request in between.
#[derive(Debug, Clone)]
pub(super) struct RestartPolicy {
    n_failures: u32,
    /// Delay before the second restart in a row.
    first_delay: Duration,
}

/// What to do after a runner has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// Start the next runner after this time. Requests wait.
    After(Duration),
    /// End all requests, and try again after this time.
    GiveUpFor(Duration),
}

impl RestartPolicy {
    pub(super) fn new(first_delay: Duration) -> Self {
        Self { n_failures: 0, first_delay }
    }

    /// Decides after a runner has ended. `was_useful` says that a request has finished since the
    /// runner before ended, or that the runner served for a long time.
    pub(super) fn next(&mut self, was_useful: bool) -> Restart {
        if was_useful {
            self.n_failures = 0;
        }
        self.n_failures += 1;
        match self.n_failures {
            1 => Restart::After(Duration::ZERO),
            n if n <= MAX_RESTARTS => Restart::After(self.first_delay * (1 << (n - 2))),
            _ => Restart::GiveUpFor(self.first_delay * GIVE_UP_DELAYS),
        }
    }
}

/// Restarts in a row, without a finished request, after which the model is given up.
const MAX_RESTARTS: u32 = 5;

/// The delay once the model is given up, as a multiple of `first_delay`: 30 s for 1 s.
const GIVE_UP_DELAYS: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_until_the_model_is_given_up() {
        let mut policy = RestartPolicy::new(Duration::from_secs(1));
        for seconds in [0, 1, 2, 4, 8] {
            let delay = Duration::from_secs(seconds);
            assert_eq!(policy.next(false), Restart::After(delay));
        }
        for _ in 0..2 {
            assert_eq!(policy.next(false), Restart::GiveUpFor(Duration::from_secs(30)));
        }
        assert_eq!(policy.next(true), Restart::After(Duration::ZERO));
        assert_eq!(policy.next(false), Restart::After(Duration::from_secs(1)));
    }
}
