//! Measured durations of steps without prompt tokens, by the number of tokens in the step.
//!
//! A size counts once it was measured twice, and sizes in between are interpolated. Measurements
//! expire, so that the speculator notices when the machine becomes faster again.

/// Moving averages of step durations, one for each drafter and step size.
#[derive(Debug)]
pub(super) struct StepCosts {
    /// By the index of the drafter and the number of tokens in the step; `None` if that size was
    /// never measured.
    by_drafter: Vec<Vec<Option<StepCost>>>,
    /// Total duration of all steps so far. Stands still while no step runs.
    total_seconds: f64,
    /// Number of these steps.
    n_steps: u64,
}

/// The measured duration of steps of one size, in seconds.
#[derive(Debug, Clone, Copy)]
struct StepCost {
    /// Moving average of the durations.
    seconds: f64,
    /// [`StepCosts::total_seconds`] at the last measurement.
    measured_at: f64,
    /// [`StepCosts::n_steps`] at the last measurement.
    measured_at_step: u64,
    /// Whether the size was measured at least twice. The first step of a size may take five times
    /// as long, because it allocates memory and builds graphs. If that value counted, the
    /// speculator would avoid the size and never correct it.
    is_confirmed: bool,
}

impl StepCosts {
    /// No measurements, for a number of drafters.
    pub(super) fn new(n_drafters: usize) -> Self {
        let by_drafter = vec![vec![None; N_STEP_SIZES]; n_drafters];
        Self { by_drafter, total_seconds: 0.0, n_steps: 0 }
    }

    /// Adds a measurement: a step of `n_tokens` tokens with drafts of `drafter` took `seconds`. The
    /// average starts at the lesser of the first two measurements of a size; later ones move it.
    pub(super) fn observe(&mut self, drafter: usize, n_tokens: usize, seconds: f64) {
        self.total_seconds += seconds;
        self.n_steps += 1;
        let known = self.recent(drafter, n_tokens);
        let Some(cost) = self.by_drafter[drafter].get_mut(n_tokens) else { return };
        let seconds = match known {
            None => seconds,
            Some(StepCost { seconds: first, is_confirmed: false, .. }) => first.min(seconds),
            Some(StepCost { seconds: average, .. }) => {
                average + (seconds.min(average * OUTLIER_FACTOR) - average) * SAMPLE_WEIGHT
            }
        };
        let is_confirmed = known.is_some();
        *cost = Some(StepCost {
            seconds,
            measured_at: self.total_seconds,
            measured_at_step: self.n_steps,
            is_confirmed,
        });
    }

    /// Seconds of a step of `n_tokens` tokens with drafts of `drafter`; `None` unless it was
    /// measured twice, and recently.
    pub(super) fn measured(&self, drafter: usize, n_tokens: usize) -> Option<f64> {
        self.recent(drafter, n_tokens).filter(|cost| cost.is_confirmed).map(|cost| cost.seconds)
    }

    /// Seconds of a step of `n_tokens` tokens with drafts of `drafter`: measured, or interpolated
    /// between the nearest measured sizes. `None` outside of their range.
    pub(super) fn estimate(&self, drafter: usize, n_tokens: usize) -> Option<f64> {
        let measured = |n| Some((n as f64, self.measured(drafter, n)?));
        if let Some((_, seconds)) = measured(n_tokens) {
            return Some(seconds);
        }
        let (above, longer) = (n_tokens..N_STEP_SIZES).find_map(measured)?;
        let (below, shorter) = (0..n_tokens).rev().find_map(measured)?;
        Some(shorter + (longer - shorter) * (n_tokens as f64 - below) / (above - below))
    }

    /// The cost of a size if it was measured once or more often and has not expired.
    fn recent(&self, drafter: usize, n_tokens: usize) -> Option<StepCost> {
        let cost = (*self.by_drafter[drafter].get(n_tokens)?)?;
        let is_old = self.total_seconds - cost.measured_at > MAX_AGE_SECONDS
            && self.n_steps - cost.measured_at_step > MAX_AGE_STEPS;
        (!is_old).then_some(cost)
    }
}

