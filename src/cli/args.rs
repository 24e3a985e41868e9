//! The command line as clap reads it: names, ranges, defaults and help of all options.
//!
//! The documentation of a field is the help text of its option. [`Args::into_config`] converts the
//! parsed options into a [`Config`] and fills in the defaults that depend on the machine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::BoolishValueParser;

use crate::domain::{SandboxMode, Speculation};
use crate::machine::usable_cores;

use super::access::AccessArgs;
use super::byte_size::{ByteSize, ByteSizes};
use super::choice::Switch;
use super::config::{Config, GpuLayers, KvTypeChoice, PlanOptions};
use super::environment::visible_gpus;
use super::given_arguments::GivenArguments;
use super::help::{ABOUT, AFTER_OPTIONS, USAGE};
use super::network_args::NetworkArgs;
use super::number::{tokens, whole_number};

#[derive(Debug, Parser)]
#[command(
    name = "inference-core",
    about = ABOUT,
    after_help = AFTER_OPTIONS,
    disable_version_flag = true,
    max_term_width = 100,
    override_usage = USAGE
)]
pub(super) struct Args {
    // Hidden because ABOUT describes MODEL and PORT. Whether a single argument is the model or the
    // port depends on its form and on `--demo`.
    #[arg(hide = true, num_args = 0..)]
    pub(super) positional: Vec<OsString>,

    /// Serve the built-in demo model: a toy, to try things out without a download
    #[arg(long, env = "INFERENCE_CORE_DEMO", value_parser = BoolishValueParser::new())]
    pub(super) demo: bool,

    /// Maximum number of tokens of a request, prompt and answer together [default: the model's
    /// training context, at most 4096]
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_CTX_SIZE", value_parser = tokens)]
    ctx_size: Option<u32>,

    /// Maximum length of an answer in tokens. A request that asks for more is refused, and one that
    /// does not say gets this many [default: until the context is full]
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_MAX_TOKENS", value_parser = tokens)]
    max_tokens: Option<u32>,

