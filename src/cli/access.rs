//! The options about API keys and about limits of their owners, or of addresses.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{BoolishValueParser, OsStringValueParser, TypedValueParser};

use crate::domain::{AccountLimits, ApiKey};

use super::byte_size::ByteSize;
use super::config::AccessConfig;

// Who may use the server. clap would print documentation, and prints that of the fields.
#[derive(Debug, Args)]
pub(super) struct AccessArgs {
    /// File with the API keys that clients may use: TOML, as `inference-core key new NAME --file
    /// FILE` writes it. SIGHUP has it read again
    #[arg(
        long,
        value_name = "FILE",
        env = "INFERENCE_CORE_API_KEY_FILE",
        conflicts_with = "api_key"
    )]
    api_key_file: Option<PathBuf>,

    /// An API key with all rights, for the simple case. Other users see it in the process list: set
    /// INFERENCE_CORE_API_KEY instead
    #[arg(
        long,
        value_name = "KEY",
        env = "INFERENCE_CORE_API_KEY",
        hide_env_values = true,
        // A parser that fails would print the key.
        value_parser = OsStringValueParser::new().map(|key| ApiKey::new(key.to_string_lossy()))
    )]
    api_key: Option<ApiKey>,

    // Set after parsing.
    #[arg(skip)]
    pub(super) is_api_key_visible: bool,

    /// Serve /metrics to clients without an API key as well
    #[arg(long, env = "INFERENCE_CORE_OPEN_METRICS", value_parser = BoolishValueParser::new())]
    open_metrics: bool,

    #[command(flatten)]
    limits: LimitArgs,
}

// How much an account may use.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Most WebSockets of an API key or, without keys, of an address. This and the other limits
    /// count for keys whose file sets none [default: for addresses of other machines 64]
    #[arg(
        long,
        value_name = "N",
        env = "INFERENCE_CORE_LIMIT_CONNECTIONS",
        value_parser = one_or_more
    )]
    limit_connections: Option<NonZeroU32>,

    /// Most requests of an API key or address at once, running and waiting [default: for addresses
    /// of other machines 32]
    #[arg(long, value_name = "N", env = "INFERENCE_CORE_LIMIT_REQUESTS", value_parser = one_or_more)]
    limit_requests: Option<NonZeroU32>,

    /// Most requests of an API key or address that wait for a slot [default: for addresses of other
    /// machines 16]
    #[arg(long, value_name = "N", env = "INFERENCE_CORE_LIMIT_WAITING", value_parser = one_or_more)]
    limit_waiting: Option<NonZeroU32>,

    /// Most tokens of an API key or address per minute, computed prompt tokens included
    #[arg(
        long,
        value_name = "N",
        env = "INFERENCE_CORE_LIMIT_TOKENS_PER_MINUTE",
        value_parser = one_or_more
    )]
    limit_tokens_per_minute: Option<NonZeroU32>,

    /// Most seconds of computing of an API key or address per minute
    #[arg(
        long,
        value_name = "SECONDS",
        env = "INFERENCE_CORE_LIMIT_COMPUTE_PER_MINUTE",
        value_parser = one_or_more
    )]
    limit_compute_per_minute: Option<NonZeroU32>,

    /// Most bytes of messages of an API key or address whose requests have not ended (such as 16MB)
    #[arg(
        long,
        value_name = "SIZE",
        env = "INFERENCE_CORE_LIMIT_BYTES",
        allow_hyphen_values = true,
        value_parser = some_bytes
    )]
    limit_bytes: Option<NonZeroU64>,
}

impl From<AccessArgs> for AccessConfig {
    fn from(args: AccessArgs) -> Self {
        Self {
            api_key: args.api_key,
            is_api_key_visible: args.is_api_key_visible,
            api_key_file: args.api_key_file,
            has_open_metrics: args.open_metrics,
            limits: args.limits.into(),
        }
    }
}

impl From<LimitArgs> for AccountLimits {
    fn from(args: LimitArgs) -> Self {
        Self {
            connections: args.limit_connections,
            requests: args.limit_requests,
            waiting: args.limit_waiting,
            tokens_per_minute: args.limit_tokens_per_minute,
            compute_seconds_per_minute: args.limit_compute_per_minute,
            bytes: args.limit_bytes,
        }
    }
}

fn one_or_more(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("it must be a whole number from 1 to {}", u32::MAX))
}

fn some_bytes(text: &str) -> Result<NonZeroU64, String> {
    let size = ByteSize::from_str(text)?;
    NonZeroU64::new(size.0).ok_or_else(|| "it must not be 0".to_owned())
}
