//! What all connections share: the model, the limits and the latest metrics.
//!
//! Permits limit the number of TCP connections and of WebSockets. Whoever holds a permit returns it
//! by dropping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{AccountId, ConnectionId, Gpu, GpuReading};
use crate::pool::Pool;
use crate::protocol::Hello;
use crate::runner::Client;

use super::access::Access;
use super::budget::MessageBudget;
use super::connections::{ConnectionPermit, Connections};
use super::listing::RequestList;
use super::metrics::RequestCounts;
use super::openai::responses::Responses;
use super::options::Options;
use super::own_hosts::OwnHosts;
use super::refusals::Refusals;
use super::websockets::{WebSocketPermit, WebSockets};

/// The state of the server that every connection uses.
pub(super) struct Shared {
    pub(super) options: Options,
    /// The hosts by which clients may reach the server.
    pub(super) hosts: OwnHosts,
    /// Who may do what.
    pub(super) access: Arc<Access>,
    pub(super) model: Client,
    /// The content of `hello` frames as planned before the model was loaded.
    hello: Hello,
    /// The latest `metrics` frame. No frame is ever marked as seen on this receiver, so that a
    /// clone of it for a new connection reports a change at once.
    pub(super) metrics: watch::Receiver<MetricsFrame>,
    /// The latest reading of the GPUs.
    readings: watch::Receiver<GpuReading>,
    /// The threads that parse long messages.
    pub(super) parsing: Pool,
    next_message: AtomicU64,
    /// The memory for messages.
    pub(super) budget: Arc<MessageBudget>,
    /// The runtime that serves WebSockets.
    pub(super) websocket_runtime: Handle,
    /// All tasks of this server.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the server closes its connections.
    pub(super) closing: CancellationToken,
    /// The TCP connections.
    pub(super) connections: Arc<Connections>,
    pub(super) websockets: Arc<WebSockets>,
    /// The responses that clients can refer to.
    pub(super) responses: Arc<Responses>,
    /// When the server was started, in seconds since 1970.
    pub(super) started_at: u64,
    next_connection: AtomicU64,
    dropped_frames: Arc<AtomicU64>,
    /// Requests that came from a foreign page or named a foreign host.
    pub(super) refusals: Refusals,
    pub(super) counts: Arc<RequestCounts>,
    /// The requests that run, wait or ended last.
    pub(super) requests: Arc<RequestList>,
    /// Connections that were closed because a message was not complete in time.
    pub(super) n_overdue: AtomicU64,
}

/// One `metrics` frame, as all connections send it.
#[derive(Debug, Clone, Default)]
pub(super) struct MetricsFrame {
    /// Consecutive number, from 1; 0 before the first frame.
    pub(super) number: u64,
    /// The frame's JSON text.
    pub(super) text: Utf8Bytes,
}

impl Shared {
    /// To be called in the runtime that serves WebSockets.
    pub(super) fn new(
        (options, hosts): (Options, OwnHosts),
        model: Client,
        hello: Hello,
        metrics: watch::Receiver<MetricsFrame>,
        readings: watch::Receiver<GpuReading>,
        parsing: Pool,
        closing: CancellationToken,
    ) -> Self {
        let max = options.max_connections;
        let max_tcp = max + options.spare_connections;
        let budget = options.message_memory_bytes.saturating_sub(options.parsing_bytes());
        let Options { keys, address_limits, has_open_metrics, .. } = &options;
        let access = Access::new(keys.clone(), *address_limits, *has_open_metrics);
        Self {
            budget: MessageBudget::new(budget),
            n_overdue: AtomicU64::new(0),
            websocket_runtime: Handle::current(),
            options,
            hosts,
            access: Arc::new(access),
            model,
            hello,
            metrics,
            readings,
            parsing,
            next_message: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            closing,
            connections: Arc::new(Connections::new(max_tcp)),
            websockets: Arc::new(WebSockets::new(max)),
            responses: Arc::default(),
            started_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
            next_connection: AtomicU64::new(1),
            dropped_frames: Arc::default(),
            refusals: Refusals::default(),
            counts: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// The content of a `hello` frame sent now. Until the model is loaded it tells the planned
    /// number of GPU layers; a load that ran out of GPU memory may have offloaded fewer. Whether
    /// the chat template can be used is also known after the load only. A client that is not
    /// authenticated learns that it has to send a key.
    pub(super) fn hello(&self, is_authenticated: bool) -> Hello {
        let mut hello = self.hello.clone();
        if !is_authenticated {
            hello = hello.with_auth_required();
        }
        if let Some(problem) = self.model.chat_problem() {
            hello = hello.without_chat(problem);
        }
        match self.model.offloaded() {
            Some(layers) => hello.offloaded(layers),
            None => hello,
        }
    }

    /// What was known about the model and the program before the model was loaded.
    pub(super) fn planned(&self) -> &Hello {
        &self.hello
    }

    /// A permit for the WebSocket on `connection`, which counts if the client has an `account`:
    /// otherwise it has to send its key first, and [`WebSocketPermit::admit`] counts it then.
    /// `None` if it cannot be counted.
    pub(super) fn websocket_permit(
        &self,
        connection: &ConnectionPermit,
        account: Option<AccountId>,
    ) -> Option<WebSocketPermit> {
        let permit = self.websockets.unknown();
        account.is_none_or(|account| permit.admit(account, connection)).then_some(permit)
    }

    /// Number of WebSockets that were refused or closed to protect others, by reason.
    pub(super) fn closed_connections(&self) -> [(&'static str, u64); 5] {
        let [idle, busy, refused] = self.websockets.counts();
        [
            ("idle", idle),
            ("busy", busy),
            ("limit", refused),
            ("message_deadline", self.n_overdue.load(Ordering::Relaxed)),
            ("message_memory", self.budget.n_evicted()),
        ]
    }

    /// Number of `metrics` frames that a later one replaced before a slow connection sent them.
    pub(super) fn dropped_frames(&self) -> u64 {
        self.dropped_frames.load(Ordering::Relaxed)
    }

    /// The counter behind [`Self::dropped_frames`], for a connection to add to.
    pub(super) fn dropped_frames_counter(&self) -> Arc<AtomicU64> {
        self.dropped_frames.clone()
    }

    /// An id that no earlier connection had.
    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Identifies a long message that is to be parsed.
    pub(super) fn next_message(&self) -> u64 {
        self.next_message.fetch_add(1, Ordering::Relaxed)
    }

    /// The GPUs as of the last reading, without values if the reading is stale at `now`.
    pub(super) fn gpus(&self, now: Instant) -> Vec<Gpu> {
        let reading = self.readings.borrow();
        let max_age = GpuReading::max_age(self.options.metrics_interval);
        if now.saturating_duration_since(reading.taken) > max_age {
            return reading.stale();
        }
        reading.gpus.clone()
    }
}
