//! The settings of the server, and what it tells its clients about the daemon.

use std::time::Duration;

use crate::domain::{AllowedOrigin, ModelInfo};

/// Limits and intervals of the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest message of a client, in bytes. A longer message closes its connection.
    pub max_message_bytes: usize,
    /// Maximum number of open WebSockets. Further WebSockets are closed with code 1013 (try again
    /// later).
    pub max_connections: usize,
    /// TCP connections beyond [`max_connections`](Self::max_connections), at least 1: for HTTP
    /// pages, for upgrades in progress and for WebSockets that are being refused. If all are in
    /// use, a new connection replaces the one that has been without a request for the longest time.
    pub spare_connections: usize,
    /// Origins of web pages that may connect, besides pages from localhost on the server's port.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Time between two `metrics` frames.
    pub metrics_interval: Duration,
    /// How long a frame may wait for its socket before the connection is dropped. Must be longer
    /// than the engine's grace for slow clients: a client that resumes reading in between then
    /// still receives the `slow_client` error.
    pub write_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message_bytes: 8 * 1024 * 1024,
            max_connections: 1024,
            spare_connections: 64,
            allowed_origins: Vec::new(),
            metrics_interval: Duration::from_secs(1),
            write_grace: Duration::from_secs(30),
        }
    }
}

/// What `hello` frames tell a client about the daemon.
#[derive(Debug, Clone)]
pub struct About {
    /// The model.
    pub model: ModelInfo,
    /// The compute backend: `cpu`, `cuda`, …
    pub backend: String,
    /// Transformer layers that are planned to be offloaded to GPUs.
    pub gpu_layers: u32,
    /// Number of slots: requests that are computed at the same time.
    pub parallel: usize,
    /// The version of this program.
    pub version: String,
    /// The commit that the program was built from.
    pub commit: String,
    /// The version of the linked llama.cpp.
    pub llama_cpp: String,
    /// The CPU's vector extensions that the program was built for, separated by spaces.
    pub cpu_flags: String,
}
