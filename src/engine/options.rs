//! The options of the engine that its owner chooses. Limits that depend on the model come with the
//! model.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Speculation;

/// Options of the engine. The defaults are those of the command line, except that no host RAM is
/// used for cached sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Most tokens of a request, prompt and answer together.
    pub ctx_size: usize,
    /// Most tokens of an answer. A request for more is refused, and one without a limit gets this
    /// one. `None` limits answers by `ctx_size` only.
    pub max_tokens: Option<u32>,
    /// Most requests that wait for a slot. A quarter more queue positions are reserved for
    /// connections that have no other request in flight.
    pub max_queue: usize,
    /// Bytes of host RAM for cached sequences that are swapped out or mirrored. A copy from one
    /// slot to others, which is kept only until they have it, comes on top.
    pub cache_ram_bytes: usize,
    /// How long an outbox may stay full before its request fails with
    /// [`Failure::SlowClient`](crate::domain::Failure::SlowClient).
    pub slow_client_grace: Duration,
    /// Target duration of a step while any slot decodes: prefill is cut into chunks to meet it.
    pub step_target: Duration,
    /// The drafters for requests that do not choose them.
    pub speculative: Speculation,
    /// Tokens are drafted if the expected throughput exceeds this percentage of the throughput
    /// without drafts. Costs and acceptance are estimates, so the default is a little above 100.
    /// With 0 as many tokens as possible are drafted, whatever they cost.
    pub speculation_margin_percent: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ctx_size: 4096,
            max_tokens: None,
            max_queue: 64,
            cache_ram_bytes: 0,
            slow_client_grace: Duration::from_secs(10),
            step_target: Duration::from_millis(100),
            speculative: Speculation::Auto,
            speculation_margin_percent: 105,
        }
    }
}

/// Most requests that wait for their first slot, given [`Options::max_queue`]: some positions are
/// reserved for the first requests of connections. Connections that fill the queue thus cannot lock
/// out others (ADR-0012).
pub(in crate::engine) fn max_waiting(max_queue: usize) -> usize {
    max_queue + max_queue.div_ceil(RESERVED_DIVISOR)
}

/// Divides `max_queue` to give the number of reserved queue positions. (ADR-0012)
const RESERVED_DIVISOR: usize = 4;
