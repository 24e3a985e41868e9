//! The `metrics` frame: the state of the engine and the GPUs, sent at a fixed interval.
//!
//! Times are whole milliseconds and throughputs are tokens/s with two decimals. Values of the
//! engine that are not known yet are written as 0.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::domain::{Gpu, Phase};

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
    /// Loaded part of the model, 0 to 1, if the state is [`InferenceState::Loading`] or
    /// [`InferenceState::Restarting`].
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rate")]
    pub load_progress: Option<f64>,
    /// Requests that have begun and wait for a slot again.
    pub suspended: usize,
    /// Tokens in the KV cache that running requests hold.
    pub kv_running_tokens: usize,
    /// Prompt tokens taken from the prefix cache since the start.
    pub cached_tokens_total: u64,
    /// Draft tokens that the model verified since the start.
    pub drafted_tokens_total: u64,
    /// Draft tokens that the model accepted since the start.
    pub accepted_tokens_total: u64,
    /// Steps computed since the start.
    pub steps_total: u64,
    /// Time spent in the phases of all steps.
    pub step_phases_ms: PhaseTimes,
    /// Number of times that the model's process was replaced.
    pub restarts: u64,
}

/// Time spent in each phase of the engine's steps since the start, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PhaseTimes {
    /// Deciding what a step computes.
    pub schedule: u64,
    /// The draft model computes draft tokens.
    pub draft: u64,
    /// The model computes the step.
    pub decode: u64,
    /// Tokens are sampled and turned into text.
    pub commit: u64,
}

impl PhaseTimes {
    /// The times of the phases, in the order of [`Phase::ALL`].
    pub fn new(phases: [Duration; Phase::ALL.len()]) -> Self {
        let of = |phase: Phase| millis(phases[phase as usize]);
        Self {
            schedule: of(Phase::Schedule),
            draft: of(Phase::Draft),
            decode: of(Phase::Decode),
            commit: of(Phase::Commit),
        }
    }
}

/// Writes a throughput with two decimals, `None` as 0.
fn rate<S: Serializer>(rate: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(two_decimals(rate.unwrap_or(0.0)))
}

/// Writes whole milliseconds, `None` as 0.
fn time<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.map_or(0, millis))
}
