//! Ends requests: cancelled ones, those of slow clients, finished and failed ones, and all of them
//! at shutdown.
//!
//! Each end frees the slot, settles the charge in the queue, and sends one outcome. The sequence of
//! a finished request stays in its slot as a cached one. A suspended request has no slot, and the
//! sequence that was kept for it becomes a cached one.

use std::time::Instant;

use crate::domain::{ConnectionId, Failure, FinishReason};
use crate::engine::model::Model;
use crate::engine::queue::Queued;
use crate::engine::request::{End, Job};

use super::Scheduler;
use super::slot::Slot;
use super::waiting::{Waiting, flow_of};

impl<M: Model> Scheduler<M> {
    /// Ends cancelled requests and those whose outbox has been full for the grace period. Pauses
    /// slots whose outbox is full, and resumes those whose outbox has space again.
    pub(in crate::engine) fn sweep(&mut self, now: Instant) {
        self.sweep_queue(now);
        let grace = self.options.slow_client_grace;
        for i in 0..self.slots.len() {
            let Some(slot) = &mut self.slots[i] else { continue };
            slot.update_paused(now);
            let Some(slot) = self.slots[i].as_ref().filter(|slot| slot.is_due(now, grace)) else {
                continue;
            };
            let (connection, end) = (slot.job.connection, self.due_end(&slot.job));
            self.finish(i, now, end.clone());
            self.finish_new_of_slow(connection, now, &end);
        }
    }

    /// Does the same with the requests in the queue.
    pub(super) fn sweep_queue(&mut self, now: Instant) {
        let grace = self.options.slow_client_grace;
        for waiting in self.queue.iter_mut() {
            if let Waiting::Suspended(slot) = waiting {
                slot.update_paused(now);
            }
        }
        for waiting in self.queue.take(|waiting| waiting.is_due(now, grace)) {
            let (connection, end) = (waiting.job().connection, self.due_end(waiting.job()));
            self.finish_waiting(waiting, now, end.clone());
            self.finish_new_of_slow(connection, now, &end);
        }
    }

    /// How a request ends that is due: it was cancelled, or its client was too slow.
    fn due_end(&self, job: &Job) -> End {
        match job.cancel.is_set() {
            true => End::Finished(FinishReason::Abort),
            false => End::Failed(Failure::SlowClient { grace: self.options.slow_client_grace }),
        }
    }

    /// If `end` is that of a slow client, ends the requests of its connection that never had a
    /// slot. They share its socket, and each would wait for another grace period.
    fn finish_new_of_slow(&mut self, connection: ConnectionId, now: Instant, end: &End) {
        if !matches!(end, End::Failed(Failure::SlowClient { .. })) {
            return;
        }
        let is_new = |waiting: &Waiting<M::Sampler>| {
            waiting.job().connection == connection && !waiting.is_suspended()
        };
        for waiting in self.queue.take(is_new) {
            self.finish_waiting(waiting, now, end.clone());
        }
    }

    /// Ends all requests that never had a slot, since the daemon is shutting down.
    pub(in crate::engine) fn refuse_waiting(&mut self, now: Instant) {
        for waiting in self.queue.take(|waiting| !waiting.is_suspended()) {
            self.finish_waiting(waiting, now, End::Failed(Failure::ShuttingDown));
        }
    }

    /// Ends all requests, since the time for shutting down has run out.
    pub(in crate::engine) fn end_all(&mut self, now: Instant) {
        for waiting in self.queue.take(|_| true) {
            self.finish_waiting(waiting, now, End::Failed(Failure::ShuttingDown));
        }
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
    fn release(&mut self, mut slot: Slot<M::Sampler>, now: Instant, end: End) {
        self.settle(&mut slot);
        self.metrics.left_slot();
        self.end(slot, now, end);
    }

    /// Ends a request that has no slot.
    pub(super) fn finish_waiting(&mut self, waiting: Waiting<M::Sampler>, now: Instant, end: End) {
        match waiting {
            Waiting::New(job) => {
                self.metrics.finished_unstarted(&job, now);
                job.finish_unstarted(now, end);
            }
            Waiting::Suspended(mut slot) => {
                if let Some(key) = slot.kept.take() {
                    self.kv.disown(&mut self.model, key);
                }
                self.metrics.no_longer_suspended();
                self.end(*slot, now, end);
            }
        }
    }

    /// Sends the outcome of a request that has left its slot.
    fn end(&mut self, slot: Slot<M::Sampler>, now: Instant, end: End) {
        self.kv.released(now);
        self.speculator.observe_answer(slot.n_generated());
        self.metrics.finished(&slot, now);
        self.report_kv_usage();
        slot.finish(now, end);
    }

    /// Settles the charge for a request that leaves its slot.
    pub(super) fn settle(&mut self, slot: &mut Slot<M::Sampler>) {
        let flow = flow_of(&slot.job);
        self.queue.charge(flow, slot.take_unpaid());
        self.queue.leave(flow, slot.refund());
    }
}
