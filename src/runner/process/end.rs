//! How a process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEnd {
    /// What ended it.
    pub cause: EndCause,
    /// The line that says why, if it wrote one.
    pub final_line: Option<String>,
    /// The last warnings and errors of llama.cpp, which the log filter hides by default.
    pub warnings: Vec<String>,
}

impl ProcessEnd {
    /// An end of which only this is known.
    pub fn of(cause: EndCause) -> Self {
        Self { cause, final_line: None, warnings: Vec::new() }
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.final_line {
            Some(words) => write!(f, "{}: {words}", self.cause),
            None => self.cause.fmt(f),
        }
    }
}

/// What ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// The signal with this number.
    Signal(i32),
    /// The process itself, with this exit code.
    Exited(i32),
    /// Nothing: it did not end when it was killed, as in a driver call that cannot be interrupted.
    Unkillable,
    /// The system does not say.
    Unknown,
}

impl EndCause {
    /// Whether this signal ended the process.
    pub fn is_signal(self, signal: Signal) -> bool {
        self == Self::Signal(signal.as_raw())
    }
}

impl From<ExitStatus> for EndCause {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(number)) => Self::Signal(number),
            (None, None) => Self::Unknown,
        }
    }
}

/// The name of the signal (`SIGKILL`) or the exit code (`exit code 1`), as logs, pages and metrics
/// show them.
impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Signal(number) => {
                match NAMES.iter().find(|(signal, _)| signal.as_raw() == number) {
                    Some((_, name)) => f.write_str(name),
                    None => write!(f, "signal {number}"),
                }
            }
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Unkillable => f.write_str("unkillable"),
            Self::Unknown => f.write_str("unknown end"),
        }
    }
}

/// The signals that end processes.
const NAMES: [(Signal, &str); 14] = [
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::HUP, "SIGHUP"),
    (Signal::ILL, "SIGILL"),
    (Signal::INT, "SIGINT"),
    (Signal::KILL, "SIGKILL"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::SYS, "SIGSYS"),
    (Signal::TERM, "SIGTERM"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::XCPU, "SIGXCPU"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_is_the_name_of_a_signal_or_an_exit_code() {
        for (raw, name) in
            [(9, "SIGKILL"), (6, "SIGABRT"), (63, "signal 63"), (71 << 8, "exit code 71")]
        {
            assert_eq!(EndCause::from(ExitStatus::from_raw(raw)).to_string(), name);
        }
    }
}
