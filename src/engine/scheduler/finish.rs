//! Ends requests: cancelled ones, those of slow clients, finished and failed ones, and all of them
//! at shutdown.
//!
//! Each end frees the slot, settles the charge in the queue, and sends one outcome. The sequence of
//! a finished request stays in its slot as a cached one.

use std::time::Instant;

use crate::domain::{Failure, FinishReason};
use crate::engine::model::Model;
use crate::engine::request::{End, Job};

use super::Scheduler;
use super::slot::Slot;

impl<M: Model> Scheduler<M> {
    /// Ends cancelled requests and those whose outbox has been full for the grace period. Pauses
    /// slots whose outbox is full, and resumes those whose outbox has space again.
    pub(in crate::engine) fn sweep(&mut self, now: Instant) {
        for job in self.queue.take_cancelled() {
            self.finish_unstarted(job, now, End::Finished(FinishReason::Abort));
        }
        let grace = self.options.slow_client_grace;
        for i in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[i] else { continue };
            if slot.job.cancel.is_set() {
                self.finish(i, now, End::Finished(FinishReason::Abort));
            } else if !slot.job.outbox.is_full() {
                slot.paused = None;
            } else if now.duration_since(*slot.paused.get_or_insert(now)) >= grace {
                let connection = slot.job.connection;
                self.finish(i, now, End::Failed(Failure::SlowClient { grace }));
                // Waiting requests of the connection share its socket: each would block a slot for
                // another grace period.
                for job in self.queue.take_by_connection(connection) {
                    self.finish_unstarted(job, now, End::Failed(Failure::SlowClient { grace }));
                }
            }
        }
    }

    /// Ends all waiting requests, since the daemon is shutting down.
    pub(in crate::engine) fn refuse_waiting(&mut self, now: Instant) {
        for job in self.queue.take_all() {
            self.finish_unstarted(job, now, End::Failed(Failure::ShuttingDown));
        }
    }

    /// Ends all requests, since the time for shutting down has run out.
    pub(in crate::engine) fn end_all(&mut self, now: Instant) {
        self.refuse_waiting(now);
        for i in 0..self.slots.len() {
            self.finish(i, now, End::Failed(Failure::ShuttingDown));
        }
    }

    /// Ends the request in slot `i`, if there is one, and caches its sequence if it may.
    pub(super) fn finish(&mut self, i: usize, now: Instant, end: End) {
        let Some(slot) = self.slots[i].take() else { return };
        if slot.job.params.cache_prompt && slot.n_computed > 0 {
            let tokens = slot.tokens[..slot.n_computed].to_vec();
            self.kv.store(&mut self.model, slot.seq, tokens, slot.record);
        } else {
            self.model.truncate(slot.seq, 0);
        }
        self.release(slot, now, end);
    }

    /// Ends the request in slot `i`, if there is one, without caching its sequence: the KV data may
    /// be invalid.
    pub(super) fn discard(&mut self, i: usize, now: Instant, end: End) {
        if let Some(slot) = self.slots[i].take() {
            self.model.truncate(slot.seq, 0);
            self.release(slot, now, end);
        }
    }

    /// Settles the charge for the request of a slot and sends the outcome.
    fn release(&mut self, slot: Slot<M::Sampler>, now: Instant, end: End) {
        self.kv.released(now);
        self.speculator.observe_answer(slot.n_generated());
        let n_computed = slot.n_prefilled() + slot.n_generated();
        self.queue.settle(&slot.job, slot.n_prompt, n_computed);
        self.metrics.finished(&slot, now);
        self.report_kv_usage();
        slot.finish(now, end);
    }

    /// Ends a request that never got a slot.
    fn finish_unstarted(&mut self, job: Job, now: Instant, end: End) {
        self.metrics.finished_unstarted(&job, now);
        job.finish_unstarted(now, end);
    }
}
