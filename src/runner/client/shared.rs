//! What the client, its tickets and the controller share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use crate::domain::{AnswerStyle, MemoryPart, Snapshot};

use super::RequestLimits;
use super::phase::RunnerPhase;
use super::queries::Queries;
use super::requests::Requests;

/// The state of a model in the daemon.
pub(super) struct ClientState {
    pub(super) limits: RequestLimits,
    pub(super) requests: Arc<Requests>,
    pub(super) queries: Queries,
    pub(super) phase: watch::Sender<RunnerPhase>,
    /// What the current runner has answered to polls.
    pub(super) status: watch::Sender<Status>,
    /// Number of polls so far. The link sends the latest number.
    pub(super) polls: AtomicU64,
    /// An [`Ending`].
    ending: AtomicU8,
    /// Notified when `ending` changes.
    pub(super) ending_changed: Notify,
    facts: Mutex<Facts>,
    pub(super) started: Instant,
}

/// The last answer to a poll, and the totals of earlier runners.
#[derive(Debug, Clone)]
pub(super) struct Status {
    /// The number of the poll.
    pub(super) answered: u64,
    pub(super) snapshot: Snapshot,
    /// The totals of the runners that have ended.
    pub(super) ended: Snapshot,
}

/// What is known about the model and its runners.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) memory: Vec<MemoryPart>,
    pub(super) offloaded: Option<u32>,
    /// Why conversations are refused.
    pub(super) chat_problem: Option<String>,
    /// How the model marks the parts of its answers.
    pub(super) answer_style: AnswerStyle,
    pub(super) warnings: Vec<String>,
    /// When the current runner had loaded the model.
    pub(super) ready_at: Option<Instant>,
    /// Number of restarts, by cause.
    pub(super) restarts: BTreeMap<String, u64>,
}

/// Whether the runner is to end, in ascending urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Ending {
    /// It is not.
    No,
    /// When its running requests have finished.
    Drain,
    /// At once.
    Stop,
}

impl ClientState {
    pub(super) fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            requests: Arc::default(),
            queries: Queries::default(),
            phase: watch::Sender::new(RunnerPhase::Loading),
            status: watch::Sender::new(Status {
                answered: 0,
                snapshot: Snapshot::loading(),
                ended: Snapshot::loading(),
            }),
            polls: AtomicU64::new(0),
            ending: AtomicU8::new(Ending::No as u8),
            ending_changed: Notify::new(),
            facts: Mutex::new(Facts {
                restarts: COMMON_CAUSES.map(|cause| (cause.to_owned(), 0)).into(),
                ..Facts::default()
            }),
            started: Instant::now(),
        }
    }

    /// Whether the runner is to end.
    pub(super) fn ending(&self) -> Ending {
        match self.ending.load(Ordering::Acquire) {
            0 => Ending::No,
            1 => Ending::Drain,
            _ => Ending::Stop,
        }
    }

    /// Asks the runner to end. A less urgent request than an earlier one has no effect. Without
    /// requests, or without a ready runner, nothing runs that could finish, so the end is at once.
    pub(super) fn ask_to_end(&self, ending: Ending) {
        let is_ready = *self.phase.borrow() == RunnerPhase::Ready && self.requests.len() > 0;
        let can_finish = is_ready || self.ending() != Ending::No;
        let ending = if can_finish { ending } else { Ending::Stop };
        self.ending.fetch_max(ending as u8, Ordering::AcqRel);
        self.set_phase(RunnerPhase::Draining);
        self.requests.wake();
        self.ending_changed.notify_waiters();
    }

    /// Asks the runner for its state. Returns the number of the poll.
    pub(super) fn poll(&self) -> u64 {
        let n = self.polls.fetch_add(1, Ordering::Relaxed) + 1;
        self.requests.wake();
        n
    }

    /// Changes the phase. Once the runner is to end, it changes to nothing but the end.
    pub(super) fn set_phase(&self, phase: RunnerPhase) {
        self.phase.send_if_modified(|now| {
            let is_ending = self.ending() != Ending::No;
            let is_allowed = !is_ending
                || matches!(phase, RunnerPhase::Draining | RunnerPhase::Stopped)
                    && *now != RunnerPhase::Stopped;
            let is_change = is_allowed && *now != phase;
            if is_change {
                *now = phase;
            }
            is_change
        });
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        // The facts are valid after every statement, so a panic cannot have broken them.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Causes that are counted from the start, so that monitoring sees the first restart as an
/// increase.
const COMMON_CAUSES: [&str; 6] =
    ["SIGABRT", "SIGBUS", "SIGKILL", "SIGSEGV", "failed_steps", "stalled"];
