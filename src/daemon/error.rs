//! Why the daemon ended, for the person at the terminal and for the exit code.

use thiserror::Error;

use crate::llama::LoadError;

/// Why the daemon ended other than by being asked to.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The log filter cannot be read.
    #[error("--log {filter}: {reason}")]
    LogFilter {
        /// What was given.
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
    /// The port is taken.
    #[error(
        "port {port} is in use: stop the program that listens there, or give another port \
         (inference-core MODEL PORT)"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The port is not for this user.
    #[error(
        "port {port} needs rights that this user does not have: use a port from 1024 on, \
         such as 3000"
    )]
    PortForbidden {
        /// The port.
        port: u16,
    },
    /// The operating system refused a socket, a thread, a signal handler or the like; its words
    /// say why, and nobody can do more than read them.
    #[error("the operating system refused what the server needs: {0:#}")]
    System(#[from] anyhow::Error),
    /// The engine thread ended by itself.
    #[error("the engine thread has ended unexpectedly; the log above says why")]
    EngineLost,
    /// The engine thread did not stop.
    #[error("the engine did not stop in time and was left behind")]
    EngineHangs,
    /// A second signal came while leaving.
    #[error("left at once on the second signal")]
    SecondSignal,
}

impl DaemonError {
    /// The process's exit code, after sysexits.h where that has one.
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
