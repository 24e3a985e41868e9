//! The signals that ask the daemon to leave.
//!
//! Ctrl-C, SIGTERM and a terminal that closes (SIGHUP) mean the same. The first one asks to drain,
//! the second to be gone; what that takes is the caller's business, so this file only reports them,
//! one after another.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Reports each request to leave. From its creation on the process no longer dies of them.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Not where the process was told to survive its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Starts to listen. Must be called inside the runtime.
    ///
    /// # Errors
    /// The operating system's, where it cannot install the handler.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match survives_its_terminal() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Waits for the next signal and says its name. Two signals of one kind that come before they
    /// are waited for count as one.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            Some(()) = maybe(self.hangup.as_mut()) => "SIGHUP",
        }
    }
}

async fn maybe(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => None,
    }
}

/// Whether whoever started this process had it ignore SIGHUP, as `nohup` does: a handler would undo
/// that. Where the system does not say so (outside Linux) it is taken for so, and SIGHUP does what it
/// did before.
pub fn survives_its_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status).unwrap_or(true)
}

/// What a `/proc/PID/status` says about SIGHUP, the first signal.
fn ignores_hangup(status: &str) -> Option<bool> {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(ignored.trim(), 16).ok()? & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_hangup_is_ignored_is_the_first_bit_of_the_mask() {
        assert_eq!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"), Some(true));
        assert_eq!(ignores_hangup("SigIgn:\t0000000000001000\n"), Some(false));
        assert_eq!(ignores_hangup("Name:\tx\n"), None);
    }
}
