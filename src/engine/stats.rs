//! Counters, latencies and the heartbeat: written by the engine, read by anybody at any time.
//!
//! Every number is an atomic of its own, so a [`Snapshot`] is not one instant's truth to the last
//! token; each number in it is. Totals move with every step, not at the end of a request.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::tally::Tally;

/// Where the engine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The weights are being loaded.
    Loading,
    /// Requests are taken.
    Ready,
    /// Running requests may finish, new ones are refused.
    Draining,
    /// The thread has ended.
    Ended,
}

/// A part of the engine's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Admission, the sharing of prefixes, guesses from the text, the plan of a step.
    Schedule,
    /// The draft model guesses.
    Draft,
    /// The model computes.
    Decode,
    /// Tokens are drawn and become text.
    Commit,
}

impl Phase {
    /// Every part, in the loop's order.
    pub const ALL: [Self; 4] = [Self::Schedule, Self::Draft, Self::Decode, Self::Commit];
}

/// What the engine is doing, as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where the engine is in its life.
    pub state: State,
    /// How much of the model is loaded, 0 to 1.
    pub load_progress: f32,
    /// Requests that hold a slot.
    pub active: usize,
    /// Requests that wait for one.
    pub queued: usize,
    /// Slots in all.
    pub slots: usize,
    /// Tokens in the KV cache, kept prefixes included.
    pub kv_used_tokens: usize,
    /// Those of them that running requests hold.
    pub kv_running_tokens: usize,
    /// Tokens the KV cache holds.
    pub kv_total_tokens: usize,
    /// Kept sequences with a copy in ordinary memory: those swapped out of the KV cache, and those
    /// that will be.
    pub swapped_sequences: usize,
    /// Bytes of ordinary memory that these take.
    pub swapped_bytes: usize,
    /// Sequences swapped out since the start.
    pub swapped_out_total: u64,
    /// Sequences swapped in again since the start.
    pub swapped_in_total: u64,
    /// Tokens a second of the request that ended last; `None` before the first.
    pub last_tps: Option<f64>,
    /// Time to first token of the request that started last; `None` before the first.
    pub last_ttft: Option<Duration>,
    /// Generated tokens since the start.
    pub tokens_total: u64,
    /// Prompt tokens computed since the start; tokens found in the cache are not in it.
    pub prompt_tokens_total: u64,
    /// Prompt tokens found in the cache since the start.
    pub cached_tokens_total: u64,
    /// Tokens that were guessed ahead and computed since the start.
    pub drafted_total: u64,
    /// How many of them were right.
    pub accepted_total: u64,
    /// Steps since the start.
    pub steps_total: u64,
    /// Where the time of these steps went.
    pub phases: [(Phase, Duration); Phase::ALL.len()],
    /// How long the current step has been running; `None` between steps.
    pub step_age: Option<Duration>,
    /// Since the engine was created.
    pub uptime: Duration,
}

/// The numbers themselves.
#[derive(Debug)]
pub(super) struct Stats {
    started: Instant,
    state: AtomicU8,
    load_progress: AtomicU32,
    /// Requests admitted and not yet in a slot. The bound of the queue is kept on this.
    pub(super) queued: AtomicUsize,
    pub(super) active: AtomicUsize,
    pub(super) slots: AtomicUsize,
    pub(super) kv_used_tokens: AtomicUsize,
    pub(super) kv_running_tokens: AtomicUsize,
    pub(super) kv_total_tokens: AtomicUsize,
    pub(super) swapped_sequences: AtomicUsize,
    pub(super) swapped_bytes: AtomicUsize,
    pub(super) swapped_out_total: AtomicU64,
    pub(super) swapped_in_total: AtomicU64,
    pub(super) tokens_total: AtomicU64,
    pub(super) prompt_tokens_total: AtomicU64,
    pub(super) cached_tokens_total: AtomicU64,
    pub(super) drafted_total: AtomicU64,
    pub(super) accepted_total: AtomicU64,
    steps_total: AtomicU64,
    phase_nanos: [AtomicU64; Phase::ALL.len()],
    last_tps_bits: AtomicU64,
    last_ttft_nanos: AtomicU64,
    step_began_nanos: AtomicU64,
    pub(super) tally: Tally,
}

/// Stands for "not yet" or "not now" in the nanosecond fields.
const NONE: u64 = u64::MAX;

