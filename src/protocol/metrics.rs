//! The `metrics` frame: the state of the engine and the GPUs, sent at a fixed interval.
//!
//! Times are whole milliseconds and throughputs are tokens/s with two decimals. Values of the
//! engine that are not known yet are written as 0.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::domain::Gpu;

use super::gpu::{GpuDetails, GpuValues};
use super::stats::{millis, two_decimals};

/// The content of a `metrics` frame.
#[derive(Debug, Clone, Serialize)]
pub struct Metrics {
    timestamp: u64,
    /// The first GPU; `null` if there is none.
    gpu: Option<GpuValues>,
    gpus: Vec<GpuDetails>,
    inference: Inference,
}

impl Metrics {
    /// Builds the frame's content for `timestamp`, in Unix seconds.
    pub fn new(timestamp: u64, gpus: &[Gpu], inference: Inference) -> Self {
        let gpu = gpus.first().map(GpuValues::new);
        Self { timestamp, gpu, gpus: gpus.iter().map(GpuDetails::new).collect(), inference }
    }
}

/// The engine's state as the wire names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InferenceState {
    /// The model is being loaded.
    Loading,
    /// There are no requests.
    Idle,
    /// A request is being computed.
    Busy,
    /// The model makes no progress, and its process is being ended.
    Stalled,
    /// The model's process has ended, and another one starts.
    Restarting,
    /// Shutting down: running requests may finish, new requests are refused.
    Draining,
}

/// The engine's state and counters.
#[derive(Debug, Clone, Serialize)]
pub struct Inference {
    /// The state of the engine.
    pub state: InferenceState,
    /// How the model's process ended, if the state is [`InferenceState::Restarting`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Tokens per second of the request that ended last. `None` is written as 0, because existing
    /// clients expect a number.
    #[serde(serialize_with = "rate")]
    pub last_tps: Option<f64>,
    /// Time to first token of the request that started last. `None` is written as 0.
    #[serde(serialize_with = "time", rename = "last_ttft_ms")]
    pub last_ttft: Option<Duration>,
    /// Tokens generated since the start.
    pub total_tokens_generated: u64,
    /// Requests in a slot.
    pub active: usize,
    /// Requests waiting for a slot.
    pub queued: usize,
    /// Number of slots.
    pub slots: usize,
    /// Tokens stored in the KV cache.
    pub kv_used_tokens: usize,
    /// Capacity of the KV cache in tokens.
    pub kv_total_tokens: usize,
    /// Open WebSocket connections.
    pub connections: usize,
    /// Prompt tokens computed since the start.
    pub prompt_tokens_total: u64,
    /// Tokens generated per second since the previous frame; `None` is written as 0.
    #[serde(serialize_with = "rate")]
    pub tps_now: Option<f64>,
    /// Seconds since the start of the engine.
    pub uptime_s: u64,
}

/// Writes a throughput with two decimals, `None` as 0.
fn rate<S: Serializer>(rate: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(two_decimals(rate.unwrap_or(0.0)))
}

/// Writes whole milliseconds, `None` as 0.
fn time<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.map_or(0, millis))
}
