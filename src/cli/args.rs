//! The options as clap reads them, and their ranges.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Parser, ValueEnum, value_parser};

use crate::domain::Speculation;
use crate::server::Origin;

use super::Config;

const ABOUT: &str = "Serves a local language model over a WebSocket and streams its tokens.

  inference-core model.gguf 3000   serve a GGUF file on port 3000
  inference-core --demo            serve the built-in demo model, a toy of three
                                   million weights that tells small stories in
                                   English and Spanish
  inference-core plan model.gguf   show what would lie on which card, without
                                   loading anything; --vram 3GB plans for a card
                                   of 3 GB, --json prints JSON

MODEL is a GGUF file, the first one if it is split; without it the demo model is
served. PORT is 3000 unless given, and 0 takes any free one. The server listens
on this machine only (127.0.0.1 and, where there is one, [::1]).";

const AFTER: &str = "Every option of the server can also be given as an environment variable, \
INFERENCE_CORE_ and its name in capitals (INFERENCE_CORE_CTX_SIZE=2048).

Exit codes:
  0   left after SIGINT, SIGTERM or SIGHUP, or printed what was asked for
  1   whoever read what was printed has closed it
  64  an option or argument is wrong, or does not fit the model
  65  the model file is broken or of a kind that cannot be served
  66  the model file does not exist or cannot be read
  69  the port is in use
  70  the engine failed
  71  the machine has too little memory or other resources
  74  what was asked for could not be written
  77  the port needs rights this user does not have
  130 a second signal cut the leaving short";

// clap prints the documentation of the fields as it stands.
#[allow(rustdoc::bare_urls, reason = "an address on a terminal has no brackets")]
#[derive(Debug, Parser)]
#[command(
    name = "inference-core",
    about = ABOUT,
    after_help = AFTER,
    disable_version_flag = true,
    max_term_width = 100,
    override_usage = "inference-core [OPTIONS] [MODEL] [PORT]\n       inference-core [OPTIONS] --demo [PORT]\n       inference-core plan [OPTIONS] [MODEL | --demo]"
)]
pub(super) struct Args {
    // Described above the options: which of the two a single one is depends on `--demo`.
    #[arg(hide = true, num_args = 0..)]
    pub(super) positional: Vec<OsString>,

    /// Serve the built-in demo model: a toy, to try things out without a download
    #[arg(long, env = "INFERENCE_CORE_DEMO", value_parser = BoolishValueParser::new())]
    pub(super) demo: bool,

    /// Tokens a request may use, prompt and answer together [default: what the model was trained
    /// on, at most 4096]
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_CTX_SIZE", value_parser = value_parser!(u32).range(1..))]
    ctx_size: Option<u32>,

    /// Requests that are computed at once; more wait in the queue
    #[arg(long, value_name = "SLOTS", env = "INFERENCE_CORE_PARALLEL", default_value_t = 4, value_parser = value_parser!(u32).range(1..=64))]
    parallel: u32,

    /// Tokens of the KV cache for all slots together [default: --ctx-size times --parallel]
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_KV_SIZE", value_parser = value_parser!(u32).range(1..))]
    kv_size: Option<u32>,

    /// Memory for finished conversations outside of the KV cache, so that going on with one need not
    /// read it again (500MB; with 0 they stay in the KV cache, where they slow down others on a
    /// processor) [default: what the KV cache has and a sixteenth, at most a quarter of what is free
    /// beside the model]
    #[arg(long, value_name = "SIZE", env = "INFERENCE_CORE_CACHE_RAM", value_parser = bytes)]
    cache_ram: Option<u64>,

    /// Threads that compute [default: one for each physical core]
    #[arg(long, short, value_name = "N", env = "INFERENCE_CORE_THREADS", value_parser = value_parser!(u32).range(1..=512))]
    threads: Option<u32>,

    /// Most tokens of one step; more need memory, and more than 512 read prompts faster on cards
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_UBATCH", default_value_t = 512, value_parser = value_parser!(u32).range(64..=8192))]
    ubatch: u32,

    /// Layers on graphics cards, the output matrix counted as one: auto (as many as fit), all, or a
    /// number
    #[arg(long, value_name = "N", env = "INFERENCE_CORE_GPU_LAYERS", default_value = "auto")]
    gpu_layers: GpuLayers,

