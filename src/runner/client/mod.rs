//! The daemon's side of a runner: the interface that the server knows.
//!
//! [`Client`] takes requests and gives [`Ticket`]s, whoever computes them and however often the
//! runner behind it is replaced. The supervisor ([`crate::models`]) holds the other half, the
//! [`Controller`], with which it connects one runner after another.

mod controller;
mod mailbox;
mod phase;
mod queries;
mod requests;
mod shared;
mod ticket;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::domain::{
    AccountId, AnswerStyle, ConnectionId, MemoryPart, Refusal, Request, Snapshot, TextQuery,
    TextReply,
};
use crate::engine::max_requests;
use crate::runner::frames::QueryFrame;

pub use self::controller::{Controller, LinkEnd, Progress};
pub use self::phase::{Health, RunnerPhase};
use self::shared::ClientState;
pub use self::ticket::{Canceller, Ticket};

/// The limits of the model's requests, as the server shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Most tokens of a request, prompt and answer together.
    pub ctx_size: usize,
    /// Most tokens of an answer, if the server limits them.
    pub max_tokens: Option<u32>,
    /// Number of slots.
    pub slots: usize,
    /// Most requests that wait for a slot; a quarter more for connections without another one.
    pub max_queue: usize,
    /// Bytes of host RAM for cached sequences.
    pub cache_ram_bytes: usize,
}

/// A handle to a model that runners serve. Clones are cheap and refer to the same model.
#[derive(Clone)]
pub struct Client {
    shared: Arc<ClientState>,
}

impl Client {
    /// A client without a runner, and the controller that connects one.
    pub fn new(limits: RequestLimits) -> (Self, Controller) {
        let shared = Arc::new(ClientState::new(limits));
        (Self { shared: shared.clone() }, Controller::new(shared))
    }

    /// Submits a request. `notify` is notified whenever the returned ticket has a delivery. The
    /// runner tokenizes the prompt and may refuse the request: its outcome then says so.
    ///
    /// `received` is when the request reached the server. `is_first` says that its connection has
    /// no other request in flight: some queue positions are reserved for such requests.
    ///
    /// # Errors
    /// The [`Refusal`], if no runner can be expected to serve the request soon.
    pub fn submit(
        &self,
        request: Request,
        received: Instant,
        notify: Arc<Notify>,
        is_first: bool,
    ) -> Result<Ticket, Refusal> {
        let ClientState { limits, requests, phase, .. } = &*self.shared;
        // Held until the request is in the table, so that every change of the phase finds it there.
        let phase = phase.borrow();
        match &*phase {
            RunnerPhase::Loading => return Err(Refusal::Loading),
            RunnerPhase::Draining | RunnerPhase::Stopped => return Err(Refusal::ShuttingDown),
            RunnerPhase::Failed { reason } => {
                return Err(Refusal::EngineFailed { reason: reason.clone() });
            }
            RunnerPhase::Ready | RunnerPhase::Stalled | RunnerPhase::Restarting { .. } => {}
        }
        let limit = max_requests(limits.max_queue, limits.slots) + MAX_UNANSWERED;
        let submitted = requests.add(request, received, notify, is_first, limit)?;
        Ok(Ticket::new(submitted, requests.clone()))
    }

    /// Asks the runner about its vocabulary, for a client.
    ///
    /// # Errors
    /// The [`Refusal`], if the model is not loaded, too much is asked, or the question has no
    /// answer.
    pub async fn query(
        &self,
        account: AccountId,
        connection: ConnectionId,
        query: TextQuery,
    ) -> Result<TextReply, Refusal> {
        let ClientState { requests, queries, phase, .. } = &*self.shared;
        match &*phase.borrow() {
            RunnerPhase::Ready => {}
            RunnerPhase::Draining | RunnerPhase::Stopped => return Err(Refusal::ShuttingDown),
            _ => return Err(Refusal::Loading),
        }
        let answered = queries.add(QueryFrame { key: 0, account, connection, query })?;
        requests.wake();
        let failed = |reason: &str| Refusal::EngineFailed { reason: reason.to_owned() };
        match timeout(QUERY_DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(failed("its process ended")),
            Err(_) => Err(failed("tokenizing takes too long")),
        }
    }

