//! The child process of a runner: how it starts, what it says, and how it ends.
//!
//! The child is the same program, in a process group of its own, so that Ctrl-C in a terminal
//! reaches the daemon alone. `spawn` starts it. Its standard input and output are the link, its
//! standard error becomes log lines (`log`). `activity` reads what the system knows about its
//! threads, and `end` says how it ended.

mod activity;
mod end;
mod log;
mod spawn;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::watchdog::Activity;

pub use self::activity::ProcessThreads;
pub use self::end::{EndCause, ProcessEnd};
pub use self::log::LOG_MARK;
use self::log::LogReader;
use self::spawn::Spawner;

/// Starts runners.
pub trait Launch: Send {
    /// The process of a runner.
    type Process: RunnerProcess;

    /// Starts a runner.
    ///
    /// # Errors
    /// The error of the operating system.
    fn launch(&mut self) -> impl Future<Output = io::Result<Launched<Self::Process>>> + Send;
}

/// A runner that has just started.
pub struct Launched<P> {
    /// What the runner sends.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// What is sent to the runner.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its process.
    pub process: P,
}

/// The process of a runner.
pub trait RunnerProcess: Send {
    /// Waits for the end of the process. May be dropped and called again.
    fn wait(&mut self) -> impl Future<Output = ProcessEnd> + Send;

    /// Kills the process, even if it is stopped or hangs.
    fn kill(&mut self);

    /// What the system knows about these threads of the process; `None` if it says nothing.
    fn activity(&self, threads: ProcessThreads) -> Option<Activity>;
}

/// Starts a runner as a child process.
#[derive(Debug)]
pub struct ChildLauncher {
    program: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// Open until the last runner has started.
    _descriptors: Vec<OwnedFd>,
    pid: RunnerPid,
    spawner: Spawner,
}

impl ChildLauncher {
    /// Starts `program` with `args`, and with `variables` as its environment. It inherits
    /// `descriptors`, under the same numbers. `pid` will tell the process of the current runner.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The operating system's error, if it cannot start a thread or pass on a descriptor.
    pub fn new(
        program: PathBuf,
        args: Vec<OsString>,
        variables: Vec<(OsString, OsString)>,
        descriptors: Vec<OwnedFd>,
        pid: RunnerPid,
    ) -> io::Result<Self> {
        for descriptor in &descriptors {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let spawner = Spawner::start()?;
        Ok(Self { program, args, variables, _descriptors: descriptors, pid, spawner })
    }
}

/// The process of the current runner. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RunnerPid(Arc<AtomicU32>);

impl RunnerPid {
    /// The number of the process; `None` before the first runner has started.
    pub fn get(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
    }
}

impl Launch for ChildLauncher {
    type Process = ChildProcess;

    async fn launch(&mut self) -> io::Result<Launched<ChildProcess>> {
        let mut command = Command::new(&self.program);
        command
            .arg0("inference-core")
            .args(&self.args)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = self.spawner.spawn(command).await?;
        let missing = || io::Error::other("a pipe of the child process is missing");
        let reader = child.stdout.take().ok_or_else(missing)?;
        let writer = child.stdin.take().ok_or_else(missing)?;
        let log = LogReader::spawn(child.stderr.take().ok_or_else(missing)?);
        self.pid.0.store(child.id().unwrap_or_default(), Ordering::Relaxed);
        tracing::debug!(pid = child.id(), "the model's process has started");
        Ok(Launched {
            reader: Box::new(reader),
            writer: Box::new(writer),
            process: ChildProcess { child, log },
        })
    }
}

/// The child process of a runner, killed when dropped.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
    log: LogReader,
}

impl RunnerProcess for ChildProcess {
    async fn wait(&mut self) -> ProcessEnd {
        let status = self.child.wait().await;
        // The last lines may still be in the pipe. Another process may hold its other end.
        let _ = timeout(LAST_LINES_DEADLINE, self.log.ended()).await;
        match status {
            Ok(status) => {
                let cause = status.into();
                let final_line = self.log.final_line(cause);
                ProcessEnd { cause, final_line, warnings: self.log.llama_warnings() }
            }
            Err(error) => {
                tracing::warn!("the end of the model's process cannot be read: {error}");
                ProcessEnd::of(EndCause::Unknown)
            }
        }
    }

    fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            tracing::warn!("the model's process cannot be killed: {error}");
        }
    }

    fn activity(&self, threads: ProcessThreads) -> Option<Activity> {
        activity::of(self.child.id()?, threads)
    }
}

/// How long to wait for what a process has written before its end.
const LAST_LINES_DEADLINE: Duration = Duration::from_millis(100);
