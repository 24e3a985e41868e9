//! The validated configuration of the daemon.
//!
//! Every value is within its range. What depends on the model, such as the longest possible
//! context, is checked by [`crate::daemon`]. Nothing here knows how arguments are parsed.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::{AccountLimits, ApiKey, Rights, SandboxMode, Speculation};

use super::given_arguments::GivenArguments;
use super::network::NetworkConfig;

/// How to serve a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The model file; `None` is the built-in demo model.
    pub model: Option<PathBuf>,
    /// The port to listen on, on all TCP addresses; 0 picks any free one.
    pub port: u16,
    /// Maximum number of tokens of a request, prompt and answer together; `None` derives it from
    /// the model.
    pub ctx_size: Option<u32>,
    /// Maximum number of tokens of an answer; `None` limits it by the context only.
    pub max_tokens: Option<u32>,
    /// Number of slots: requests that are computed at the same time.
    pub parallel: u32,
    /// Size of the KV cache in tokens, divided equally among the slots; `None` is `ctx_size` times
    /// `parallel`.
    pub kv_size: Option<u32>,
    /// Bytes of host RAM for cached sequences outside the KV cache; `None` derives it from the
    /// model and the machine.
    pub cache_ram: Option<u64>,
    /// Number of compute threads.
    pub threads: u32,
    /// Whether fewer threads compute while other programs use the CPUs: not if the user chose the
    /// number.
    pub has_adaptive_threads: bool,
    /// Maximum number of tokens per step.
    pub ubatch: u32,
    /// Layers to offload to GPUs.
    pub gpu_layers: GpuLayers,
    /// Data type of the KV cache.
    pub kv_type: KvTypeChoice,
    /// Bytes to leave free on each GPU; `None` is 500 MiB.
    pub vram_reserve: Option<u64>,
    /// Whether to use flash attention; `None` decides by the model and the machine.
    pub flash_attention: Option<bool>,
    /// Where draft tokens come from if a request does not say.
    pub speculative: Speculation,
    /// The draft model's file.
    pub draft: Option<PathBuf>,
    /// The chat template to use instead of the one in the model's file: the path of a file, or the
    /// name of a built-in template.
    pub chat_template: Option<String>,
    /// Target duration of a step while answers are being streamed.
    pub step_target: Duration,
    /// Maximum number of waiting requests. A quarter more is reserved for connections without
    /// another request.
    pub max_queue: usize,
    /// Maximum number of open connections.
    pub max_connections: usize,
    /// Maximum size of a client's message, in bytes.
    pub max_message_bytes: usize,
    /// Bytes that messages of all clients may take; `None` derives them from the maximum size.
    pub message_memory: Option<u64>,
    /// Where the server listens, and whom it accepts.
    pub network: NetworkConfig,
    /// Who may use the server, and how much.
    pub access: AccessConfig,
    /// How long a client may leave its answer unread before its request fails with `slow_client`.
    pub slow_client_grace: Duration,
    /// How long running requests may continue after a signal to shut down.
    pub drain_timeout: Duration,
    /// How long the model may make no progress before its process is replaced; `None` derives it
    /// from the model's own pace.
    pub stall_limit: Option<Duration>,
    /// Whether to exit when the model's process cannot be kept running.
    pub exit_on_failure: bool,
    /// Whether the process that holds the model confines itself.
    pub sandbox: SandboxMode,
    /// Interval between `metrics` frames, and between GPU readings.
    pub metrics_interval: Duration,
    /// Whether lines about billing stay in the instructions of Anthropic's coding client.
    pub keeps_attribution: bool,
    /// The value of `CUDA_VISIBLE_DEVICES`: the GPUs to monitor; `None` is all.
    pub visible_gpus: Option<String>,
    /// What to log, as a filter of tracing-subscriber.
    pub log: String,
    /// The arguments that this was made from; none for a plan.
    pub arguments: GivenArguments,
}

impl Config {
    /// Whether clients need an API key.
    pub fn has_keys(&self) -> bool {
        self.access.api_key.is_some() || self.access.api_key_file.is_some()
    }

    /// Whether clients prove who they are, by an API key or by a certificate.
    pub fn knows_clients(&self) -> bool {
        self.has_keys() || self.network.tls_client_ca.is_some()
    }
}

/// Who may use the server, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessConfig {
    /// A key with all rights.
    pub api_key: Option<ApiKey>,
    /// Whether this key was an argument, which other users see.
    pub is_api_key_visible: bool,
    /// The file with the other keys.
    pub api_key_file: Option<PathBuf>,
    /// Whether `/metrics` is open to clients without a key.
    pub has_open_metrics: bool,
    /// Limits of keys that have none of their own, and of addresses if there are no keys.
    pub limits: AccountLimits,
}

/// How to make an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeyOptions {
    /// The name of the key.
    pub name: String,
    /// The key file to add it to; `None` prints its table.
    pub file: Option<PathBuf>,
    /// What its owner may do.
    pub rights: Rights,
    /// How much its owner may use.
    pub limits: AccountLimits,
}

/// How to show a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// Free bytes of each hypothetical GPU to plan for; if empty, the plan is for this machine's
    /// GPUs.
    pub vram: Vec<u64>,
    /// Whether to print JSON instead of a table.
    pub json: bool,
}

/// How many layers to offload to GPUs, the output matrix counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuLayers {
    /// As many as fit.
    Auto,
    /// All of them.
    All,
    /// This many.
    Number(u32),
}

/// Data type of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvTypeChoice {
    /// [`Self::Q8`] if it lets more layers or experts be offloaded or makes the requested layers
    /// fit, otherwise [`Self::F16`].
    Auto,
    /// 16-bit floats.
    F16,
    /// `q8_0`: blocks of 8-bit integers with a scale.
    Q8,
    /// `q4_0`: blocks of 4-bit integers with a scale.
    Q4,
}
