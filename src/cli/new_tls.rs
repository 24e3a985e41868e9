//! The command `tls new`, which makes certificates.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use crate::domain::AllowedHost;

use super::error::UsageError;
use super::{Command, Printable};

/// How to make certificates.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "inference-core tls new",
    bin_name = "inference-core tls new",
    about = "Makes an authority and a certificate for TLS in a home network.",
    after_help = "\
The folder gets four files: ca.pem, the authority's certificate, for clients;
ca-key.pem, its key, which nobody else may have; cert.pem and key.pem for the
server. If the folder has an authority already, it signs the new certificate.",
    max_term_width = 80
)]
pub struct NewTls {
    /// The folder for the files; it is created if necessary
    #[arg(long, value_name = "FOLDER", default_value = "tls")]
    pub dir: PathBuf,

    /// Host names and addresses by which clients reach the server [default: those of this machine];
    /// localhost, 127.0.0.1 and ::1 are always included
    #[arg(value_name = "NAME", value_parser = certificate_name)]
    pub names: Vec<String>,
}

/// Parses the arguments after `tls`.
pub(super) fn parse_tls(arguments: &[OsString]) -> Result<Command, UsageError> {
    let is_help = |word: &OsString| word == "--help" || word == "-h";
    let first = arguments.first();
    if first.is_none_or(|word| word != "new" && !is_help(word)) {
        return Err(UsageError(
            "tls needs a command: `inference-core tls new` makes a certificate; for a model file \
             of that name write ./tls"
                .to_owned(),
        ));
    }
    // The first word is the name of the command.
    let with_name = first.filter(|word| is_help(word));
    match NewTls::try_parse_from(with_name.into_iter().chain(arguments)) {
        Ok(options) => Ok(Command::NewTls(options)),
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            Ok(Command::Print(Printable::Help(error.render().to_string())))
        }
        Err(error) => Err(error.into()),
    }
}

/// A name as certificates contain it: without the brackets of IPv6 and without a dot at its end.
fn certificate_name(text: &str) -> Result<String, String> {
    text.parse::<AllowedHost>().map_err(|error| error.to_string())?;
    Ok(text.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase())
}
