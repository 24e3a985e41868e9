//! What all connections share: the engine, the limits, the latest metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::{ConnectionId, Gpu, GpuReading};
use crate::engine::EngineHandle;
use crate::protocol::Hello;
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
    /// The first frame of a connection, as planned.
    hello: Hello,
    /// The latest metrics frame, for everybody who wants it. Never marked as seen here, so that a
    /// new connection's copy has news at once.
    pub(super) metrics: watch::Receiver<Published>,
    /// What the graphics cards said last.
    readings: watch::Receiver<GpuReading>,
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
    /// Metrics frames that were overtaken by a later one before a connection could send them.
    dropped_frames: Arc<AtomicU64>,
}

/// One `metrics` frame.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// Counts the frames.
    pub(super) number: u64,
    /// The frame.
    pub(super) text: Utf8Bytes,
}

impl Shared {
    pub(super) fn new(
        options: Options,
        engine: EngineHandle,
        watchdog: Watchdog,
        hello: Hello,
        metrics: watch::Receiver<Published>,
        readings: watch::Receiver<GpuReading>,
        closing: CancellationToken,
    ) -> Self {
        let max = options.max_connections;
        Self {
            options,
            engine,
            watchdog,
            hello,
            metrics,
            readings,
            long_prompts: Arc::new(Semaphore::new(LONG_PROMPTS)),
            tasks: TaskTracker::new(),
            closing,
            sockets: Arc::new(Semaphore::new(max + SPARE_SOCKETS)),
            websockets: Arc::new(Semaphore::new(max)),
            next_connection: AtomicU64::new(1),
            dropped_frames: Arc::default(),
        }
    }

    /// The first frame of a connection that is made now. What was planned for the cards is what
    /// there is to say until the model is loaded; a load that ran out of memory has put less there.
    pub(super) fn hello(&self) -> Hello {
        let hello = self.hello.clone();
        match self.engine.offloaded() {
            Some(layers) => hello.offloaded(layers),
            None => hello,
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

    /// See [`Self::dropped_frames`]; for a connection to count in.
    pub(super) fn dropped_counter(&self) -> Arc<AtomicU64> {
        self.dropped_frames.clone()
    }

    /// Metrics frames that a slow connection never got.
    pub(super) fn dropped_frames(&self) -> u64 {
        self.dropped_frames.load(Ordering::Relaxed)
    }

    /// A name that no connection had before.
    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// The graphics cards, without values where the last reading is too old to be believed.
    pub(super) fn gpus(&self, now: Instant) -> Vec<Gpu> {
        let reading = self.readings.borrow();
        let max_age = GpuReading::max_age(self.options.metrics_interval);
        if now.saturating_duration_since(reading.taken) > max_age {
            return reading.stale();
        }
        reading.gpus.clone()
    }

    /// How the engine is now.
    pub(super) fn health(&self) -> Health {
        self.watchdog.judge(&self.engine.snapshot())
    }
}