    /// Refuses new and waiting requests from now on. Running requests may finish; then the runner
    /// ends. A load is stopped.
    pub fn drain(&self) {
        self.shared.ask_to_end(shared::Ending::Drain);
    }

    /// Ends all requests, each with an outcome, and then the runner.
    pub fn stop(&self) {
        self.shared.ask_to_end(shared::Ending::Stop);
    }

    /// Asks the runner for its state, and waits for the answer for a moment.
    pub async fn refresh(&self) {
        let ClientState { phase, status, .. } = &*self.shared;
        let is_connected = matches!(
            &*phase.borrow(),
            RunnerPhase::Loading | RunnerPhase::Ready | RunnerPhase::Draining
        );
        if !is_connected {
            return;
        }
        let asked = self.shared.poll();
        let mut status = status.subscribe();
        let answered = status.wait_for(|status| status.answered >= asked);
        // A runner that does not answer is the supervisor's business.
        let _ = timeout(REFRESH_DEADLINE, answered).await;
    }

    /// What the model was doing when its runner was asked last, with the totals of earlier runners.
    pub fn snapshot(&self) -> Snapshot {
        let status = self.shared.status.borrow();
        let mut snapshot = status.snapshot.plus_totals(&status.ended);
        drop(status);
        snapshot.numbers.queued += self.shared.requests.n_held();
        snapshot
    }

    /// The health of the model.
    pub fn health(&self) -> Health {
        Health::of(&self.shared.phase.borrow(), self.shared.requests.len() > 0)
    }

    /// How the last runner ended, as long as no other one has taken its place.
    pub fn cause(&self) -> Option<String> {
        match &*self.shared.phase.borrow() {
            RunnerPhase::Restarting { cause } => Some(cause.clone()),
            RunnerPhase::Failed { reason } => Some(reason.clone()),
            _ => None,
        }
    }

    /// The phase of the runner, and its changes.
    pub fn phases(&self) -> watch::Receiver<RunnerPhase> {
        self.shared.phase.subscribe()
    }

    /// Number of times that a runner was replaced, by cause.
    pub fn restarts(&self) -> BTreeMap<String, u64> {
        self.shared.facts().restarts.clone()
    }

    /// The memory that the model takes; empty until it is loaded.
    pub fn memory(&self) -> Vec<MemoryPart> {
        self.shared.facts().memory.clone()
    }

    /// Number of layers on GPUs, the output matrix counted as one layer; `None` until the model is
    /// loaded.
    pub fn offloaded(&self) -> Option<u32> {
        self.shared.facts().offloaded
    }

    /// Why conversations are refused; `None` if they are not, or until the model is loaded.
    pub fn chat_problem(&self) -> Option<String> {
        self.shared.facts().chat_problem.clone()
    }

    /// How the model marks the parts of its answers; unmarked until a runner has loaded it.
    pub fn answer_style(&self) -> AnswerStyle {
        self.shared.facts().answer_style.clone()
    }

    /// What makes the model's answers worse, one sentence each; empty until it is loaded.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.facts().warnings.clone()
    }

    /// The limits of the model's requests.
    pub fn limits(&self) -> RequestLimits {
        self.shared.limits
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }
}

/// How long a reader of metrics waits for a runner to answer.
const REFRESH_DEADLINE: Duration = Duration::from_millis(200);

/// How long a question about the vocabulary may take. Tokenizing a prompt may take 10 s, and may
/// wait for others.
const QUERY_DEADLINE: Duration = Duration::from_secs(30);

/// Requests beyond those of the engine that may be on their way to the runner, which decides
/// whether they are accepted. Bounds the table when a runner does not answer.
const MAX_UNANSWERED: usize = 64;
