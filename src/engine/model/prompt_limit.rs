//! Ends the work on a prompt whose client does not want it any more, or that takes too long.

use std::time::{Duration, Instant};

use crate::domain::Refusal;

use super::interrupt::CancelFlag;

/// How long tokenizing a prompt may take, and whether it is still wanted.
#[derive(Debug, Clone)]
pub struct PromptLimit {
    cancel: CancelFlag,
    started: Instant,
    /// `None`: as long as it takes.
    budget: Option<Duration>,
    /// The field of the request that has the prompt.
    field: &'static str,
}

impl PromptLimit {
    /// Allows `budget` from now on, until `cancel` is set. `field` is the request's field that a
    /// refusal names.
    pub fn new(cancel: CancelFlag, budget: Duration, field: &'static str) -> Self {
        Self { cancel, started: Instant::now(), budget: Some(budget), field }
    }

    /// No limit.
    pub fn none() -> Self {
        let (cancel, started) = (CancelFlag::default(), Instant::now());
        Self { cancel, started, budget: None, field: "prompt" }
    }

    /// To be called about once per millisecond of work.
    ///
    /// # Errors
    /// A refusal, once the work is to end. The client of a cancelled request never gets it.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.cancel.is_set() {
            return Err(Refusal::NotTokenized { reason: "it was cancelled".to_owned() });
        }
        match self.budget {
            Some(budget) if self.started.elapsed() > budget => Err(Refusal::InvalidParams {
                field: self.field.to_owned(),
                reason: format!(
                    "it takes more than {} s to tokenize: send a shorter or simpler one",
                    budget.as_secs_f32()
                ),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_ends_work_that_is_cancelled_or_over_its_budget() {
        let cancel = CancelFlag::default();
        let limit = PromptLimit::new(cancel.clone(), Duration::MAX, "prompt");
        assert_eq!(limit.check(), Ok(()));
        cancel.set();
        assert!(matches!(limit.check(), Err(Refusal::NotTokenized { .. })));
        let limit = PromptLimit::new(CancelFlag::default(), Duration::ZERO, "messages");
        let refused = limit.check();
        assert!(
            matches!(&refused, Err(Refusal::InvalidParams { field, .. }) if field == "messages"),
            "{refused:?}"
        );
        assert_eq!(PromptLimit::none().check(), Ok(()));
    }
}
