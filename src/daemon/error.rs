//! Why the daemon stopped: the message for the user and the exit code.
//!
//! Each message is one line that says what to do. The exit codes are listed in `--help`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use thiserror::Error;

use crate::domain::LoadFailure;
use crate::llama::LoadError;
use crate::models::SupervisorError;
use crate::runner::ProcessEnd;
use crate::server::{KeysError, NewKeyError, TlsError};

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
    /// The API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An API key cannot be made.
    #[error(transparent)]
    NewKey(#[from] NewKeyError),
    /// The model cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The draft model cannot be used.
    #[error("--draft: {0}")]
    Draft(#[source] LoadError),
    /// A runner did not load the model.
    #[error("{}", .0.message)]
    NotLoaded(LoadFailure),
    /// The runner ended while it loaded the model.
    #[error("{model} could not be loaded: the process that loads it ended with {end}{}", hint(.end))]
    EndedWhileLoading {
        /// The model's name.
        model: String,
        /// How the process ended.
        end: ProcessEnd,
    },
    /// Loading the model made no progress.
    #[error("{model} could not be loaded: there was no progress for {} s", .limit.as_secs())]
    LoadStalled {
        /// The model's name.
        model: String,
        /// How long there was no progress.
        limit: Duration,
    },
    /// The model cannot be served, and `--exit-on-failure` is given.
    #[error("the model's process ends again and again: {0}")]
    GaveUp(String),
    /// The hidden command of the runner was given by a user.
    #[error("`runner` is a part of the server, which starts it itself; see --help")]
    NotARunner,
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
    /// An address to listen on is not one of this machine.
    #[error(
        "--host {address} is not an address of this machine: use one of its own (`ip address` \
         shows them), or 0.0.0.0 for all of them"
    )]
    ForeignAddress {
        /// The address.
        address: IpAddr,
    },
    /// The daemon would listen for other machines without knowing its clients.
    #[error(
        "--host {host} lets other machines use the model, and there are no keys: make one with \
         `inference-core key new NAME --file keys.toml` and add --api-key-file keys.toml, or add \
         --insecure-no-auth to let everybody in"
    )]
    NoKeys {
        /// The first such address.
        host: String,
    },
    /// Another server listens on the Unix socket.
    #[error("--host unix:{} is in use: stop the server that listens there", .path.display())]
    UnixSocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// A Unix socket cannot be made.
    #[error("--host unix:{}: {reason}", .path.display())]
    UnixSocket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The certificate or the key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system refused a socket, a thread, a signal handler or another resource. The
    /// error contains its message.
    #[error("the operating system refused a resource that the server needs: {0:#}")]
    System(#[from] anyhow::Error),
    /// A second signal came during shutdown.
    #[error("stopped at once by a second signal")]
    SecondSignal,
}

impl DaemonError {
    /// The exit code of the process, from sysexits.h if it has one for the case.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(error) | Self::Draft(error) => error.exit_code(),
            Self::NotLoaded(failure) => failure.exit_code,
            Self::LogFilter { .. }
            | Self::NotARunner
            | Self::ForeignAddress { .. }
            | Self::NoKeys { .. }
            | Self::UnixSocket { .. }
            | Self::Keys(_) => 64,
            Self::NewKey(error) => match error {
                NewKeyError::Name { .. } | NewKeyError::Exists { .. } | NewKeyError::File(_) => 64,
                NewKeyError::Random(_) => 71,
                NewKeyError::Unwritable { .. } => 74,
            },
            Self::Tls(TlsError::Unreadable { .. }) => 66,
            Self::EndedWhileLoading { end, .. } if end.cause.is_signal(Signal::KILL) => 71,
            Self::EndedWhileLoading { .. } | Self::Tls(TlsError::Unusable { .. }) => 65,
            Self::PortInUse { .. } | Self::UnixSocketInUse { .. } => 69,
            Self::GaveUp(_) | Self::LoadStalled { .. } => 70,
            Self::System(_) => 71,
            Self::PortForbidden { .. } => 77,
            Self::SecondSignal => 130,
        }
    }
}

impl DaemonError {
    /// The error of a supervisor that runs the model called `model`.
    pub(super) fn of_supervisor(error: SupervisorError, model: String) -> Self {
        match error {
            SupervisorError::Launch(error) => {
                Self::System(anyhow::Error::new(error).context("cannot start the model's process"))
            }
            SupervisorError::Load(failure) => Self::NotLoaded(failure),
            SupervisorError::EndedWhileLoading(end) => Self::EndedWhileLoading { model, end },
            SupervisorError::StalledWhileLoading(limit) => Self::LoadStalled { model, limit },
            SupervisorError::GaveUp(reason) => Self::GaveUp(reason),
        }
    }
}

/// What the end of a process during a load most likely means.
fn hint(end: &ProcessEnd) -> &'static str {
    if end.cause.is_signal(Signal::KILL) {
        "; most likely the system ran out of memory: use a smaller model or --ctx-size"
    } else if end.cause.is_signal(Signal::BUS) {
        "; most likely the file became shorter or its disk failed: check the file"
    } else if end.cause.is_signal(Signal::SYS) {
        "; a filter of system calls killed it (SystemCallFilter= of systemd, or a container's): let \
         it allow @sandbox, or use --sandbox off"
    } else {
        ""
    }
}