    /// How the KV cache stores its numbers; packed ones need flash attention. auto packs to q8_0
    /// where that puts more on a card, or makes --gpu-layers fit
    #[arg(
        long,
        value_name = "TYPE",
        env = "INFERENCE_CORE_KV_TYPE",
        value_enum,
        default_value = "f16"
    )]
    kv_type: KvType,

    /// Memory of each card that stays free (500MB, 1.5GB; units are powers of 1024) [default: 500MB]
    #[arg(long, value_name = "SIZE", env = "INFERENCE_CORE_VRAM_RESERVE", value_parser = bytes)]
    vram_reserve: Option<u64>,

    /// plan: free memory of the card to plan for (3GB), or of several (3GB,8GB)
    #[arg(long, value_name = "SIZES")]
    pub(super) vram: Vec<Sizes>,

    /// plan: print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,

    /// Whether flash attention computes [default: auto, by the model and the machine]
    #[arg(
        long,
        value_name = "WHEN",
        env = "INFERENCE_CORE_FLASH_ATTN",
        value_enum,
        default_value = "auto",
        hide_default_value = true
    )]
    flash_attn: Switch,

    /// Whether tokens are guessed ahead, which makes texts that repeat themselves faster and
    /// changes none but by rounding: off, ngram (from the text itself), or auto (from the draft model too, if there
    /// is one), for requests that do not say otherwise. Where it does not pay it stops by itself
    #[arg(
        long,
        value_name = "HOW",
        env = "INFERENCE_CORE_SPECULATIVE",
        value_enum,
        default_value = "auto",
        hide_possible_values = true
    )]
    speculative: Speculative,

    /// A small model of the same family, a GGUF file, that guesses tokens ahead
    #[arg(long, value_name = "FILE", env = "INFERENCE_CORE_DRAFT")]
    draft: Option<PathBuf>,

    /// How long a step may take while somebody is streaming, in milliseconds
    #[arg(long, value_name = "MS", env = "INFERENCE_CORE_STEP_TARGET", default_value_t = 100, value_parser = value_parser!(u64).range(1..=60_000))]
    step_target: u64,

    /// Requests that may wait for a slot; more are refused as busy
    #[arg(long, value_name = "N", env = "INFERENCE_CORE_MAX_QUEUE", default_value_t = 64, value_parser = value_parser!(u32).range(0..=100_000))]
    max_queue: u32,

    /// Connections that may be open at once
    #[arg(long, value_name = "N", env = "INFERENCE_CORE_MAX_CONNECTIONS", default_value_t = 1024, value_parser = value_parser!(u32).range(1..=100_000))]
    max_connections: u32,

    /// Largest message a client may send, in KiB
    #[arg(long, value_name = "KIB", env = "INFERENCE_CORE_MAX_MESSAGE", default_value_t = 8 * 1024, value_parser = value_parser!(u32).range(1..=1024 * 1024))]
    max_message: u32,

    /// A web page that may use the server, as the browser names it (https://example.org); may be
    /// repeated. Pages from this machine's own server always may
    #[arg(long, value_name = "ORIGIN", env = "INFERENCE_CORE_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<Origin>,

    /// How long a client may leave its text unread before its request is dropped, in seconds
    #[arg(long, value_name = "SECONDS", env = "INFERENCE_CORE_SLOW_CLIENT_GRACE", default_value_t = 10, value_parser = value_parser!(u64).range(1..=3600))]
    slow_client_grace: u64,

    /// How long running requests may go on after SIGINT, SIGTERM or SIGHUP, in seconds
    #[arg(long, value_name = "SECONDS", env = "INFERENCE_CORE_DRAIN_TIMEOUT", default_value_t = 10, value_parser = value_parser!(u64).range(0..=86_400))]
    drain_timeout: u64,

    /// How long one step may take before the engine counts as stalled, in seconds
    #[arg(long, value_name = "SECONDS", env = "INFERENCE_CORE_STALL_LIMIT", default_value_t = 60, value_parser = value_parser!(u64).range(1..=86_400))]
    stall_limit: u64,

    /// Time between two metrics frames, and two looks at the graphics cards, in milliseconds
    #[arg(long, value_name = "MS", env = "INFERENCE_CORE_METRICS_INTERVAL", default_value_t = 1000, value_parser = value_parser!(u64).range(100..=60_000))]
    metrics_interval: u64,

    /// What to log: error, warn, info, debug, trace, or a filter such as
    /// `info,llama_cpp=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "INFERENCE_CORE_LOG",
        default_value = "warn,llama_cpp=off"
    )]
    log: String,

    /// Print the version, the commit, llama.cpp's version, the backend and the CPU flags it was
    /// built for
    #[arg(long, short = 'V')]
    pub(super) version: bool,
}