impl Stats {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            started: now,
            state: AtomicU8::new(State::Loading as u8),
            load_progress: AtomicU32::new(0),
            queued: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            slots: AtomicUsize::new(0),
            kv_used_tokens: AtomicUsize::new(0),
            kv_running_tokens: AtomicUsize::new(0),
            kv_total_tokens: AtomicUsize::new(0),
            swapped_sequences: AtomicUsize::new(0),
            swapped_bytes: AtomicUsize::new(0),
            swapped_out_total: AtomicU64::new(0),
            swapped_in_total: AtomicU64::new(0),
            tokens_total: AtomicU64::new(0),
            prompt_tokens_total: AtomicU64::new(0),
            cached_tokens_total: AtomicU64::new(0),
            drafted_total: AtomicU64::new(0),
            accepted_total: AtomicU64::new(0),
            steps_total: AtomicU64::new(0),
            phase_nanos: Default::default(),
            last_tps_bits: AtomicU64::new(f64::NAN.to_bits()),
            last_ttft_nanos: AtomicU64::new(NONE),
            step_began_nanos: AtomicU64::new(NONE),
            tally: Tally::default(),
        }
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn state(&self) -> State {
        const STATES: [State; 4] = [State::Loading, State::Ready, State::Draining, State::Ended];
        STATES[usize::from(self.state.load(Relaxed))]
    }

    pub(super) fn set_load_progress(&self, fraction: f32) {
        self.load_progress.store(fraction.to_bits(), Relaxed);
    }

    pub(super) fn first_text(&self, ttft: Duration) {
        self.last_ttft_nanos.store(nanos(ttft), Relaxed);
        self.tally.ttft.observe(ttft);
    }

    pub(super) fn set_last_tps(&self, tps: f64) {
        self.last_tps_bits.store(tps.to_bits(), Relaxed);
    }

    /// A turn begins that may compute a step.
    pub(super) fn step_begins(&self, now: Instant) {
        self.step_began_nanos.store(nanos(now - self.started), Relaxed);
    }

    /// A step is over, computed or given up. To be told before anybody learns what came of it, so that
    /// who asks then finds it counted.
    pub(super) fn step_ends(&self, is_computed: bool) {
        self.steps_total.fetch_add(is_computed.into(), Relaxed);
        self.step_began_nanos.store(NONE, Relaxed);
    }

    /// There was no step to compute.
    pub(super) fn step_is_off(&self) {
        self.step_began_nanos.store(NONE, Relaxed);
    }

    /// A step took so long in each of [`Phase::ALL`].
    pub(super) fn step_took(&self, took: [Duration; Phase::ALL.len()]) {
        for (total, took) in self.phase_nanos.iter().zip(took) {
            total.fetch_add(nanos(took), Relaxed);
        }
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let uptime = now.saturating_duration_since(self.started);
        let some = |nanos: &AtomicU64| {
            Some(nanos.load(Relaxed)).filter(|&n| n != NONE).map(Duration::from_nanos)
        };
        Snapshot {
            state: self.state(),
            load_progress: f32::from_bits(self.load_progress.load(Relaxed)),
            active: self.active.load(Relaxed),
            queued: self.queued.load(Relaxed),
            slots: self.slots.load(Relaxed),
            kv_used_tokens: self.kv_used_tokens.load(Relaxed),
            kv_running_tokens: self.kv_running_tokens.load(Relaxed),
            kv_total_tokens: self.kv_total_tokens.load(Relaxed),
            swapped_sequences: self.swapped_sequences.load(Relaxed),
            swapped_bytes: self.swapped_bytes.load(Relaxed),
            swapped_out_total: self.swapped_out_total.load(Relaxed),
            swapped_in_total: self.swapped_in_total.load(Relaxed),
            last_tps: Some(f64::from_bits(self.last_tps_bits.load(Relaxed)))
                .filter(|tps| !tps.is_nan()),
            last_ttft: some(&self.last_ttft_nanos),
            tokens_total: self.tokens_total.load(Relaxed),
            prompt_tokens_total: self.prompt_tokens_total.load(Relaxed),
            cached_tokens_total: self.cached_tokens_total.load(Relaxed),
            drafted_total: self.drafted_total.load(Relaxed),
            accepted_total: self.accepted_total.load(Relaxed),
            steps_total: self.steps_total.load(Relaxed),
            phases: Phase::ALL.map(|phase| {
                (phase, Duration::from_nanos(self.phase_nanos[phase as usize].load(Relaxed)))
            }),
            step_age: some(&self.step_began_nanos).map(|began| uptime.saturating_sub(began)),
            uptime,
        }
    }
}

/// 584 years fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NONE - 1)
}
