//! Admits requests from the queue into free slots.
//!
//! Every slot has space for the longest request, so a request needs nothing but a slot. If none is
//! free, a running request may be suspended for it (`turns`). Which slot it gets, and what it
//! reuses there, is decided by [`KvCache::place`](crate::engine::kv::KvCache::place). If the
//! sequence in that slot is worth a copy in host RAM and has none, the request waits until the copy
//! is complete.

use std::collections::HashSet;
use std::time::Instant;

use crate::domain::{ConnectionId, Token};
use crate::engine::kv::Placement;
use crate::engine::model::{Model, SeqId};
use crate::engine::request::Job;
use crate::engine::speculation::drafters;

use super::Scheduler;
use super::slot::{Slot, SlotAssignment, running_sequences};
use super::waiting::Waiting;

impl<M: Model> Scheduler<M> {
    /// Resumes slots that waited for a prefix, fills free slots from the queue, and reports the new
    /// queue positions. Mirrors cached sequences while nothing runs.
    pub(in crate::engine) fn admit(&mut self, now: Instant) {
        // This comes first, because an admitted request could take the slot of the cached sequence
        // that contains the prefix that these slots wait for.
        self.resume_prefix_waits(now);
        // A paused slot and the waiting requests of its connection share a socket, so their slots
        // would be paused, too.
        let suspended = self.queue.iter().filter_map(Waiting::suspended);
        let paused = self.running().chain(suspended).filter(|slot| slot.paused.is_some());
        let connections: HashSet<ConnectionId> = paused.map(|slot| slot.job.connection).collect();
        self.queue.exclude(connections);
        self.fill_slots(now);
        if self.is_idle() {
            self.kv.mirror(&mut self.model, now);
            self.report_kv_usage();
        }
        self.queue.report_positions();
    }

    /// Admits requests while there are free slots, or slots that can be freed. Stops if more
    /// iterations are needed to copy the sequence in the slot of the next one.
    fn fill_slots(&mut self, now: Instant) {
        let is_decoding = self.running().any(|slot| !slot.is_prefilling());
        let limits = self.kv.limits;
        let mut allowance = if is_decoding { limits.decoding } else { limits.prefilling };
        while self.slots.iter().any(Option::is_none) || self.free_slot() {
            let Some(placement) = self.place_next() else { return };
            if !self.kv.prepare(&mut self.model, &placement, &mut allowance) {
                return;
            }
            match self.queue.pop() {
                Some((Waiting::New(job), paid)) => self.start(*job, paid, &placement, now),
                Some((Waiting::Suspended(slot), paid)) => self.resume(*slot, paid, &placement),
                None => return,
            }
        }
    }

    /// Where the next request in the queue goes; `None` if none waits or no slot is free.
    fn place_next(&self) -> Option<Placement> {
        let next = self.queue.peek()?;
        let is_free = |&i: &usize| self.slots[i].is_none();
        let free: Vec<SeqId> = (0..self.slots.len()).filter(is_free).map(|i| i as SeqId).collect();
        let running = running_sequences(&self.slots, u64::MAX);
        let (tokens, kept) = match next {
            Waiting::New(job) => (&job.tokens, None),
            Waiting::Suspended(slot) => (&slot.tokens, slot.kept),
        };
        let kept = kept.and_then(|key| self.kv.place_kept(&self.model, key, &free, &running));
        kept.or_else(|| {
            let reusable: &[Token] = if next.job().params.cache_prompt { tokens } else { &[] };
            self.kv.place(&self.model, reusable, &free, &running)
        })
    }

    /// Largest number of tokens that prompt and answer of a request can have together.
    fn max_tokens_of(&self, job: &Job) -> usize {
        let output = job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        job.tokens.len().saturating_add(output).min(self.options.ctx_size)
    }

    /// Starts `job`, which was charged `paid` tokens, in the slot of `placement`, for which
    /// [`KvCache::prepare`] was called.
    ///
    /// [`KvCache::prepare`]: crate::engine::kv::KvCache::prepare
    fn start(&mut self, job: Job, paid: u64, placement: &Placement, now: Instant) {
        let sampler = self.model.sampler(&job.params, &job.tokens);
        let drafters = match self.limits.n_draft {
            0 => &[],
            _ => drafters(job.params.speculative, self.options.speculative),
        };
        let assignment = SlotAssignment {
            seq: placement.slot,
            order: self.n_admitted,
            max_tokens: self.max_tokens_of(&job),
            drafters,
            paid,
        };
        let mut slot = Slot::new(job, assignment, sampler, now);
        self.n_admitted += 1;
        let reused = self.kv.occupy(&mut self.model, placement);
        self.metrics.occupied(reused);
        let n_reused = reused.n_tokens;
        slot.reuse(reused);
        if slot.job.params.cache_prompt {
            slot.prefix_wait = self.find_donor(&slot);
        }
        self.metrics.started(&slot, now);
        slot.job.outbox.started(slot.job.answer_start, slot.n_prompt, n_reused);
        self.slots[placement.slot as usize] = Some(slot);
        self.report_kv_usage();
    }
    /// Lets a suspended request, which was charged `paid` tokens, go on in the slot of `placement`,
    /// for which `KvCache::prepare` was called.
    fn resume(&mut self, mut slot: Slot<M::Sampler>, paid: u64, placement: &Placement) {
        let reused = self.kv.occupy(&mut self.model, placement);
        if let Some(key) = slot.kept.take() {
            self.kv.forget(&mut self.model, key);
        }
        self.metrics.occupied(reused);
        self.metrics.resumed();
        slot.resume(placement.slot, reused, paid);
        self.slots[placement.slot as usize] = Some(slot);
        self.report_kv_usage();
    }
}
