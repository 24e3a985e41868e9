//! What was typed, and what it means.
//!
//! [`Config::parse`] turns arguments and environment variables into a [`Config`] whose values lie
//! in their ranges. What depends on the model, such as the longest context, is left to
//! [`crate::daemon`], which knows it.

mod args;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};
use thiserror::Error;

use crate::domain::Speculation;
use crate::server::Origin;

use self::args::Args;
use self::words::{joined, misplaced, one_line};

pub use self::args::{GpuLayers, KvType};

/// The port where none is given.
pub const DEFAULT_PORT: u16 = 3000;

/// What the daemon was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve a model.
    Serve(Box<Config>),
    /// Show what would go where, and leave.
    Plan(Box<Config>, PlanOptions),
    /// Print a text and leave: help or version.
    Print(Printable),
}

/// How to show a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// Free bytes of cards to plan for; where it is empty, those of this machine.
    pub vram: Vec<u64>,
    /// As JSON instead of a table.
    pub json: bool,
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
    /// Bytes of memory for finished texts beside the KV cache; `None` leaves it to the model and
    /// the machine.
    pub cache_ram: Option<u64>,
    /// Threads that compute.
    pub threads: u32,
    /// Most tokens of one step.
    pub ubatch: u32,
    /// Layers that shall lie on graphics cards.
    pub gpu_layers: GpuLayers,
    /// How the KV cache stores its numbers.
    pub kv_type: KvType,
    /// Bytes of each card that stay free; `None` is 500 MiB.
    pub vram_reserve: Option<u64>,
    /// Whether flash attention computes; `None` leaves it to the model.
    pub flash_attention: Option<bool>,
    /// Whether tokens are guessed ahead where a request does not say.
    pub speculative: Speculation,
    /// The model that guesses, besides the text itself.
    pub draft: Option<PathBuf>,
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
    /// Time between two `metrics` frames, and between two looks at the graphics cards.
    pub metrics_interval: Duration,
    /// The cards that may be used, as CUDA is told; `None` is all.
    pub visible_cards: Option<String>,
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
        let command = Args::command().mut_args(|arg| arg.hide_env(true));
        let matches = command.try_get_matches_from(joined(args));
        let typed = match matches.and_then(|mut matches| Args::from_arg_matches_mut(&mut matches)) {
            Ok(typed) => typed,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Ok(Command::Print(Printable::Help(error.render().to_string())));
            }
            Err(error) => return Err(UsageError(one_line(&error))),
        };
        if typed.version {
            return Ok(Command::Print(Printable::Version));
        }
        // A file of such a name is ./plan.
        if typed.positional.first().is_some_and(|word| word == "plan") {
            if let Some(number) = typed.positional[1..].iter().find(|word| port(word).is_ok()) {
                return Err(UsageError(format!(
                    "a plan has no use for a port, and {0} is one; a file of that name is ./{0}",
                    number.display()
                )));
            }
            let (model, _) = model_and_port(&typed.positional[1..], typed.demo)?;
            let options = PlanOptions { vram: typed.cards(), json: typed.json };
            return Ok(Command::Plan(Box::new(typed.into_config(model, 0)), options));
        }
        if let Some(words) = misplaced(&typed.positional) {
            return Err(UsageError(words));
        }
        if !typed.vram.is_empty() || typed.json {
            let named = typed.positional.first().filter(|word| port(word).is_err());
            let model = named.map_or_else(|| "--demo".into(), |model| model.to_string_lossy());
            return Err(UsageError(format!(
                "--vram and --json belong to a plan: `inference-core plan {model}`"
            )));
        }
        let (model, port) = model_and_port(&typed.positional, typed.demo)?;
        Ok(Command::Serve(Box::new(typed.into_config(model, port))))
    }
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
        (false, [lonely]) if is_number(lonely) => Ok((None, port(lonely)?)),
        (false, [model]) => Ok((Some(model.into()), DEFAULT_PORT)),
        (false, [model, port_arg]) => Ok((Some(model.into()), port(port_arg)?)),
        (false, [_, _, extra, ..]) => Err(UsageError(format!(
            "unexpected argument {}: a model and a port are all that is needed",
            extra.display()
        ))),
    }
}

