//! The signals that ask the daemon to leave.
//!
//! Ctrl-C and SIGTERM mean the same. The first one asks to drain, the second to be gone; what
//! that takes is the caller's business, so this file only reports them, one after another.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Reports each request to leave. From its creation on the process no longer dies of them.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to listen. Must be called inside the runtime.
    ///
    /// # Errors
    /// The operating system's, where it cannot install the handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and says its name. Two signals of one kind that come before they
    /// are waited for count as one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
