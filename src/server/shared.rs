//! What all connections share: the engine, the limits, the latest metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::ConnectionId;
use crate::engine::EngineHandle;
use crate::watchdog::{Health, Watchdog};

use super::options::Options;

/// TCP connections beyond those of open WebSockets: pages, handshakes, and the polite refusal of
/// one WebSocket too many. One more is dropped unheard.
const SPARE_SOCKETS: usize = 64;

/// Long prompts that are tokenised at once. It is pure computing, and shares the machine with an
/// engine that is busy already.
const LONG_PROMPTS: usize = 2;

/// What all connections share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) engine: EngineHandle,
    pub(super) watchdog: Watchdog,
    /// The first frame of every connection.
    pub(super) hello: Utf8Bytes,
    /// The latest metrics frame, for everybody who wants it. Never marked as seen here, so that a
    /// new connection's copy has news at once.
    pub(super) metrics: watch::Receiver<Utf8Bytes>,
    /// The right to tokenise a long prompt.
    pub(super) long_prompts: Arc<Semaphore>,
    /// Every task of this server.
    pub(super) tasks: TaskTracker,
    /// Cancelled when connections are to be told goodbye.
    pub(super) closing: CancellationToken,
    /// The right to a TCP connection.
    sockets: Arc<Semaphore>,
    /// The right to an open WebSocket.
    websockets: Arc<Semaphore>,
    next_connection: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        options: Options,
        engine: EngineHandle,
        watchdog: Watchdog,
        hello: Utf8Bytes,
        metrics: watch::Receiver<Utf8Bytes>,
        closing: CancellationToken,
    ) -> Self {
        let max = options.max_connections;
        Self {
            options,
            engine,
            watchdog,
            hello,
            metrics,
            long_prompts: Arc::new(Semaphore::new(LONG_PROMPTS)),
            tasks: TaskTracker::new(),
            closing,
            sockets: Arc::new(Semaphore::new(max + SPARE_SOCKETS)),
            websockets: Arc::new(Semaphore::new(max)),
            next_connection: AtomicU64::new(1),
        }
    }

    /// The right to one more TCP connection.
    pub(super) fn socket(&self) -> Option<OwnedSemaphorePermit> {
        self.sockets.clone().try_acquire_owned().ok()
    }

    /// The right to one more WebSocket.
    pub(super) fn websocket(&self) -> Option<OwnedSemaphorePermit> {
        self.websockets.clone().try_acquire_owned().ok()
    }

    /// Open WebSockets.
    pub(super) fn n_websockets(&self) -> usize {
        self.options.max_connections - self.websockets.available_permits()
    }

    /// A name that no connection had before.
    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// How the engine is now.
    pub(super) fn health(&self) -> Health {
        self.watchdog.judge(&self.engine.snapshot())
    }
}
