//! Why the daemon stopped: the message for the user and the exit code.
//!
//! Each message is one line that says what to do. The exit codes are listed in `--help`.

use thiserror::Error;

use crate::llama::LoadError;

/// Why the daemon stopped, other than by a first signal.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The log filter is invalid.
    #[error("--log {filter}: {reason}")]
    LogFilter {
        /// The value of `--log`.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The draft model cannot be used.
    #[error("--draft: {0}")]
    Draft(#[source] LoadError),
    /// Another program listens on the port.
    #[error(
        "port {port} is in use: stop the program that listens there, or use another port \
         (inference-core MODEL 3001, make run PORT=3001)"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The user may not listen on the port.
    #[error(
        "port {port} needs privileges that this user does not have: use a port from 1024 to \
         65535, such as 3000"
    )]
    PortForbidden {
        /// The port.
        port: u16,
    },
    /// The operating system refused a socket, a thread, a signal handler or another resource. The
    /// error contains its message.
    #[error("the operating system refused a resource that the server needs: {0:#}")]
    System(#[from] anyhow::Error),
    /// The engine thread stopped without being asked to.
    #[error("the engine thread stopped unexpectedly; the log above says why")]
    EngineLost,
    /// The engine thread did not stop when asked to.
    #[error("the engine did not stop in time; exiting without waiting for it")]
    EngineHangs,
    /// A second signal came during shutdown.
    #[error("stopped at once by a second signal")]
    SecondSignal,
}

impl DaemonError {
    /// The exit code of the process, from sysexits.h if it has one for the case.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(error) | Self::Draft(error) => match error {
                LoadError::Options(_) => 64,
                LoadError::Unusable { .. } => 65,
                LoadError::Unreadable { .. } => 66,
                LoadError::Interrupted => 70,
                LoadError::Resources { .. } => 71,
            },
            Self::LogFilter { .. } => 64,
            Self::PortInUse { .. } => 69,
            Self::EngineLost | Self::EngineHangs => 70,
            Self::System(_) => 71,
            Self::PortForbidden { .. } => 77,
            Self::SecondSignal => 130,
        }
    }
}