fn is_number(typed: &OsString) -> bool {
    typed
        .to_str()
        .is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn port(typed: &OsString) -> Result<u16, UsageError> {
    let digits = typed.to_str().filter(|_| is_number(typed));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
        UsageError(format!(
            "{} is not a port: it must be a number from 0 to 65535",
            typed.display()
        ))
    })
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
            Ok(Command::Serve(config)) => *config,
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
            ("--gpu-layers -1", "use all for every layer"),
            ("--gpu-layers=-1", "use all for every layer"),
            ("--ctx-size -1", "it must be 1 or more"),
            ("--parallel 0", "it must be from 1 to 64"),
            ("--max-queue -1", "it must be from 0 to 100000"),
            ("-t -1", "-1"),
            ("--ctx-size 8k", "a whole number such as 8192"),
            ("--kv-size 32K", "a whole number such as 32768"),
            ("--ctx-size many", "a whole number such as 8192"),
            ("--parallel two", "a whole number"),
            ("--ctx-siz 8192", "did you mean --ctx-size?"),
            ("--kv-type q8", "did you mean q8_0?"),
            ("--parallel=", "a whole number"),
            ("--port 4101", "the port is the last argument"),
            ("model.gguf -p 4101", "the port is the last argument"),
            ("4101 model.gguf", "`inference-core model.gguf 4101`"),
            ("paln model.gguf", "`inference-core plan model.gguf`"),
            ("paln model.gguf --vram 3GB", "`inference-core plan model.gguf`"),
            ("model.gguf plan", "`inference-core plan model.gguf`"),
            ("model.gguf --vram 3GB", "`inference-core plan model.gguf`"),
            ("--demo --json", "`inference-core plan --demo`"),
            ("llama 80x", "80x is not a port"),
            ("99999", "99999 is not a port"),
            ("plan 3000", "./3000"),
            ("plan --vram 3,5GB", "write 3.5GB"),
            ("plan --vram 3GB, 8GB", "3GB,8GB"),
            ("plan --vram -3GB", "-3GB"),
            ("plan --vram 3000000GB", "more than there is"),
            ("plan --vram much", "500MB"),
            ("plan --vram 3 GB", "such as 3GB"),
        ];
        for (line, value) in table {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(value), "{line}: {error}");
            assert!(!error.contains('\n'), "{line}: {error}");
            assert!(error.ends_with("; see --help"), "{line}: {error}");
        }
    }

    #[test]
    fn sizes_of_several_cards_are_joined_by_commas() {
        const GB: u64 = 1 << 30;
        let vram = |text: &str| {
            let args = ["inference-core", "plan", "--vram", text].map(OsString::from);
            match Config::parse(args) {
                Ok(Command::Plan(_, options)) => options.vram,
                other => panic!("{text}: {other:?}"),
            }
        };
        assert_eq!(vram("3GB"), [3 * GB]);
        assert_eq!(vram("3 GB"), [3 * GB]);
        assert_eq!(vram("3.5gb"), [7 * GB / 2]);
        assert_eq!(vram("3GB,8GB"), [3 * GB, 8 * GB]);
        assert_eq!(vram("3GB, 8 GB"), [3 * GB, 8 * GB]);
        assert_eq!(vram("0,8GB,1GB"), [0, 8 * GB, GB], "three are no decimal comma");
        let line = "plan --vram 3GB --vram 8GB";
        let Ok(Command::Plan(_, options)) = parse(line) else { panic!("{line}") };
        assert_eq!(options.vram, [3 * GB, 8 * GB]);
    }

    #[test]
    fn what_was_broken_into_lines_by_hand_fits_eighty_columns() {
        let Ok(Command::Print(Printable::Help(help))) = parse("--help") else { panic!() };
        let by_hand = help.split("Usage:").next().unwrap_or_default();
        for line in by_hand.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn help_names_the_demo_a_toy_and_every_exit_code() {
        let Ok(Command::Print(Printable::Help(help))) = parse("--help") else { panic!() };
        for word in ["a toy", "64", "65", "66", "69", "70", "71", "74", "77", "130"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
