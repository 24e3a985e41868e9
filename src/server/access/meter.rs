//! Measures what was used within about the last minute.

use std::time::{Duration, Instant};

/// An amount that is used from time to time and forgotten evenly: a full minute's limit within a
/// minute. So a limit can be used up at once, and may be exceeded by a use whose amount is known
/// only afterwards. What exceeds it is a debt, which is forgotten at the same pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    used: f64,
    updated: Instant,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { used: 0.0, updated: now }
    }

    /// Adds an amount that was used at `now`. `limit` is the amount per minute, `None` if there is
    /// no limit; nothing is measured then.
    pub(super) fn add(&mut self, amount: f64, limit: Option<f64>, now: Instant) {
        self.forget(limit, now);
        if limit.is_some() {
            self.used += amount;
        }
    }

    /// How long it takes until less than `limit` per minute is used; `None` if less is used now.
    pub(super) fn wait(&mut self, limit: Option<f64>, now: Instant) -> Option<Duration> {
        self.forget(limit, now);
        let limit = limit.filter(|limit| self.used >= *limit)?;
        let seconds = (self.used - limit) / limit * MINUTE.as_secs_f64();
        // Until it is less, not equal.
        Some(Duration::from_secs_f64(seconds) + Duration::from_millis(1))
    }

    /// Whether everything is forgotten at `now`.
    pub(super) fn is_empty(&mut self, limit: Option<f64>, now: Instant) -> bool {
        self.forget(limit, now);
        self.used <= 0.0
    }

    /// Forgets what was used, up to `now`.
    fn forget(&mut self, limit: Option<f64>, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated);
        self.updated = self.updated.max(now);
        self.used = match limit {
            Some(limit) => {
                let forgotten = limit * elapsed.as_secs_f64() / MINUTE.as_secs_f64();
                (self.used - forgotten).max(0.0)
            }
            None => 0.0,
        };
    }
}

/// The time that limits and counts are about.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<f64> = Some(600.0);

    #[test]
    fn minute_of_use_is_possible_at_once_and_forgotten_in_a_minute() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.wait(LIMIT, start), None);
        meter.add(599.0, LIMIT, start);
        assert_eq!(meter.wait(LIMIT, start), None);
        meter.add(1.0, LIMIT, start);
        assert_eq!(meter.wait(LIMIT, start), Some(Duration::from_millis(1)));
        assert_eq!(meter.wait(LIMIT, start + Duration::from_millis(1)), None);
        assert!(!meter.is_empty(LIMIT, start + Duration::from_secs(59)));
        assert!(meter.is_empty(LIMIT, start + MINUTE));
    }

    #[test]
    fn debt_is_waited_for() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.add(1800.0, LIMIT, start);
        let wait = meter.wait(LIMIT, start).unwrap();
        assert_eq!(wait, Duration::from_millis(120_001));
        assert_eq!(meter.wait(LIMIT, start + wait), None);
    }

    #[test]
    fn raised_limit_counts_at_once() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.add(700.0, LIMIT, start);
        assert!(meter.wait(LIMIT, start).is_some());
        assert_eq!(meter.wait(Some(701.0), start), None);
        assert_eq!(meter.wait(None, start), None);
    }
}
