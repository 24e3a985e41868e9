//! Measured durations of steps without prompt tokens, by the number of tokens in the step.

/// Moving averages of step durations, one for each step size.
#[derive(Debug)]
pub(super) struct StepCosts {
    by_size: Vec<Option<StepCost>>,
    /// Total duration of all steps so far in seconds, including those measured elsewhere.
    clock: f64,
}

/// The cost of one step size.
#[derive(Debug, Clone, Copy)]
struct StepCost {
    seconds: f64,
    /// `StepCosts::clock` at the last measurement.
    measured_at: f64,
    /// Whether there are two measurements. The first step of a size may allocate memory and build
    /// llama.cpp graphs, and take five times as long as later ones. Trusting it would keep the size
    /// from being tried again.
    is_confirmed: bool,
}

impl Default for StepCosts {
    fn default() -> Self {
        Self { by_size: vec![None; MAX_MEASURED_TOKENS], clock: 0.0 }
    }
}

impl StepCosts {
    /// Adds a measurement: a step of `tokens` tokens took `seconds`. The first two measurements of
    /// a size count as their minimum, later ones move an average.
    pub(super) fn observe(&mut self, tokens: usize, seconds: f64) {
        self.clock += seconds;
        let known = self.recent(tokens);
        let Some(cost) = self.by_size.get_mut(tokens) else { return };
        let seconds = match known {
            None => seconds,
            Some(StepCost { seconds: first, is_confirmed: false, .. }) => first.min(seconds),
            Some(StepCost { seconds: average, .. }) => {
                average + (seconds.min(average * OUTLIER_FACTOR) - average) * SAMPLE_WEIGHT
            }
        };
        let is_confirmed = known.is_some();
        *cost = Some(StepCost { seconds, measured_at: self.clock, is_confirmed });
    }

    /// Advances the clock by a step of `seconds` that is no measurement of these costs.
    pub(super) fn skip(&mut self, seconds: f64) {
        self.clock += seconds;
    }

    /// Seconds of a step of `tokens` tokens; `None` without two recent measurements.
    pub(super) fn measured(&self, tokens: usize) -> Option<f64> {
        self.recent(tokens).filter(|cost| cost.is_confirmed).map(|cost| cost.seconds)
    }

    /// Seconds of a step of `tokens` tokens: measured, or interpolated between the nearest measured
    /// sizes. `None` outside of their range.
    pub(super) fn estimate(&self, tokens: usize) -> Option<f64> {
        let measured = |n| Some((n as f64, self.measured(n)?));
        if let Some((_, seconds)) = measured(tokens) {
            return Some(seconds);
        }
        let (above, longer) = (tokens..MAX_MEASURED_TOKENS).find_map(measured)?;
        let (below, shorter) = (0..tokens).rev().find_map(measured)?;
        Some(shorter + (longer - shorter) * (tokens as f64 - below) / (above - below))
    }

    /// The cost of a size if it was measured recently, once or more often.
    fn recent(&self, tokens: usize) -> Option<StepCost> {
        let cost = (*self.by_size.get(tokens)?)?;
        (self.clock - cost.measured_at <= MAX_AGE_SECONDS).then_some(cost)
    }
}

/// Steps of this many tokens or more have no measured cost, and so get no drafts.
const MAX_MEASURED_TOKENS: usize = 128;

/// Weight of a new measurement in the moving average.
const SAMPLE_WEIGHT: f64 = 0.2;

/// A measurement counts as at most this multiple of the average: a process that was stopped for
/// seconds barely moves it, and a machine that became slower is noticed after a few steps.
const OUTLIER_FACTOR: f64 = 3.0;

/// Seconds of steps after which a measurement expires: the machine may have been busy, or the texts
/// shorter. Measuring again costs some drafts that do not pay, too many if it happened every
/// thousand steps of a model with thousands of tokens per second.
const MAX_AGE_SECONDS: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_cost_is_an_average_that_follows_the_machine() {
        let mut costs = StepCosts::default();
        assert_eq!(costs.measured(4), None);
        costs.observe(4, 1.0);
        costs.observe(4, 1.0);
        assert_eq!(costs.measured(4), Some(1.0));
        for _ in 0..50 {
            costs.observe(4, 2.0);
        }
        assert!((costs.measured(4).unwrap() - 2.0).abs() < 0.01);
        assert_eq!(costs.measured(5), None);
    }

    #[test]
    fn first_measurement_of_a_size_is_not_trusted() {
        let mut costs = StepCosts::default();
        costs.observe(4, 5.0);
        assert_eq!(costs.measured(4), None);
        costs.observe(4, 1.0);
        assert_eq!(costs.measured(4), Some(1.0));
    }

    #[test]
    fn outlier_barely_changes_the_average() {
        let mut costs = StepCosts::default();
        costs.observe(4, 0.01);
        costs.observe(4, 0.01);
        costs.observe(4, 8.0);
        assert!(costs.measured(4).unwrap() < 0.015);
    }

    #[test]
    fn unmeasured_size_is_interpolated_between_its_neighbours() {
        let mut costs = StepCosts::default();
        costs.observe(4, 1.0);
        costs.observe(4, 1.0);
        assert_eq!((costs.estimate(2), costs.estimate(6)), (None, None));
        costs.observe(8, 2.0);
        costs.observe(8, 2.0);
        assert_eq!(
            (costs.estimate(4), costs.estimate(5), costs.estimate(6)),
            (Some(1.0), Some(1.25), Some(1.5))
        );
        assert_eq!((costs.estimate(9), costs.estimate(1000)), (None, None));
    }

    #[test]
    fn old_measurement_expires() {
        let mut costs = StepCosts::default();
        costs.observe(8, 9.0);
        costs.observe(8, 9.0);
        costs.skip(MAX_AGE_SECONDS - 1.0);
        costs.observe(1, 1.0);
        assert_eq!(costs.measured(8), Some(9.0));
        costs.observe(1, 1.0);
        assert_eq!(costs.measured(8), None);
    }

    #[test]
    fn step_beyond_the_largest_size_has_no_cost() {
        let mut costs = StepCosts::default();
        costs.observe(512, 1.0);
        assert_eq!(costs.measured(512), None);
    }
}