    /// Number of slots: requests computed at the same time; further requests wait in the queue
    #[arg(
        long,
        value_name = "SLOTS",
        env = "INFERENCE_CORE_PARALLEL",
        default_value_t = 4,
        value_parser = whole_number(1..=64)
    )]
    parallel: u32,

    /// Size of the KV cache in tokens, divided equally among the slots [default: --ctx-size times
    /// --parallel]
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_KV_SIZE", value_parser = tokens)]
    kv_size: Option<u32>,

    /// Host RAM for cached conversations outside the KV cache (such as 500MB), so that a follow-up
    /// request does not compute them again. With 0, a conversation is kept only until another
    /// request takes its slot [default: 17/16 of the KV cache, at most a quarter of the memory that
    /// the model leaves free]
    #[arg(long, value_name = "SIZE", env = "INFERENCE_CORE_CACHE_RAM", allow_hyphen_values = true)]
    cache_ram: Option<ByteSize>,

    /// Number of compute threads [default: one per physical core that this process may use, within
    /// the quota of its cgroup; on Linux fewer while other programs use the CPUs]
    #[arg(
        long,
        short,
        value_name = "N",
        env = "INFERENCE_CORE_THREADS",
        value_parser = whole_number(1..=MAX_THREADS)
    )]
    threads: Option<u32>,

    /// Maximum number of tokens per step. Larger steps need more memory; on GPUs, values above 512
    /// process prompts faster
    #[arg(
        long,
        value_name = "TOKENS",
        env = "INFERENCE_CORE_UBATCH",
        default_value_t = 512,
        value_parser = whole_number(64..=8192)
    )]
    ubatch: u32,

    /// Number of layers to offload to GPUs, the output matrix counted as one: auto (as many as
    /// fit), all, or a number
    #[arg(long, value_name = "N", env = "INFERENCE_CORE_GPU_LAYERS", default_value = "auto")]
    gpu_layers: GpuLayers,

    /// Data type of the KV cache; q8_0 and q4_0 need flash attention. auto uses q8_0 if it lets
    /// more layers or experts be offloaded or makes --gpu-layers fit, otherwise f16
    #[arg(
        long,
        value_name = "TYPE",
        env = "INFERENCE_CORE_KV_TYPE",
        value_enum,
        default_value = "f16"
    )]
    kv_type: KvTypeChoice,

    /// Memory to leave free on each GPU (500MB, 1.5GB; units are powers of 1024) [default: 500MB]
    #[arg(
        long,
        value_name = "SIZE",
        env = "INFERENCE_CORE_VRAM_RESERVE",
        allow_hyphen_values = true
    )]
    vram_reserve: Option<ByteSize>,

    /// With `plan`: assume a GPU with this much free memory (3GB), or several (3GB,8GB)
    #[arg(long, value_name = "SIZES", allow_hyphen_values = true)]
    vram: Vec<ByteSizes>,

    /// With `plan`: print JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Whether to use flash attention: auto decides by the model and the machine [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        env = "INFERENCE_CORE_FLASH_ATTN",
        value_enum,
        default_value = "auto",
        hide_default_value = true
    )]
    flash_attn: Switch,

    /// Where draft tokens come from if a request does not say: off (no drafting), ngram
    /// (repetitions in the text), or auto (also the draft model, if there is one). Answers do not
    /// change, except where two tokens are nearly equally likely. Drafting pauses where it does not
    /// pay
    #[arg(
        long,
        value_name = "HOW",
        env = "INFERENCE_CORE_SPECULATIVE",
        value_enum,
        default_value = "auto",
        hide_possible_values = true
    )]
    speculative: Speculation,

    /// Draft model for speculative decoding: a GGUF file with a small model of the same family
    #[arg(long, value_name = "FILE", env = "INFERENCE_CORE_DRAFT")]
    draft: Option<PathBuf>,

    /// Chat template to use instead of the one in the model's file: a file with a Jinja template,
    /// or the name of a built-in one (chatml, llama3, gemma; a wrong name lists them)
    #[arg(long, value_name = "FILE|NAME", env = "INFERENCE_CORE_CHAT_TEMPLATE")]
    chat_template: Option<String>,

    /// Target duration of a step while answers are being streamed, in milliseconds
    #[arg(
        long,
        value_name = "MS",
        env = "INFERENCE_CORE_STEP_TARGET",
        default_value_t = 100,
        value_parser = whole_number(1..=60_000)
    )]
    step_target: u32,

    /// Number of requests that may wait for their first slot. Further requests are refused as busy;
    /// a quarter more is reserved for connections without another request
    #[arg(
        long,
        value_name = "N",
        env = "INFERENCE_CORE_MAX_QUEUE",
        default_value_t = 64,
        value_parser = whole_number(0..=100_000)
    )]
    max_queue: u32,

    /// Maximum number of open WebSockets; the limit on open files can lower it. A new client
    /// replaces one that has no request
    #[arg(
        long,
        value_name = "N",
        env = "INFERENCE_CORE_MAX_CONNECTIONS",
        default_value_t = 1024,
        value_parser = whole_number(1..=100_000)
    )]
    max_connections: u32,

    /// Maximum size of a message from a client, in KiB
    #[arg(
        long,
        value_name = "KIB",
        env = "INFERENCE_CORE_MAX_MESSAGE",
        default_value_t = 8 * 1024,
        value_parser = whole_number(1..=1024 * 1024)
    )]
    max_message: u32,

    /// Memory for messages of all clients: those that are being received or wait, and answers that
    /// are not read. If it is used up, the largest connection of the client that uses most is
    /// closed (code 1013) [default: 256MB, or 1.5MB and 10 times --max-message if that is more]
    #[arg(
        long,
        value_name = "SIZE",
        env = "INFERENCE_CORE_MESSAGE_MEMORY",
        allow_hyphen_values = true
    )]
    message_memory: Option<ByteSize>,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    pub(super) access: AccessArgs,

    /// How long a client may leave its answer unread before its request fails with slow_client, in
    /// seconds
    #[arg(
        long,
        value_name = "SECONDS",
        env = "INFERENCE_CORE_SLOW_CLIENT_GRACE",
        default_value_t = 10,
        value_parser = whole_number(1..=3600)
    )]
    slow_client_grace: u32,

    /// How long running requests may continue after SIGINT, SIGTERM, SIGQUIT or, if a terminal is
    /// closed, SIGHUP, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        env = "INFERENCE_CORE_DRAIN_TIMEOUT",
        default_value_t = 10,
        value_parser = whole_number(0..=86_400)
    )]
    drain_timeout: u32,

    /// How long the model may make no progress before its process is replaced, in seconds
    /// [default: 20 times the model's longest step, at least 10 and at most 600; before the first
    /// step 60]
    #[arg(
        long,
        value_name = "SECONDS",
        env = "INFERENCE_CORE_STALL_LIMIT",
        value_parser = whole_number(1..=86_400)
    )]
    stall_limit: Option<u32>,

    /// Exit with code 70 when the model's process ends again and again, so that a service manager
    /// takes over. By default the server stays and tries again every 30 seconds
    #[arg(long, env = "INFERENCE_CORE_EXIT_ON_FAILURE", value_parser = BoolishValueParser::new())]
    exit_on_failure: bool,

    /// Whether the process that reads the model file gives up what it does not need: auto (as far
    /// as the system supports it), strict (completely, or the server does not start), or off
    #[arg(
        long,
        value_name = "HOW",
        env = "INFERENCE_CORE_SANDBOX",
        value_enum,
        default_value = "auto",
        hide_possible_values = true
    )]
    sandbox: SandboxMode,

    /// Keep the line about billing in the instructions of Anthropic's coding client. It differs in
    /// every request, so nothing of the prompt comes from the prefix cache
    #[arg(long, env = "INFERENCE_CORE_KEEP_ATTRIBUTION", value_parser = BoolishValueParser::new())]
    keep_attribution: bool,

    /// Interval between metrics frames, and between GPU readings, in milliseconds
    #[arg(
        long,
        value_name = "MS",
        env = "INFERENCE_CORE_METRICS_INTERVAL",
        default_value_t = 1000,
        value_parser = whole_number(100..=60_000)
    )]
    metrics_interval: u32,

    /// What to log: error, warn, info, debug, trace, or a filter such as `info,llama_cpp=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "INFERENCE_CORE_LOG",
        default_value = "warn,llama_cpp=off"
    )]
    log: String,

    /// Print the version, commit, llama.cpp version, backend and CPU features of this build
    #[arg(long, short = 'V')]
    pub(super) version: bool,
}

