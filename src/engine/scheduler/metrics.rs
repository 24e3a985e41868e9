//! Reports the scheduler's events to the engine's counters, gauges and histograms.
//!
//! This file contains all updates that the scheduler makes. Others count steps (`stats`) and
//! accepted requests (`handle`).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::engine::kv::Reused;
use crate::engine::model::Limits;
use crate::engine::request::Job;
use crate::engine::stats::Stats;

use super::slot::Slot;

/// All counters that the scheduler updates.
#[derive(Debug)]
pub(super) struct SchedulerMetrics(Arc<Stats>);

impl SchedulerMetrics {
    pub(super) fn new(stats: Arc<Stats>, limits: Limits) -> Self {
        stats.numbers.slots.store(limits.n_slots, Relaxed);
        stats.numbers.kv_total_tokens.store(limits.n_slots * limits.slot_tokens, Relaxed);
        Self(stats)
    }

    /// Number of requests that wait for their first slot.
    pub(super) fn n_queued(&self) -> usize {
        self.0.numbers.queued.load(Relaxed)
    }

    /// A request got a slot.
    pub(super) fn started<S>(&self, slot: &Slot<S>, now: Instant) {
        let stats = &self.0;
        stats.numbers.queued.fetch_sub(1, Relaxed);
        stats.histograms.queue_wait.observe(now.saturating_duration_since(slot.job.received));
        stats.numbers.active.fetch_add(1, Relaxed);
        self.prompt_tokens_cached(slot.n_cached);
    }

    /// A request gives up its slot and is suspended.
    pub(super) fn suspended(&self) {
        self.left_slot();
        self.0.numbers.suspended.fetch_add(1, Relaxed);
        self.0.numbers.suspensions_total.fetch_add(1, Relaxed);
    }

    /// A suspended request gets a slot again.
    pub(super) fn resumed(&self) {
        self.no_longer_suspended();
        self.0.numbers.active.fetch_add(1, Relaxed);
    }

    /// A suspended request goes on or ends.
    pub(super) fn no_longer_suspended(&self) {
        self.0.numbers.suspended.fetch_sub(1, Relaxed);
    }

    /// A request leaves its slot.
    pub(super) fn left_slot(&self) {
        self.0.numbers.active.fetch_sub(1, Relaxed);
    }

    /// A request that had a slot ends.
    pub(super) fn finished<S>(&self, slot: &Slot<S>, now: Instant) {
        let stats = &self.0;
        if let Some(tps) = slot.tokens_per_second() {
            stats.set_last_tps(tps);
        }
        stats.histograms.total.observe(now.saturating_duration_since(slot.job.received));
    }

    /// A request ends that never got a slot.
    pub(super) fn finished_unstarted(&self, job: &Job, now: Instant) {
        let stats = &self.0;
        let waited = now.saturating_duration_since(job.received);
        stats.numbers.queued.fetch_sub(1, Relaxed);
        stats.histograms.queue_wait.observe(waited);
        stats.histograms.total.observe(waited);
    }

    /// Prompt tokens were found in the prefix cache or in another slot.
    pub(super) fn prompt_tokens_cached(&self, n: usize) {
        self.0.numbers.cached_tokens_total.fetch_add(n as u64, Relaxed);
    }

    /// Prompt tokens were computed.
    pub(super) fn prompt_tokens_computed(&self, n: usize) {
        self.0.numbers.prompt_tokens_total.fetch_add(n as u64, Relaxed);
    }

    /// A token was generated.
    pub(super) fn token_generated(&self) {
        self.0.numbers.tokens_total.fetch_add(1, Relaxed);
    }

    /// A step yielded `n` tokens of a slot, `elapsed` after the slot's previous token. They arrive
    /// together, so an equal part of `elapsed` is recorded for each.
    pub(super) fn tokens_after(&self, elapsed: Duration, n: usize) {
        let gap = elapsed / n as u32;
        (0..n).for_each(|_| self.0.histograms.inter_token.observe(gap));
    }

    /// A step was computed.
    pub(super) fn step_computed(&self, n_tokens: usize, elapsed: Duration) {
        self.0.histograms.step.observe(elapsed);
        self.0.histograms.step_tokens.observe(n_tokens);
    }

    /// Draft tokens were computed, and some of them accepted.
    pub(super) fn drafted(&self, n_drafted: usize, n_accepted: usize) {
        self.0.numbers.drafted_total.fetch_add(n_drafted as u64, Relaxed);
        self.0.numbers.accepted_total.fetch_add(n_accepted as u64, Relaxed);
    }

    /// A request took a slot and found `reused` there.
    pub(super) fn occupied(&self, reused: Reused) {
        let numbers = &self.0.numbers;
        numbers.swapped_out_total.fetch_add(u64::from(reused.is_swapped_out), Relaxed);
        numbers.swapped_in_total.fetch_add(u64::from(reused.is_imported), Relaxed);
    }

    /// The use of memory changed: tokens of running requests and of cached sequences in the KV
    /// cache, and the number and bytes of copies in host RAM.
    pub(super) fn kv_usage(&self, running: usize, cached: usize, host_copies: (usize, usize)) {
        let stats = &self.0;
        stats.numbers.kv_used_tokens.store(running + cached, Relaxed);
        stats.numbers.kv_running_tokens.store(running, Relaxed);
        let (n, bytes) = host_copies;
        stats.numbers.swapped_sequences.store(n, Relaxed);
        stats.numbers.swapped_bytes.store(bytes, Relaxed);
    }
}
