//! What was typed, and what it means.
//!
//! [`Config::parse`] turns arguments and environment variables into a [`Config`] whose values lie
//! in their ranges. What depends on the model, such as the longest context, is left to
//! [`crate::app`], which knows it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, value_parser};
use thiserror::Error;

use crate::server::Origin;

/// The port where none is given.
pub const DEFAULT_PORT: u16 = 3000;

const ABOUT: &str = "Serves a local language model over a WebSocket and streams its tokens.

  inference-core model.gguf 3000    serve a GGUF file on port 3000
  inference-core --demo             serve the built-in demo model, a toy of three million
                                    weights that tells small stories in English and Spanish

MODEL is a GGUF file, the first one if it is split; without it the demo model is served. PORT is
3000 unless given, and 0 takes any free one. The server listens on this machine only (127.0.0.1
and, where there is one, [::1]).";

const AFTER: &str = "Every option can also be given as an environment variable, \
INFERENCE_CORE_ and its name in capitals (INFERENCE_CORE_CTX_SIZE=2048).

Exit codes:
  0   left after SIGINT or SIGTERM
  64  an option or argument is wrong, or does not fit the model
  65  the model file is broken or of a kind that cannot be served
  66  the model file does not exist or cannot be read
  69  the port is in use
  70  the engine failed
  71  the machine has too little memory or other resources
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
    override_usage = "inference-core [OPTIONS] [MODEL] [PORT]\n       inference-core [OPTIONS] --demo [PORT]"
)]
struct Typed {
    // Described above the options: which of the two a single one is depends on `--demo`.
    #[arg(hide = true, num_args = 0..)]
    positional: Vec<OsString>,

    /// Serve the built-in demo model: a toy, to try things out without a download
    #[arg(long, env = "INFERENCE_CORE_DEMO", value_parser = BoolishValueParser::new())]
    demo: bool,

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

    /// Threads that compute [default: one for each core]
    #[arg(long, short, value_name = "N", env = "INFERENCE_CORE_THREADS", value_parser = value_parser!(u32).range(1..=512))]
    threads: Option<u32>,

    /// Most tokens of one step; more read prompts faster and need more memory
    #[arg(long, value_name = "TOKENS", env = "INFERENCE_CORE_UBATCH", default_value_t = 512, value_parser = value_parser!(u32).range(64..=8192))]
    ubatch: u32,

    /// How long a step may take while somebody is streaming, in milliseconds
    #[arg(long, value_name = "MS", env = "INFERENCE_CORE_STEP_TARGET", default_value_t = 50, value_parser = value_parser!(u64).range(1..=60_000))]
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

    /// How long running requests may go on after SIGINT or SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", env = "INFERENCE_CORE_DRAIN_TIMEOUT", default_value_t = 10, value_parser = value_parser!(u64).range(0..=86_400))]
    drain_timeout: u64,

    /// How long one step may take before the engine counts as stalled, in seconds
    #[arg(long, value_name = "SECONDS", env = "INFERENCE_CORE_STALL_LIMIT", default_value_t = 60, value_parser = value_parser!(u64).range(1..=86_400))]
    stall_limit: u64,

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
    version: bool,
}

/// What the daemon was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve a model.
    Serve(Config),
    /// Print a text and leave: help or version.
    Print(Printable),
}

/// What can be printed instead of serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Printable {
    /// The help text.
    Help(String),
    /// The version; its parts are known elsewhere.
    Version,
}

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The model file; `None` is the demo model.
    pub model: Option<PathBuf>,
    /// The port; 0 is any free one.
    pub port: u16,
    /// Tokens a request may use; `None` leaves it to the model.
    pub ctx_size: Option<u32>,
    /// Requests that are computed at once.
    pub parallel: u32,
    /// Tokens of the KV cache; `None` is the context times the slots.
    pub kv_size: Option<u32>,
    /// Threads that compute.
    pub threads: u32,
    /// Most tokens of one step.
    pub ubatch: u32,
    /// How long a step may take while somebody is streaming.
    pub step_target: Duration,
    /// Requests that may wait.
    pub max_queue: usize,
    /// Connections that may be open.
    pub max_connections: usize,
    /// Largest message of a client.
    pub max_message_bytes: usize,
    /// Foreign web pages that may use the server.
    pub allowed_origins: Vec<Origin>,
    /// How long a client may leave its text unread.
    pub slow_client_grace: Duration,
    /// How long running requests may go on after a signal.
    pub drain_timeout: Duration,
    /// How long one step may take.
    pub stall_limit: Duration,
    /// What to log, as a filter of tracing-subscriber.
    pub log: String,
}

/// What was typed cannot be used; one line that says why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; see --help")]
pub struct UsageError(String);