impl Args {
    /// Whether an option was given that only `plan` has.
    pub(super) fn has_plan_options(&self) -> bool {
        !self.vram.is_empty() || self.json
    }

    /// How to show the plan.
    pub(super) fn plan_options(&self) -> PlanOptions {
        let vram = self.vram.iter().flat_map(|ByteSizes(sizes)| sizes);
        PlanOptions { vram: vram.map(|size| size.0).collect(), json: self.json }
    }

    /// The configuration for this model and port. No model is the built-in demo model.
    pub(super) fn into_config(self, model: Option<PathBuf>, port: u16) -> Config {
        let seconds = |n: u32| Duration::from_secs(n.into());
        let milliseconds = |n: u32| Duration::from_millis(n.into());
        Config {
            model,
            port,
            ctx_size: self.ctx_size,
            max_tokens: self.max_tokens,
            parallel: self.parallel,
            kv_size: self.kv_size,
            cache_ram: self.cache_ram.map(|size| size.0),
            threads: self.threads.unwrap_or_else(|| usable_cores().min(MAX_THREADS)),
            has_adaptive_threads: self.threads.is_none(),
            ubatch: self.ubatch,
            gpu_layers: self.gpu_layers,
            kv_type: self.kv_type,
            vram_reserve: self.vram_reserve.map(|size| size.0),
            flash_attention: self.flash_attn.decision(),
            speculative: self.speculative,
            draft: self.draft,
            chat_template: self.chat_template,
            step_target: milliseconds(self.step_target),
            max_queue: self.max_queue as usize,
            max_connections: self.max_connections as usize,
            max_message_bytes: self.max_message as usize * 1024,
            message_memory: self.message_memory.map(|size| size.0),
            network: self.network.into_config(),
            access: self.access.into(),
            slow_client_grace: seconds(self.slow_client_grace),
            drain_timeout: seconds(self.drain_timeout),
            stall_limit: self.stall_limit.map(seconds),
            exit_on_failure: self.exit_on_failure,
            sandbox: self.sandbox,
            keeps_attribution: self.keep_attribution,
            metrics_interval: milliseconds(self.metrics_interval),
            visible_gpus: visible_gpus(),
            log: self.log,
            arguments: GivenArguments::default(),
        }
    }
}

/// Maximum number of compute threads: what ggml supports (`GGML_MAX_N_THREADS`).
const MAX_THREADS: u32 = 512;
