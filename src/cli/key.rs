//! The command `key new NAME`, which makes an API key.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::domain::Right;

use super::access::LimitArgs;
use super::config::NewKeyOptions;
use super::error::UsageError;

/// Makes a random API key and shows it once. Only its hash is stored.
#[derive(Debug, Parser)]
#[command(
    name = "inference-core key new",
    bin_name = "inference-core key new",
    disable_version_flag = true,
    max_term_width = 100,
    after_help = AFTER_OPTIONS
)]
struct KeyArgs {
    /// Name of the key, for the log and the metrics: letters, digits, hyphens and underscores
    #[arg(value_name = "NAME")]
    name: String,

    /// Key file to add the key to; it is made if there is none. Without this option the table for
    /// the file is printed
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// What the owner of the key may do: infer, metrics, admin
    #[arg(
        long,
        value_name = "RIGHTS",
        value_delimiter = ',',
        default_value = "infer,metrics",
        allow_hyphen_values = true
    )]
    rights: Vec<Right>,

    #[command(flatten)]
    limits: LimitArgs,
}

/// What the words after `key` ask for.
pub(super) enum KeyCommand {
    /// Make a key.
    New(NewKeyOptions),
    /// Print this help text.
    Help(String),
}

/// Parses the words after `key`.
///
/// # Errors
/// [`UsageError`] naming the word that cannot be used.
pub(super) fn parse(words: &[OsString]) -> Result<KeyCommand, UsageError> {
    let words = match words {
        [new, words @ ..] if new == "new" => words,
        [help, ..] if help == "--help" || help == "-h" => words,
        _ => return Err(UsageError(MISSING_NEW.to_owned())),
    };
    // The environment has the limits of the server, not those of a new key.
    let command = KeyArgs::command().mut_args(|arg| arg.env(None::<&str>));
    let words = std::iter::once(OsString::from("key")).chain(words.iter().cloned());
    let matches = command.try_get_matches_from(words);
    match matches.and_then(|mut matches| KeyArgs::from_arg_matches_mut(&mut matches)) {
        Ok(KeyArgs { name, file, rights, limits }) => Ok(KeyCommand::New(NewKeyOptions {
            name,
            file,
            rights: rights.into_iter().collect(),
            limits: limits.into(),
        })),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok(KeyCommand::Help(error.render().to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The error for other words after `key`.
const MISSING_NEW: &str = "key makes an API key: `inference-core key new NAME --file keys.toml`";

/// What follows the options in the help.
const AFTER_OPTIONS: &str = "\
The server uses the keys of --api-key-file FILE. Delete the table of a key and
send SIGHUP to the server to revoke the key.";
