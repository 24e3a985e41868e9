//! The settings of the server, and what it tells its clients about the daemon.

use std::time::Duration;

use crate::domain::{AccountLimits, AllowedHost, AllowedOrigin, ModelInfo, TrustedProxy};

use super::access::Keys;
use super::planning::Planner;

/// Limits and intervals of the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest message of a client, in bytes. A longer message closes its connection.
    pub max_message_bytes: usize,
    /// Bytes that messages of all clients may take, at least
    /// [`min_message_memory`](Self::min_message_memory). If they are used up, the largest
    /// connection of the account that holds most is closed with code 1013.
    pub message_memory_bytes: usize,
    /// How long the server waits for the parts of a message, plus a second for each 64 KiB. A
    /// client that takes longer is closed with code 1008.
    pub message_deadline: Duration,
    /// Maximum number of open WebSockets. A further one replaces an idle one; if all are busy, it
    /// is closed with code 1013 (try again later).
    pub max_connections: usize,
    /// TCP connections beyond [`max_connections`](Self::max_connections), at least 1: for HTTP
    /// pages, for upgrades in progress and for WebSockets that are being refused. If all are in
    /// use, a new connection replaces the one that has been without a request for the longest time.
    pub spare_connections: usize,
    /// Origins of web pages that may connect, besides pages from localhost on the server's port.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Hosts by which clients may reach the server, besides those of the loopback interface and the
    /// addresses that it listens on.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Proxies whose headers say from where a request came.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The API keys. Their limits are their own.
    pub keys: Keys,
    /// Whether `/metrics` is open to clients without a key.
    pub has_open_metrics: bool,
    /// Limits of each address, if there are no keys.
    pub address_limits: AccountLimits,
    /// Whether there is a web page at `/`.
    pub has_web: bool,
    /// Whether lines about billing stay in the instructions of Anthropic's coding client
    /// (ADR-0050).
    pub keeps_attribution: bool,
    /// Time between two `metrics` frames.
    pub metrics_interval: Duration,
    /// How long a frame may wait for its socket before the connection is dropped. Must be longer
    /// than the engine's grace for slow clients: a client that resumes reading in between then
    /// still receives the `slow_client` error.
    pub write_grace: Duration,
    /// Number of lines of the daemon's output that were lost, by stream. Called for `/metrics`.
    pub lost_lines: fn() -> [(&'static str, u64); 2],
    /// Computes the plans at `/plan`; without it there are none.
    pub planner: Option<Planner>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message_bytes: 8 * 1024 * 1024,
            message_memory_bytes: DEFAULT_MESSAGE_MEMORY_BYTES,
            message_deadline: Duration::from_secs(30),
            max_connections: 1024,
            spare_connections: 64,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            keys: Keys::default(),
            has_open_metrics: false,
            address_limits: AccountLimits::default(),
            has_web: true,
            keeps_attribution: false,
            metrics_interval: Duration::from_secs(1),
            write_grace: Duration::from_secs(30),
            lost_lines: || [("stderr", 0), ("stdout", 0)],
            planner: None,
        }
    }
}

impl Options {
    /// Bytes that parsing messages may take.
    pub(super) fn parsing_bytes(&self) -> usize {
        parsing_bytes(self.max_message_bytes)
    }

    /// The least `message_memory_bytes` with which a message of `max_message_bytes` is accepted
    /// while nobody else sends one.
    pub fn min_message_memory(max_message_bytes: usize) -> usize {
        parsing_bytes(max_message_bytes) + RECEIVE_FACTOR * max_message_bytes
    }

    /// `message_memory_bytes` for this `max_message_bytes`, if the user does not choose it.
    pub fn default_message_memory(max_message_bytes: usize) -> usize {
        DEFAULT_MESSAGE_MEMORY_BYTES.max(2 * Self::min_message_memory(max_message_bytes))
    }
}

/// Bytes that messages may take in most cases (ADR-0040).
const DEFAULT_MESSAGE_MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// Bytes that parsing takes while the longest messages are parsed: one of any length, and a short
/// one on the thread that is reserved for those.
fn parsing_bytes(max_message_bytes: usize) -> usize {
    PARSE_FACTOR * (max_message_bytes + max_message_bytes.min(SHORT_PARSE_BYTES))
}

/// Longest message, in bytes, that the reserved thread for parsing takes (ADR-0042).
pub(super) const SHORT_PARSE_BYTES: usize = 256 * 1024;

/// Most memory that parsing holds, as a multiple of the message (ADR-0022).
const PARSE_FACTOR: usize = 3;

/// Memory that an incomplete message takes, as a multiple of the bytes that were received: its
/// buffer doubles when it is full (ADR-0040).
pub(super) const RECEIVE_FACTOR: usize = 2;

/// What a request is charged beside its message, until it ends: its entries in tables, and the text
/// that its client has not read, which the credit of the link limits to 32 KiB (ADR-0040).
pub(super) const REQUEST_BYTES: usize = 40 * 1024;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_memory_has_space_for_a_message_beside_parsing() {
        const KIB: usize = 1024;
        for (max_message_bytes, parsing_bytes) in
            [(KIB, 6 * KIB), (256 * KIB, 6 * 256 * KIB), (8 * KIB * KIB, 3 * (8 * KIB + 256) * KIB)]
        {
            let options = Options { max_message_bytes, ..Options::default() };
            assert_eq!(options.parsing_bytes(), parsing_bytes);
            let least = Options::min_message_memory(max_message_bytes);
            assert_eq!(least - parsing_bytes, 2 * max_message_bytes);
            assert!(Options::default_message_memory(max_message_bytes) >= 2 * least);
        }
    }
}
