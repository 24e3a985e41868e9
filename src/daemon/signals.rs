//! The signals that ask the daemon to shut down.
//!
//! SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal closes) mean the same. The caller takes the
//! first one as a request to drain, and the second one as a request to stop at once. This file only
//! reports them, one after another.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Keeps the signals that ask to shut down from ending this process: a runner, which ends with its
/// daemon. A service manager sends them to both. Must be called inside a tokio runtime.
///
/// # Errors
/// The operating system's error, if it cannot install a handler.
pub(super) fn ignore_signals() -> io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // A handler stays for the life of the process.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Reports each signal. Once it exists, these signals no longer kill the process.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started with SIGHUP ignored.
    hangup: Option<Signal>,
}

impl Signals {
    /// Installs the signal handlers. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The operating system's error, if it cannot install a handler.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match is_hangup_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Waits for the next signal and returns its name. Signals of one kind that arrive between two
    /// calls count as one.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            Some(()) = receive(self.hangup.as_mut()) => "SIGHUP",
        }
    }
}

/// Waits for `signal`; returns `None` at once if there is no handler.
async fn receive(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => None,
    }
}

/// Whether this process was started with SIGHUP ignored, as by `nohup`. A handler would undo that.
/// Only Linux reports it. Elsewhere this is true, so that SIGHUP keeps its default action.
pub fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_hangup_ignored(&status).unwrap_or(true)
}

/// Whether SIGHUP, signal 1, is ignored according to the text of `/proc/PID/status`; `None` if the
/// text does not say.
fn parse_hangup_ignored(status: &str) -> Option<bool> {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(ignored.trim(), 16).ok()? & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sighup_is_the_first_bit_of_the_ignored_signals() {
        assert_eq!(parse_hangup_ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), Some(true));
        assert_eq!(parse_hangup_ignored("SigIgn:\t0000000000001000\n"), Some(false));
        assert_eq!(parse_hangup_ignored("Name:\tx\n"), None);
    }
}
