//! Mirrors cached sequences while the engine is idle.
//!
//! A mirrored sequence stays in the KV cache for a request that continues it. For any other request
//! it can be swapped out at once, because its copy is complete.

use std::time::{Duration, Instant};

use crate::engine::model::Model;
use crate::engine::scheduler::Scheduler;

use super::CopyAllowance;
use super::copy::{CopyOutcome, OtherCopies};

impl<M: Model> Scheduler<M> {
    /// When mirroring starts if the engine is idle until then; `None` if there is nothing to
    /// mirror.
    pub(in crate::engine::scheduler) fn mirroring_starts_at(&self) -> Option<Instant> {
        let last_release = self.swap.last_release.filter(|_| self.swap.check_mirrors);
        last_release.map(|at| at + IDLE_BEFORE_MIRRORING)
    }

    /// Copies a part of the next cached sequence that may have to be swapped out later. Drops no
    /// other copy for it.
    pub(in crate::engine::scheduler) fn mirror_next(&mut self, now: Instant) {
        let Some(start) = self.mirroring_starts_at() else {
            self.swap.copying = None;
            return;
        };
        if now < start {
            return;
        }
        let begun = self.swap.copying.as_ref().map(|partial| partial.key);
        let begun = begun.and_then(|key| Some((key, self.cache.get(key)?.seq?)));
        let next = match self.has_excess() {
            true => begun.or_else(|| self.cache.next_to_mirror()),
            false => None,
        };
        let mut allowance = CopyAllowance::Bytes(self.swap.limits.idle);
        let outcome =
            next.map(|(key, seq)| self.copy_to_host(key, seq, &mut allowance, OtherCopies::Stay));
        match outcome {
            Some(CopyOutcome::Complete | CopyOutcome::InProgress) => self.report_kv_usage(),
            Some(CopyOutcome::Impossible) | None => {
                self.swap.check_mirrors = false;
                self.swap.copying = None;
            }
        }
    }
}

/// How long the engine is idle before it mirrors, so that an immediate follow-up request is not
/// delayed.
pub(in crate::engine::scheduler) const IDLE_BEFORE_MIRRORING: Duration = Duration::from_millis(100);