/// How the KV cache stores its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KvType {
    /// f16, or q8_0 where that puts more on a card, or makes --gpu-layers fit
    Auto,
    /// 16-bit floats
    F16,
    /// 8 bits each, with scales
    #[value(name = "q8_0")]
    Q8,
    /// 4 bits each, with scales
    #[value(name = "q4_0")]
    Q4,
}

/// Whether tokens are guessed ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Speculative {
    Off,
    Ngram,
    Auto,
}

impl Speculative {
    fn choice(self) -> Speculation {
        match self {
            Self::Off => Speculation::Off,
            Self::Ngram => Speculation::Ngram,
            Self::Auto => Speculation::Auto,
        }
    }
}

/// How many layers shall lie on graphics cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuLayers {
    /// As many as fit.
    Auto,
    /// All.
    All,
    /// So many.
    Number(u32),
}

impl FromStr for GpuLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Number).map_err(|_| match text.starts_with('-') {
                true => "it must not be negative, use all for every layer".to_owned(),
                false => "it must be auto, all or a number of layers".to_owned(),
            }),
        }
    }
}

/// Free memory of one card or several, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Sizes(Vec<u64>);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if let [whole, fraction] = parts[..]
            && !whole.is_empty()
            && whole.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(format!(
                "write {whole}.{fraction} with a point; a comma stands between cards"
            ));
        }
        if parts.len() > 1 && parts.iter().any(|part| part.is_empty()) {
            return Err("a size is missing; several are written 3GB,8GB without spaces".to_owned());
        }
        parts.into_iter().map(bytes).collect::<Result<_, _>>().map(Self)
    }
}

/// More than any card has, in bytes: it is a slip of the finger.
const MOST_BYTES: f64 = (1u64 << 44) as f64;

/// A number of bytes with a unit; units are powers of 1024, as the makers of cards count.
fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "it must be a size such as 500MB or 1.5GB".to_owned();
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &upper[digits.len()..] {
        "KB" | "KIB" | "K" => 1 << 10,
        "MB" | "MIB" | "M" => 1 << 20,
        "GB" | "GIB" | "G" => 1 << 30,
        "TB" | "TIB" | "T" => 1 << 40,
        "B" => 1,
        "" if digits == "0" => 1,
        "" if digits.parse::<f64>().is_ok() => {
            return Err(format!("it needs a unit with no space before it, such as {digits}GB"));
        }
        _ => return Err(expected()),
    };
    let number: f64 = digits.trim_end().parse().map_err(|_| expected())?;
    let bytes = number * unit as f64;
    if bytes > MOST_BYTES {
        return Err("it is more than there is, use at most 16TB".to_owned());
    }
    // Not so for what is negative or no number.
    (bytes >= 0.0).then_some(bytes as u64).ok_or_else(expected)
}

/// A choice that can be left to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    Auto,
    On,
    Off,
}

impl Switch {
    fn choice(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::On => Some(true),
            Self::Off => Some(false),
        }
    }
}

impl Args {
    /// Free bytes of the cards to plan for.
    pub(super) fn cards(&self) -> Vec<u64> {
        self.vram.iter().flat_map(|Sizes(sizes)| sizes).copied().collect()
    }

    pub(super) fn into_config(self, model: Option<PathBuf>, port: u16) -> Config {
        Config {
            model,
            port,
            ctx_size: self.ctx_size,
            parallel: self.parallel,
            kv_size: self.kv_size,
            cache_ram: self.cache_ram,
            threads: self.threads.unwrap_or_else(cores),
            ubatch: self.ubatch,
            gpu_layers: self.gpu_layers,
            kv_type: self.kv_type,
            vram_reserve: self.vram_reserve,
            flash_attention: self.flash_attn.choice(),
            speculative: self.speculative.choice(),
            draft: self.draft,
            step_target: Duration::from_millis(self.step_target),
            max_queue: self.max_queue as usize,
            max_connections: self.max_connections as usize,
            max_message_bytes: self.max_message as usize * 1024,
            allowed_origins: self.allow_origin,
            slow_client_grace: Duration::from_secs(self.slow_client_grace),
            drain_timeout: Duration::from_secs(self.drain_timeout),
            stall_limit: Duration::from_secs(self.stall_limit),
            metrics_interval: Duration::from_millis(self.metrics_interval),
            visible_cards: std::env::var_os("CUDA_VISIBLE_DEVICES")
                .map(|value| value.to_string_lossy().into_owned()),
            log: self.log,
        }
    }
}

/// Cores that compute without sharing their arithmetic units, as far as this process may use them.
fn cores() -> u32 {
    u32::try_from(num_cpus::get_physical().min(num_cpus::get())).unwrap_or(1).max(1)
}