/// Number of step sizes that are measured, from 0 tokens on. Steps of this many tokens or more have
/// no measured cost, and so get no drafts.
const N_STEP_SIZES: usize = 128;

/// Weight of a new measurement in the moving average.
const SAMPLE_WEIGHT: f64 = 0.2;

/// A measurement counts as at most this multiple of the average. With a weight of 0.2 an outlier
/// raises the average by at most 40 %, and a slower machine is still noticed after a few steps.
const OUTLIER_FACTOR: f64 = 3.0;

/// A measurement expires after steps of this total duration, but not before [`MAX_AGE_STEPS`],
/// because the machine may have been busy, or the texts shorter. A new measurement may take drafts
/// that do not pay. A limit in steps alone would repeat it too often on a model that generates
/// thousands of tokens per second. (ADR-0009)
const MAX_AGE_SECONDS: f64 = 20.0;

/// A measurement is valid for at least this number of steps. A limit in seconds alone would repeat
/// it too often on a model whose steps take a tenth of a second or more. (ADR-0026)
const MAX_AGE_STEPS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_cost_is_an_average_that_follows_the_machine() {
        let mut costs = StepCosts::new(2);
        assert_eq!(costs.measured(0, 4), None);
        costs.observe(0, 4, 1.0);
        costs.observe(0, 4, 1.0);
        assert_eq!(costs.measured(0, 4), Some(1.0));
        for _ in 0..50 {
            costs.observe(0, 4, 2.0);
        }
        assert!((costs.measured(0, 4).unwrap() - 2.0).abs() < 0.01);
        assert_eq!(costs.measured(0, 5), None);
    }

    #[test]
    fn first_measurement_of_a_size_is_not_trusted() {
        let mut costs = StepCosts::new(2);
        costs.observe(0, 4, 5.0);
        assert_eq!(costs.measured(0, 4), None);
        costs.observe(0, 4, 1.0);
        assert_eq!(costs.measured(0, 4), Some(1.0));
    }

    #[test]
    fn outlier_raises_the_average_by_at_most_half() {
        let mut costs = StepCosts::new(2);
        costs.observe(0, 4, 0.01);
        costs.observe(0, 4, 0.01);
        costs.observe(0, 4, 8.0);
        assert!(costs.measured(0, 4).unwrap() < 0.015);
    }

    #[test]
    fn unmeasured_size_is_interpolated_between_its_neighbours() {
        let mut costs = StepCosts::new(2);
        costs.observe(0, 4, 1.0);
        costs.observe(0, 4, 1.0);
        assert_eq!((costs.estimate(0, 2), costs.estimate(0, 6)), (None, None));
        costs.observe(0, 8, 2.0);
        costs.observe(0, 8, 2.0);
        assert_eq!(
            (costs.estimate(0, 4), costs.estimate(0, 5), costs.estimate(0, 6)),
            (Some(1.0), Some(1.25), Some(1.5))
        );
        assert_eq!((costs.estimate(0, 9), costs.estimate(0, 1000)), (None, None));
    }

    #[test]
    fn measurement_expires_after_both_a_time_and_a_number_of_steps() {
        // Seconds of a step, and the number of steps after which a measurement is old.
        for (seconds, n_steps) in [(1.0, MAX_AGE_STEPS), (0.02, 1000)] {
            let mut costs = StepCosts::new(2);
            costs.observe(0, 8, 9.0);
            costs.observe(0, 8, 9.0);
            (0..n_steps - 1).for_each(|_| costs.observe(1, 1, seconds));
            assert_eq!(costs.measured(0, 8), Some(9.0), "{seconds}");
            (0..2).for_each(|_| costs.observe(0, 1, seconds));
            assert_eq!(costs.measured(0, 8), None, "{seconds}");
        }
    }

    #[test]
    fn step_beyond_the_largest_size_has_no_cost() {
        let mut costs = StepCosts::new(2);
        costs.observe(0, 512, 1.0);
        assert_eq!(costs.measured(0, 512), None);
    }
}
