//! How a process ended, in words.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEnd {
    /// The name of the signal that killed it (`SIGKILL`), or its exit code (`exit code 1`).
    pub how: String,
    /// The line that says why, if it wrote one.
    pub final_line: Option<String>,
    /// The last warnings and errors of llama.cpp, which the log filter hides by default.
    pub warnings: Vec<String>,
}

impl ProcessEnd {
    /// An end of which only this is known.
    pub fn of(how: String) -> Self {
        Self { how, final_line: None, warnings: Vec::new() }
    }

    /// Whether the system killed the process, most likely because memory ran out.
    pub fn is_killed(&self) -> bool {
        self.how == "SIGKILL"
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.final_line {
            Some(words) => write!(f, "{}: {words}", self.how),
            None => f.write_str(&self.how),
        }
    }
}

/// The name of the signal or the exit code.
pub(super) fn describe(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("exit code {code}");
    }
    let number = status.signal().unwrap_or_default();
    let signal = NAMES.iter().find(|(signal, _)| signal.as_raw() == number);
    signal.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
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
            assert_eq!(describe(ExitStatus::from_raw(raw)), name);
        }
    }
}
