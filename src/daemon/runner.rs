//! The runner: the child process that holds the model and serves the link to the daemon.
//!
//! Its standard input and output are the link. Anything else that is written to standard output,
//! by a driver for example, goes to standard error, which the daemon logs.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

use anyhow::Context;
use rustix::process::{Signal, getpid, kill_process};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use tokio::net::unix::pipe;
use tokio::runtime;

use crate::build_info::{BACKEND, CPU_BACKEND};
use crate::domain::{LoadFailure, SandboxMode};
use crate::engine;
use crate::llama::{self, LlamaCpp};
use crate::runner::{self, Load};
use crate::sandbox::{self, Needs};

use super::child::build;
use super::error::DaemonError;
use super::signals::ignore_signals;
use super::spec::RunnerSpec;
use super::{contention, logging};

/// Runs as the child process of a daemon until the daemon ends the link.
///
/// # Errors
/// [`DaemonError`], if this process was not started by a daemon.
pub fn run_runner() -> Result<(), DaemonError> {
    let is_pipe = fs::metadata("/dev/stdin").is_ok_and(|input| input.file_type().is_fifo());
    if !is_pipe {
        return Err(DaemonError::NotARunner);
    }
    die_with_parent();
    let (input, output) = take_link().context("cannot set up the link to the daemon")?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("runner")
        .build()
        .context("cannot start the runner's threads")?;
    let served = runtime.block_on(async {
        ignore_signals()?;
        let reader = pipe::Receiver::from_owned_fd(input)?;
        let writer = pipe::Sender::from_owned_fd(output)?;
        runner::serve(reader, writer, &build(), set_up).await
    });
    if let Err(error) = served
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::error!("{error}");
        std::process::abort();
    }
    // The engine may still compute. Leaving in the usual way would destroy what it uses, and a
    // driver that hangs would not let it end at all.
    let _ = kill_process(getpid(), Signal::KILL);
    Ok(())
}

/// Has the kernel end this process with the daemon, even if it hangs. Only Linux can do that.
/// Elsewhere the end of the link does.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// Takes the link from standard input and output, which are then free for other uses.
fn take_link() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    Ok((input, output))
}

/// The options of the engine, and the load. Also confines this process, sets up the log, and starts
/// to watch for contention.
fn set_up(spec: &[u8]) -> Result<(engine::Options, Load<LlamaCpp>), LoadFailure> {
    let spec: RunnerSpec = postcard::from_bytes(spec).map_err(|error| LoadFailure {
        message: format!("the daemon's description of the work cannot be read: {error}"),
        exit_code: EX_SOFTWARE,
    })?;
    // Before anything of the model is read.
    let not_applied = confine(&spec);
    let RunnerSpec { description, draft, held, held_draft, llama, offload_plan, engine, .. } = spec;
    logging::init_runner(&spec.log);
    report(spec.sandbox, &not_applied)?;
    llama::send_logs_to_tracing();
    tokio::spawn(contention::watch(llama.threads > 1 && !llama.has_adaptive_threads));
    let load: Load<LlamaCpp> = Box::new(move |progress| {
        let description = description.located(&held)?;
        let draft = draft.map(|draft| draft.located(&held_draft)).transpose()?;
        let loaded = llama::load(&description, draft.as_ref(), llama, offload_plan, progress)?;
        Ok(loaded)
    });
    Ok((engine, load))
}

/// Confines this process, unless the user does not want that. Returns what could not be applied.
fn confine(spec: &RunnerSpec) -> Vec<String> {
    if spec.sandbox == SandboxMode::Off {
        return Vec::new();
    }
    sandbox::confine(&Needs {
        files: [&spec.held[..], &spec.held_draft].concat(),
        has_gpu: BACKEND != CPU_BACKEND,
        #[cfg(debug_assertions)]
        test_folders: llama::fault_folders(),
        #[cfg(not(debug_assertions))]
        test_folders: Vec::new(),
    })
}

/// Logs what could not be applied of the sandbox.
///
/// # Errors
/// The same, if the user wants all of it.
fn report(mode: SandboxMode, not_applied: &[String]) -> Result<(), LoadFailure> {
    if not_applied.is_empty() {
        return Ok(());
    }
    let reasons = not_applied.join("; ");
    if mode == SandboxMode::Strict {
        let message =
            format!("--sandbox strict is not possible here: {reasons}; use --sandbox auto");
        return Err(LoadFailure { message, exit_code: EX_OSERR });
    }
    tracing::info!("the sandbox is incomplete: {reasons}");
    Ok(())
}

/// Exit code of sysexits.h for something that the operating system refuses.
const EX_OSERR: u8 = 71;

/// Exit code of sysexits.h for an error in this program.
const EX_SOFTWARE: u8 = 70;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_sandbox_refuses_what_is_missing_and_auto_goes_on() {
        let missing = ["no Landlock".to_owned(), "no filter".to_owned()];
        assert!(report(SandboxMode::Auto, &missing).is_ok());
        assert!(report(SandboxMode::Strict, &[]).is_ok());
        let failure = report(SandboxMode::Strict, &missing).unwrap_err();
        assert_eq!(failure.exit_code, 71);
        assert_eq!(
            failure.message,
            "--sandbox strict is not possible here: no Landlock; no filter; use --sandbox auto"
        );
    }
}
