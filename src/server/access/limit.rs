//! The limits of an account, and the refusal when one is reached.

use std::fmt;
use std::time::Duration;

/// The limits of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Connections,
    Requests,
    Waiting,
    Tokens,
    Computing,
    Bytes,
}

impl Limit {
    /// Every limit. `limit as usize` is its position in this array.
    pub(super) const ALL: [Self; 6] = [
        Self::Connections,
        Self::Requests,
        Self::Waiting,
        Self::Tokens,
        Self::Computing,
        Self::Bytes,
    ];

    /// The name in key files and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Waiting => "waiting",
            Self::Tokens => "tokens_per_minute",
            Self::Computing => "compute_seconds_per_minute",
            Self::Bytes => "bytes",
        }
    }
}

impl Limit {
    /// The limit of `max` never allows `n` at once.
    pub(super) fn excess(self, n: u64, max: u64) -> String {
        format!("{n} {} are more than the limit of {max} ({})", self.what(), self.name())
    }

    /// What is limited.
    fn what(self) -> &'static str {
        match self {
            Self::Connections => "connections at once",
            Self::Requests => "requests at once",
            Self::Waiting => "requests that wait for a slot",
            Self::Tokens => "tokens per minute",
            Self::Computing => "seconds of computing per minute",
            Self::Bytes => "bytes of messages under way",
        }
    }
}

/// A limit of an account is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct RateLimited {
    limit: Limit,
    max: u64,
    retry_after: Duration,
}

impl RateLimited {
    /// `max` is the limit, and `retry_after` the time after which to try again.
    pub(super) fn new(limit: Limit, max: u64, retry_after: Duration) -> Self {
        Self { limit, max, retry_after }
    }

    /// The limit.
    #[cfg(test)]
    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    /// Milliseconds after which to try again, rounded up.
    pub(in crate::server) fn retry_after_ms(&self) -> u64 {
        u64::try_from(self.retry_after.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, max, .. } = self;
        let advice = match limit {
            Limit::Connections => "close one",
            Limit::Requests => "wait for one to end",
            Limit::Waiting => "wait for one to start",
            Limit::Tokens | Limit::Computing => "",
            Limit::Bytes => "send less at once",
        };
        let (what, name) = (limit.what(), limit.name());
        write!(f, "the limit of {max} {what} ({name}) is reached: ")?;
        match advice {
            "" => write!(f, "try again in {} s", self.retry_after_ms().div_ceil(1000)),
            _ => write!(f, "{advice}, then try again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_budget_says_when_to_try_again() {
        let wait = Duration::from_millis(4_100);
        let message = RateLimited::new(Limit::Tokens, 600, wait).to_string();
        assert!(message.ends_with("(tokens_per_minute) is reached: try again in 5 s"), "{message}");
    }

    #[test]
    fn limit_as_number_is_its_position_in_the_list_of_all() {
        for (position, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, position);
        }
    }
}
