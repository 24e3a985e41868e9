//! What the owner of the server decides, and what the server says of itself.

use std::time::Duration;

use crate::domain::ModelInfo;

use super::origin::Origin;

/// How the server shall behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest message of a client, in bytes. A longer one ends its connection.
    pub max_message_bytes: usize,
    /// WebSocket connections at one time. One more is told to try again later.
    pub max_connections: usize,
    /// Web pages that may connect, besides the server's own.
    pub allowed_origins: Vec<Origin>,
    /// Time between two `metrics` frames.
    pub metrics_interval: Duration,
    /// How long a frame may wait for its socket before the connection is dropped. Longer than
    /// the engine's grace for slow clients, so that a client that comes back in between still
    /// learns what became of its request.
    pub write_grace: Duration,
}

impl Default for Options {
    /// 8 MiB hold a prompt of two million tokens; 1,024 idle connections cost some 20 MB.
    fn default() -> Self {
        Self {
            max_message_bytes: 8 * 1024 * 1024,
            max_connections: 1024,
            allowed_origins: Vec::new(),
            metrics_interval: Duration::from_secs(1),
            write_grace: Duration::from_secs(30),
        }
    }
}

/// What a client is told in `hello`.
#[derive(Debug, Clone)]
pub struct About {
    /// The model.
    pub model: ModelInfo,
    /// What computes: `cpu`, `cuda`, …
    pub backend: String,
    /// Layers that live on a GPU.
    pub gpu_layers: u32,
    /// Requests that are computed at once.
    pub parallel: usize,
    /// The version of this program.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// The version of llama.cpp inside.
    pub llama_cpp: String,
    /// The vector instructions it was built for.
    pub cpu_flags: String,
}
