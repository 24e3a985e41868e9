//! A job in the queue: one that never had a slot, or a suspended one.

use std::time::{Duration, Instant};

use crate::engine::queue::{Flow, Queued};
use crate::engine::request::Job;

use super::slot::Slot;

/// A request that waits for a slot.
#[derive(Debug)]
pub(super) enum Waiting<S> {
    /// It never had a slot.
    New(Box<Job>),
    /// It had one and has given it up. [`Slot::seq`] means nothing meanwhile.
    Suspended(Box<Slot<S>>),
}

impl<S> Waiting<S> {
    /// The request.
    pub(super) fn job(&self) -> &Job {
        match self {
            Self::New(job) => job,
            Self::Suspended(slot) => &slot.job,
        }
    }

    /// The suspended request, if it is one.
    pub(super) fn suspended(&self) -> Option<&Slot<S>> {
        match self {
            Self::New(_) => None,
            Self::Suspended(slot) => Some(slot),
        }
    }

    /// Whether the request is to be ended: it was cancelled, or its client was too slow.
    pub(super) fn is_due(&self, now: Instant, grace: Duration) -> bool {
        match self {
            Self::New(job) => job.cancel.is_set(),
            Self::Suspended(slot) => slot.is_due(now, grace),
        }
    }
}

impl<S> Queued for Waiting<S> {
    fn flow(&self) -> Flow {
        flow_of(self.job())
    }

    fn cost(&self) -> u64 {
        let (n_to_compute, n_generated) = match self {
            Self::New(job) => (job.tokens.len(), 0),
            Self::Suspended(slot) => (slot.n_pending(), slot.n_generated()),
        };
        let max_tokens = self.job().params.max_tokens.map_or(u64::MAX, u64::from);
        let left = max_tokens.saturating_sub(n_generated as u64);
        n_to_compute as u64 + left.min(EXPECTED_OUTPUT_TOKENS)
    }

    fn is_suspended(&self) -> bool {
        matches!(self, Self::Suspended(_))
    }

    fn report_position(&self, position: usize) {
        self.job().outbox.queued(position);
    }
}

/// Whom `job` counts for.
pub(super) fn flow_of(job: &Job) -> Flow {
    Flow { account: job.account, connection: job.connection }
}

/// Most output tokens that a job is charged in advance. Few requests set `max_tokens`, so the
/// charge is corrected while the job runs and when it leaves its slot (ADR-0012).
pub(super) const EXPECTED_OUTPUT_TOKENS: u64 = 128;
