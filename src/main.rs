//! The daemon: read what was typed, serve, and turn the outcome into an exit code.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use inference_core::cli::{Command, Printable};
use inference_core::daemon;

/// `EX_USAGE` of sysexits.h, as are the codes of `daemon::DaemonError`.
const USAGE: u8 = 64;

/// `EX_IOERR`.
const OUTPUT: u8 = 74;

fn main() -> ExitCode {
    match Command::parse(std::env::args_os()) {
        Ok(Command::Print(what)) => print(&what),
        Ok(Command::Serve(config)) => match daemon::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, error.exit_code()),
        },
        Ok(Command::Plan(config, options)) => match daemon::plan(&config, &options) {
            Ok(text) => print(&Printable::Help(text)),
            Err(error) => complain(&error, error.exit_code()),
        },
        Err(error) => complain(&error, USAGE),
    }
}

fn print(what: &Printable) -> ExitCode {
    let text = match what {
        Printable::Help(text) => text.clone(),
        Printable::Version => daemon::version(),
    };
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked has stopped reading, as `| head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            let reason = format!("the output cannot be written: {error}; write it elsewhere");
            complain(&reason, OUTPUT)
        }
    }
}

fn complain(error: &dyn Display, code: u8) -> ExitCode {
    // With stderr closed there is nobody to tell; the code still says it.
    let _ = writeln!(io::stderr(), "inference-core: {error}");
    ExitCode::from(code)
}
