//! Turns arguments and environment variables into a [`Command`].
//!
//! clap reads the options into `Args`, whose value parsers check each value; the arguments without
//! a name are sorted out here; the result is a [`Config`] in which every value is in its range.
//! A mistake becomes a [`UsageError`] of one line. What depends on the model is left to
//! [`crate::daemon`], which knows it.

mod access;
mod args;
mod byte_size;
mod choice;
mod config;
mod environment;
mod error;
mod given_arguments;
mod help;
mod key;
mod listen_address;
mod network;
mod network_args;
mod new_tls;
mod number;
mod positional;
mod what_if;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};

use self::args::Args;
use self::key::KeyCommand;
use self::positional::{
    check_order, is_plan, model_and_port, model_to_plan, plan_options_without_plan,
};

pub use self::config::{AccessConfig, Config, GpuLayers, KvTypeChoice, NewKeyOptions, PlanOptions};
pub use self::error::UsageError;
pub use self::given_arguments::GivenArguments;
pub use self::listen_address::ListenAddress;
pub use self::network::NetworkConfig;
pub use self::new_tls::NewTls;
pub use self::positional::DEFAULT_PORT;
pub use self::what_if::in_parameters;

/// What the daemon was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve a model.
    Serve(Box<Config>),
    /// Print how a model would use the machine's memory, and exit.
    Plan(Box<Config>, PlanOptions),
    /// Make certificates for TLS, and exit.
    NewTls(NewTls),
    /// Make an API key, and exit.
    NewKey(NewKeyOptions),
    /// Hold the model, as a child process of the daemon.
    Runner,
    /// Write the machine's GPUs, as a child process of the daemon.
    Devices,
    /// Print a text and exit.
    Print(Printable),
}

/// A text to print instead of serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Printable {
    /// The help text.
    Help(String),
    /// The version. The caller writes the text, since it names parts that `cli` does not know.
    Version,
}

