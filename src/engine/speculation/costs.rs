//! What a step costs, by the number of its tokens.

/// Sizes that are known one by one; larger steps do not guess.
const SIZES: usize = 128;

/// What a new measurement counts for against all before.
const WEIGHT: f64 = 0.2;

/// A measurement counts as so many times what was usual at most. A process that was stopped for
/// seconds says nothing about a step, and a machine that has become slower is known after a few.
const MOST_LONGER: f64 = 3.0;

/// Seconds of steps after which what was measured no longer counts: the machine may have been busy
/// then, or the texts shorter. To find out anew costs some guesses that do not pay, which a model of
/// thousands of tokens a second cannot afford every thousand steps.
const LIFETIME: f64 = 20.0;

/// Moving averages of what steps took.
#[derive(Debug)]
pub(super) struct StepCosts {
    by_size: Vec<Option<Cost>>,
    /// Seconds of the steps so far, measured here or not.
    clock: f64,
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    /// The clock then.
    measured: f64,
    /// Whether it was measured twice. The first step of a size may have to wait for memory and for
    /// graphs that llama.cpp makes anew, and take five times as long as any later one: believed,
    /// it would keep the size from being tried again.
    is_confirmed: bool,
}

impl Default for StepCosts {
    fn default() -> Self {
        Self { by_size: vec![None; SIZES], clock: 0.0 }
    }
}

impl StepCosts {
    /// Learns that a step of `tokens` tokens took `seconds`.
    pub(super) fn observe(&mut self, tokens: usize, seconds: f64) {
        self.clock += seconds;
        let known = self.fresh(tokens);
        let Some(cost) = self.by_size.get_mut(tokens) else { return };
        let seconds = match known {
            None => seconds,
            Some(Cost { seconds: first, is_confirmed: false, .. }) => first.min(seconds),
            Some(Cost { seconds: usual, .. }) => {
                usual + (seconds.min(usual * MOST_LONGER) - usual) * WEIGHT
            }
        };
        *cost = Some(Cost { seconds, measured: self.clock, is_confirmed: known.is_some() });
    }

    /// A step of so many `seconds` passes that says nothing about these costs.
    pub(super) fn pass(&mut self, seconds: f64) {
        self.clock += seconds;
    }

    /// Seconds of a step of `tokens` tokens, where that is known and still true.
    pub(super) fn of(&self, tokens: usize) -> Option<f64> {
        self.fresh(tokens).filter(|cost| cost.is_confirmed).map(|cost| cost.seconds)
    }

    /// The same, and where it is not known a value between those of the nearest sizes that are;
    /// `None` beyond the largest of these.
    pub(super) fn about(&self, tokens: usize) -> Option<f64> {
        let known = |n| Some((n as f64, self.of(n)?));
        if let Some((_, seconds)) = known(tokens) {
            return Some(seconds);
        }
        let (more, longer) = (tokens..SIZES).find_map(known)?;
        let (fewer, shorter) = (0..tokens).rev().find_map(known)?;
        Some(shorter + (longer - shorter) * (tokens as f64 - fewer) / (more - fewer))
    }

    /// What is still true of a size, measured twice or once.
    fn fresh(&self, tokens: usize) -> Option<Cost> {
        let cost = (*self.by_size.get(tokens)?)?;
        (self.clock - cost.measured <= LIFETIME).then_some(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_an_average_that_follows_the_machine() {
        let mut costs = StepCosts::default();
        assert_eq!(costs.of(4), None);
        costs.observe(4, 1.0);
        costs.observe(4, 1.0);
        assert_eq!(costs.of(4), Some(1.0));
        for _ in 0..50 {
            costs.observe(4, 2.0);
        }
        assert!((costs.of(4).unwrap() - 2.0).abs() < 0.01);
        assert_eq!(costs.of(5), None);
    }

    #[test]
    fn a_first_step_that_waited_for_something_is_not_believed() {
        let mut costs = StepCosts::default();
        costs.observe(4, 5.0);
        assert_eq!(costs.of(4), None);
        costs.observe(4, 1.0);
        assert_eq!(costs.of(4), Some(1.0));
    }

    #[test]
    fn a_step_that_was_held_up_for_seconds_says_little() {
        let mut costs = StepCosts::default();
        costs.observe(4, 0.01);
        costs.observe(4, 0.01);
        costs.observe(4, 8.0);
        assert!(costs.of(4).unwrap() < 0.015);
    }

    #[test]
    fn what_was_not_measured_lies_between_its_neighbours() {
        let mut costs = StepCosts::default();
        costs.observe(4, 1.0);
        costs.observe(4, 1.0);
        assert_eq!((costs.about(2), costs.about(6)), (None, None));
        costs.observe(8, 2.0);
        costs.observe(8, 2.0);
        assert_eq!(
            (costs.about(4), costs.about(5), costs.about(6)),
            (Some(1.0), Some(1.25), Some(1.5))
        );
        assert_eq!((costs.about(9), costs.about(1000)), (None, None));
    }

    #[test]
    fn what_was_measured_long_ago_is_forgotten() {
        let mut costs = StepCosts::default();
        costs.observe(8, 9.0);
        costs.observe(8, 9.0);
        costs.pass(LIFETIME - 1.0);
        costs.observe(1, 1.0);
        assert_eq!(costs.of(8), Some(9.0));
        costs.observe(1, 1.0);
        assert_eq!(costs.of(8), None);
    }

    #[test]
    fn a_step_beyond_all_sizes_has_no_cost() {
        let mut costs = StepCosts::default();
        costs.observe(512, 1.0);
        assert_eq!(costs.of(512), None);
    }
}
