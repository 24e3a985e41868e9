//! The `metrics` frame: the state of the house, once a second.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::domain::Gpu;

use super::gpu::{GpuDetails, GpuValues};
use super::stats::{millis, two_decimals};

/// The state of the house.
#[derive(Debug, Clone, Serialize)]
pub struct Metrics {
    timestamp: u64,
    /// The first card; `null` where there is none.
    gpu: Option<GpuValues>,
    gpus: Vec<GpuDetails>,
    inference: Inference,
}

impl Metrics {
    /// The state at `timestamp`, in Unix seconds.
    pub fn new(timestamp: u64, gpus: &[Gpu], inference: Inference) -> Self {
        let gpu = gpus.first().map(GpuValues::new);
        Self { timestamp, gpu, gpus: gpus.iter().map(GpuDetails::new).collect(), inference }
    }
}

/// What the engine does, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The model is being loaded.
    Loading,
    /// Nothing to do.
    Idle,
    /// Computing.
    Busy,
    /// Computing, but a step does not end.
    Stalled,
    /// On its way out.
    Draining,
}

/// What the engine does, in numbers.
#[derive(Debug, Clone, Serialize)]
pub struct Inference {
    /// In one word.
    pub state: State,
    /// Tokens a second of the request that ended last; on the wire 0 before the first, since
    /// clients in the field expect a number.
    #[serde(serialize_with = "rate")]
    pub last_tps: Option<f64>,
    /// Time to first token of the request that started last; likewise.
    #[serde(serialize_with = "time", rename = "last_ttft_ms")]
    pub last_ttft: Option<Duration>,
    /// Since the start.
    pub total_tokens_generated: u64,
    /// Requests that hold a slot.
    pub active: usize,
    /// Requests that wait for one.
    pub queued: usize,
    /// Slots in all.
    pub slots: usize,
    /// Tokens in the KV cache.
    pub kv_used_tokens: usize,
    /// Tokens the KV cache holds.
    pub kv_total_tokens: usize,
    /// Open WebSocket connections.
    pub connections: usize,
    /// Prompt tokens computed since the start.
    pub prompt_tokens_total: u64,
    /// Tokens generated a second since the last frame.
    #[serde(serialize_with = "rate")]
    pub tps_now: Option<f64>,
    /// Seconds since the start.
    pub uptime_s: u64,
}

fn rate<S: Serializer>(rate: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(two_decimals(rate.unwrap_or(0.0)))
}

fn time<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.map_or(0, millis))
}