impl Command {
    /// Parses the arguments, the program's name first, and the environment.
    ///
    /// # Errors
    /// [`UsageError`] naming the value that cannot be used.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        match &arguments[..] {
            [_, command] if command == RUNNER => return Ok(Self::Runner),
            [_, command, what] if command == RUNNER && what == DEVICES => return Ok(Self::Devices),
            [_, command, rest @ ..] if command == TLS => return new_tls::parse_tls(rest),
            [_, command, words @ ..] if command == KEY => {
                return Ok(match key::parse(words)? {
                    KeyCommand::New(options) => Self::NewKey(options),
                    KeyCommand::Help(text) => Self::Print(Printable::Help(text)),
                });
            }
            _ => {}
        }
        let args = match parse_args(arguments.clone(), false) {
            Ok(args) => args,
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                return Ok(Self::Print(Printable::Help(error.render().to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        if args.version {
            return Ok(Self::Print(Printable::Version));
        }
        if is_plan(&args.positional) {
            let model = model_to_plan(&args.positional[1..], args.demo)?;
            let options = args.plan_options();
            return Ok(Self::Plan(Box::new(args.into_config(model, 0)), options));
        }
        if args.positional.first().is_some_and(|word| word == KEY) {
            return Err(UsageError(
                "key must come first: `inference-core key new NAME`".to_owned(),
            ));
        }
        check_order(&args.positional)?;
        if args.has_plan_options() {
            return Err(plan_options_without_plan(&args.positional));
        }
        let (model, port) = model_and_port(&args.positional, args.demo)?;
        let config =
            Config { arguments: GivenArguments(arguments), ..args.into_config(model, port) };
        Ok(Self::Serve(Box::new(config)))
    }
}

/// The command that makes an API key.
const KEY: &str = "key";

/// The command that the daemon gives to its child process. The help does not mention it.
const RUNNER: &str = "runner";

/// The argument of [`RUNNER`] for a child process that only looks for GPUs.
const DEVICES: &str = "devices";

/// The command that makes certificates.
const TLS: &str = "tls";

/// Has clap parse the arguments and the environment. If the `last_counts`, an option may be there
/// several times.
fn parse_args(arguments: Vec<OsString>, last_counts: bool) -> Result<Args, clap::Error> {
    let command = Args::command().args_override_self(last_counts).mut_args(|arg| {
        let is_option_with_value = arg.get_action().takes_values() && !arg.is_positional();
        // The help explains the environment variables once, at its end. After an option, a negative
        // number is a wrong value; elsewhere it is an unknown option.
        arg.hide_env(true).allow_negative_numbers(is_option_with_value)
    });
    let mut matches = command.try_get_matches_from(arguments)?;
    let is_visible = matches.value_source("api_key") == Some(ValueSource::CommandLine);
    let mut args = Args::from_arg_matches_mut(&mut matches)?;
    args.access.is_api_key_visible = is_visible;
    Ok(args)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};
    use std::path::PathBuf;

    use super::*;
    use crate::domain::{ApiKey, Right};

    fn parse(line: &str) -> Result<Command, UsageError> {
        let args = std::iter::once("inference-core").chain(line.split_whitespace());
        Command::parse(args.map(OsString::from))
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
    fn mistake_is_reported_in_one_line_with_the_wrong_value() {
        let table = [
            ("model.gguf 70000", "70000"),
            ("model.gguf -1", "unexpected argument '-1' found"),
            ("model.gguf 80x", "80x"),
            ("model.gguf +80", "+80"),
            ("model.gguf 1 2", "2"),
            ("--demo model.gguf 1", "model.gguf"),
            ("--demo model.gguf", "model.gguf cannot be served too"),
            ("-1", "unexpected argument '-1'"),
            ("-4 3800", "unexpected argument '-4'"),
            ("plan -1.5", "unexpected argument '-1'"),
            ("--no-such-flag", "--no-such-flag"),
            ("--ctx-size 99999999999", "too large: the maximum is 4294967295"),
            ("plan --vram --json", "a size such as 500MB is missing"),
            ("--cache-ram -h", "a size such as 500MB is missing"),
            ("--gpu-layers 99999999999", "too large: the maximum is 4294967295"),
            ("--version -1", "unexpected argument '-1' found"),
            ("--ctx-size 0", "0"),
            ("--ctx-size", "--ctx-size"),
            ("--ctx-size many", "many"),
            ("--parallel 65", "65"),
            ("--threads 0", "0"),
            ("--gpu-layers -1", "use all for every layer"),
            ("--gpu-layers=-1", "use all for every layer"),
            ("--ctx-size -1", "a whole number of 1 or more"),
            ("--parallel 0", "a whole number from 1 to 64"),
            ("--max-queue -1", "a whole number from 0 to 100000"),
            ("-t -1", "-1"),
            ("--ctx-size 8k", "a whole number of 1 or more, such as 8192"),
            ("--kv-size 32K", "such as 32768"),
            ("--ctx-size many", "such as 8192"),
            ("--parallel two", "a whole number from 1 to 64"),
            ("--ctx-siz 8192", "did you mean --ctx-size?"),
            ("--kv-type q8", "did you mean q8_0?"),
            ("--parallel=", "a whole number from 1 to 64"),
            ("--port 4101", "the port is the last argument"),
            ("model.gguf -p 4101", "the port is the last argument"),
            ("-m model.gguf", "inference-core model.gguf"),
            ("--model model.gguf", "inference-core model.gguf"),
            ("model.gguf -c 8192", "did you mean --ctx-size?"),
            ("model.gguf -ngl 99", "--gpu-layers"),
            ("model.gguf --n-gpu-layers 99", "--gpu-layers"),
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
            ("plan --vram 3000000GB", "too large: the maximum is 16TB"),
            ("plan --vram much", "500MB"),
            ("plan --vram 3 GB", "such as 3GB"),
            ("--host gpu-box", "an IP address of this machine"),
            ("--host 0.0.0.0:3000", "the port is the last argument"),
            ("--host 127.0.0.1,*", "write 0.0.0.0"),
            ("--tls-cert cert.pem", "--tls-key"),
            ("--tls-key key.pem", "--tls-cert"),
            ("--tls-client-ca ca.pem", "--tls-cert"),
            ("--allow-host *", "any web page"),
            ("--allow-host gpu-box:3000", "without a port"),
            ("--trusted-proxy nginx", "an address or a network"),
            ("--trusted-proxy 10.0.0.1/8", "10.0.0.0/8"),
            ("tls", "`inference-core tls new`"),
            ("tls old", "`inference-core tls new`"),
            ("tls new a:80", "without a port"),
            ("tls new --fnord", "--fnord"),
            ("--limit-requests 0", "a whole number from 1"),
            ("--limit-tokens-per-minute many", "a whole number from 1"),
            ("--limit-bytes 0", "it must not be 0"),
            ("--limit-bytes 16", "such as 16GB"),
            ("key", "`inference-core key new NAME"),
            ("key old web", "`inference-core key new NAME"),
            ("key new", "NAME"),
            ("key new web --right infer", "did you mean --rights?"),
            ("key new web --rights read", "infer, metrics or admin"),
            ("--demo key new web", "key must come first"),
        ];
        for (line, value) in table {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(value), "{line}: {error}");
            assert!(!error.contains('\n'), "{line}: {error}");
            assert!(error.ends_with("; see --help"), "{line}: {error}");
        }
    }

    #[test]
    fn addresses_to_listen_on_are_repeated_or_separated_by_commas() {
        let hosts = |line: &str| {
            let hosts = serve(line).network.hosts;
            hosts.iter().map(ListenAddress::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hosts(""), "localhost");
        assert_eq!(hosts("--host 127.0.0.1"), "127.0.0.1");
        assert_eq!(hosts("--host [::1],unix:/a --host 0.0.0.0"), "::1 unix:/a 0.0.0.0");
    }

    #[test]
    fn tls_new_has_a_folder_and_names() {
        let parse = |line: &str| match parse(line) {
            Ok(Command::NewTls(NewTls { dir, names })) => (dir, names.join(" ")),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(parse("tls new"), ("tls".into(), String::new()));
        let (dir, names) = parse("tls new --dir /etc/ic GPU-box. [FD00::5] *.example.org 10.0.0.1");
        assert_eq!(dir, PathBuf::from("/etc/ic"));
        assert_eq!(names, "gpu-box fd00::5 *.example.org 10.0.0.1");
    }

    #[test]
    fn api_key_is_read_and_not_shown() {
        let config = serve("--demo --api-key 0123456789abcdef --limit-requests 4");
        assert!(config.has_keys() && config.access.is_api_key_visible);
        assert_eq!(config.access.api_key, Some(ApiKey::new("0123456789abcdef")));
        assert_eq!(config.access.limits.requests, NonZeroU32::new(4));
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
        assert!(serve("--demo --api-key-file keys.toml").has_keys());
        assert!(!serve("--demo").has_keys());
    }

    #[test]
    fn new_key_has_a_name_rights_and_limits() {
        let line = "key new web --file keys.toml --rights infer,admin --limit-bytes 1MB";
        let Ok(Command::NewKey(options)) = parse(line) else { panic!("{line}") };
        assert_eq!((&options.name[..], options.file), ("web", Some(PathBuf::from("keys.toml"))));
        assert_eq!(options.rights, [Right::Infer, Right::Admin].into_iter().collect());
        assert_eq!(options.limits.bytes, NonZeroU64::new(1 << 20));
        let Ok(Command::NewKey(options)) = parse("key new web") else { panic!() };
        assert_eq!(options.rights, [Right::Infer, Right::Metrics].into_iter().collect());
    }

    #[test]
    fn number_of_threads_adapts_only_if_the_user_gave_none() {
        assert!(serve("model.gguf").has_adaptive_threads);
        let config = serve("model.gguf --threads 3");
        assert_eq!((config.threads, config.has_adaptive_threads), (3, false));
    }

    #[test]
    fn vram_sizes_of_several_gpus_are_separated_by_commas() {
        const GB: u64 = 1 << 30;
        let vram = |text: &str| {
            let args = ["inference-core", "plan", "--vram", text].map(OsString::from);
            match Command::parse(args) {
                Ok(Command::Plan(_, options)) => options.vram,
                other => panic!("{text}: {other:?}"),
            }
        };
        assert_eq!(vram("3GB"), [3 * GB]);
        assert_eq!(vram("3 GB"), [3 * GB]);
        assert_eq!(vram("3.5gb"), [7 * GB / 2]);
        assert_eq!(vram("3GB,8GB"), [3 * GB, 8 * GB]);
        assert_eq!(vram("3GB, 8 GB"), [3 * GB, 8 * GB]);
        assert_eq!(vram("0,8GB,1GB"), [0, 8 * GB, GB], "three sizes cannot be a decimal comma");
        let line = "plan --vram 3GB --vram 8GB";
        let Ok(Command::Plan(_, options)) = parse(line) else { panic!("{line}") };
        assert_eq!(options.vram, [3 * GB, 8 * GB]);
    }

    #[test]
    fn help_around_the_options_fits_80_columns() {
        let Ok(Command::Print(Printable::Help(help))) = parse("--help") else { panic!() };
        let (before, _) = help.split_once("Usage:").unwrap();
        let (_, after) = help.split_once("Every option of the server").unwrap();
        for line in before.lines().chain(after.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn help_calls_the_demo_a_toy_and_lists_every_exit_code() {
        let Ok(Command::Print(Printable::Help(help))) = parse("--help") else { panic!() };
        for word in ["a toy", "64", "65", "66", "69", "70", "71", "74", "77", "130"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