impl Config {
    /// Reads the arguments, the program's name first, and the environment.
    ///
    /// # Errors
    /// [`UsageError`] naming the value that cannot be used.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
        // Said once at the end of the help instead of after each option.
        let command = Typed::command().mut_args(|arg| arg.hide_env(true));
        let matches = command.try_get_matches_from(args);
        let typed = match matches.and_then(|mut matches| Typed::from_arg_matches_mut(&mut matches))
        {
            Ok(typed) => typed,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Ok(Command::Print(Printable::Help(error.render().to_string())));
            }
            Err(error) => return Err(UsageError(one_line(&error))),
        };
        if typed.version {
            return Ok(Command::Print(Printable::Version));
        }
        let (model, port) = model_and_port(&typed.positional, typed.demo)?;
        Ok(Command::Serve(typed.into_config(model, port)))
    }
}

impl Typed {
    fn into_config(self, model: Option<PathBuf>, port: u16) -> Config {
        Config {
            model,
            port,
            ctx_size: self.ctx_size,
            parallel: self.parallel,
            kv_size: self.kv_size,
            threads: self.threads.unwrap_or_else(cores),
            ubatch: self.ubatch,
            step_target: Duration::from_millis(self.step_target),
            max_queue: self.max_queue as usize,
            max_connections: self.max_connections as usize,
            max_message_bytes: self.max_message as usize * 1024,
            allowed_origins: self.allow_origin,
            slow_client_grace: Duration::from_secs(self.slow_client_grace),
            drain_timeout: Duration::from_secs(self.drain_timeout),
            stall_limit: Duration::from_secs(self.stall_limit),
            log: self.log,
        }
    }
}

/// Cores that compute without sharing their arithmetic units, as far as this process may use them.
fn cores() -> u32 {
    u32::try_from(num_cpus::get_physical().min(num_cpus::get())).unwrap_or(1).max(1)
}

fn model_and_port(args: &[OsString], demo: bool) -> Result<(Option<PathBuf>, u16), UsageError> {
    match (demo, args) {
        (_, []) => Ok((None, DEFAULT_PORT)),
        (true, [port_arg]) => Ok((None, port(port_arg)?)),
        (true, [model, _, ..]) => Err(UsageError(format!(
            "--demo serves the built-in model, so {} cannot be served too",
            model.display()
        ))),
        // A file of such a name is ./3000.
        (false, [lonely]) if port(lonely).is_ok() => Ok((None, port(lonely)?)),
        (false, [model]) => Ok((Some(model.into()), DEFAULT_PORT)),
        (false, [model, port_arg]) => Ok((Some(model.into()), port(port_arg)?)),
        (false, [_, _, extra, ..]) => Err(UsageError(format!(
            "unexpected argument {}: a model and a port are all that is needed",
            extra.display()
        ))),
    }
}

fn port(typed: &OsString) -> Result<u16, UsageError> {
    let digits = typed.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        UsageError(format!(
            "{} is not a port: it must be a number from 0 to 65535",
            typed.display()
        ))
    })
}

/// What clap says, without its headings and hints.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, UsageError> {
        let args = std::iter::once("inference-core").chain(line.split_whitespace());
        Config::parse(args.map(OsString::from))
    }

    fn serve(line: &str) -> Config {
        match parse(line) {
            Ok(Command::Serve(config)) => config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn model_and_port_are_optional() {
        let table = [
            ("", None, 3000),
            ("--demo", None, 3000),
            ("--demo 4000", None, 4000),
            ("4000", None, 4000),
            ("./4000", Some("./4000"), 3000),
            ("4000 --demo", None, 4000),
            ("model.gguf", Some("model.gguf"), 3000),
            ("model.gguf 0", Some("model.gguf"), 0),
        ];
        for (line, model, port) in table {
            let config = serve(line);
            assert_eq!((config.model, config.port), (model.map(PathBuf::from), port), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_in_one_line() {
        let table = [
            ("model.gguf 70000", "70000"),
            ("model.gguf -1", "-1"),
            ("model.gguf 80x", "80x"),
            ("model.gguf +80", "+80"),
            ("model.gguf 1 2", "2"),
            ("--demo model.gguf 1", "model.gguf"),
            ("--no-such-flag", "--no-such-flag"),
            ("--ctx-size 0", "0"),
            ("--ctx-size", "--ctx-size"),
            ("--ctx-size many", "many"),
            ("--parallel 65", "65"),
            ("--threads 0", "0"),
        ];
        for (line, value) in table {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(value), "{line}: {error}");
            assert!(!error.contains('\n'), "{line}: {error}");
            assert!(error.ends_with("; see --help"), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_the_demo_a_toy_and_every_exit_code() {
        let Ok(Command::Print(Printable::Help(help))) = parse("--help") else { panic!() };
        for word in ["a toy", "64", "65", "66", "69", "70", "71", "77", "130"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
