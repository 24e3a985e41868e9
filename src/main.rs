//! The command `inference-core`: parses the arguments, serves, and exits with the right code.

#[cfg(feature = "echo")]
compile_error!("the feature `echo` is for conformance tests only: build without it");

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use inference_core::cli::{Command, Printable};
use inference_core::daemon;

fn main() -> ExitCode {
    let code = match Command::parse(std::env::args_os()) {
        Ok(Command::Print(printable)) => print(&printable),
        Ok(Command::Serve(config)) => match daemon::run(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
        },
        Ok(Command::Runner) => match daemon::run_runner() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
        },
        Ok(Command::Devices) => match daemon::print_devices() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
        },
        Ok(Command::NewTls(options)) => match daemon::new_tls(&options) {
            Ok(text) => print(&Printable::Help(text)),
            Err(error) => fail(&error, error.exit_code()),
        },
        Ok(Command::NewKey(options)) => match daemon::new_key(&options) {
            Ok(new) => {
                new.notes.iter().for_each(|note| daemon::print_error(note));
                print(&Printable::Help(new.output))
            }
            Err(error) => fail(&error, error.exit_code()),
        },
        Ok(Command::Plan(config, options)) => match daemon::plan(&config, &options) {
            Ok(text) => print(&Printable::Help(text)),
            Err(error) => fail(&error, error.exit_code()),
        },
        Err(error) => fail(&error, EX_USAGE),
    };
    daemon::flush_output();
    code
}

fn print(printable: &Printable) -> ExitCode {
    let text = match printable {
        Printable::Help(text) => text.clone(),
        Printable::Version => daemon::version(),
    };
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe, as `| head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            fail(&format!("the output cannot be written: {error}; write it elsewhere"), EX_IOERR)
        }
    }
}

fn fail(error: &dyn Display, code: u8) -> ExitCode {
    // If standard error is closed or nobody reads it, the exit code alone reports the error.
    daemon::print_error(error);
    ExitCode::from(code)
}

/// Exit code of sysexits.h for wrong arguments. `DaemonError::exit_code` has the other ones.
const EX_USAGE: u8 = 64;

/// Exit code of sysexits.h for output that cannot be written.
const EX_IOERR: u8 = 74;
