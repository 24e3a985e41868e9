//! The GPUs of the machine, as a child process sees them.
//!
//! A GPU's driver takes memory on the GPU for every process that asks about it, and keeps it until
//! the process ends. So the daemon, which computes nothing, does not ask itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::stdio::dup2_stdout;
use serde::{Deserialize, Serialize};

use crate::build_info::{BACKEND, CPU_BACKEND};
use crate::llama::{self, GpuDevice};
use crate::sandbox::runner_environment;

use super::child::own_program;
use super::error::DaemonError;

/// The GPUs that llama.cpp can use.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Devices {
    pub(super) gpus: Vec<GpuDevice>,
    /// PCI bus ids of the discrete ones, in the same order.
    pub(super) bus_ids: Vec<String>,
}

impl Devices {
    /// Asks a child process. A build for the CPU has no GPUs, and a machine on which the child
    /// fails is used without any.
    pub(super) fn of_machine() -> Self {
        if BACKEND == CPU_BACKEND {
            return Self::default();
        }
        Self::ask_child().unwrap_or_else(|error| {
            tracing::warn!("running without GPUs: {error:#}");
            Self::default()
        })
    }

    fn ask_child() -> anyhow::Result<Self> {
        let mut command = Command::new(own_program());
        command.env_clear().envs(runner_environment(std::env::vars_os(), false));
        command.args(["runner", "devices"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the process that looks for GPUs did not start")?;
        let mut pipe = child.stdout.take().context("the pipe is missing")?;
        let (sender, answer) = sync_channel(1);
        thread::Builder::new().name("devices".to_owned()).spawn(move || {
            let mut bytes = Vec::new();
            // Fails if the daemon does not wait any more.
            let _ = sender.send(pipe.read_to_end(&mut bytes).map(|_| bytes));
        })?;
        let answer = answer.recv_timeout(DEADLINE);
        if answer.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        let bytes = answer.context("a driver of a GPU does not answer")??;
        postcard::from_bytes(&bytes)
            .with_context(|| format!("the process that looks for GPUs failed ({status})"))
    }
}

/// Writes the GPUs for the daemon to standard output. What a driver writes there goes to standard
/// error.
///
/// # Errors
/// [`DaemonError::System`], if standard output cannot be written.
pub fn print_devices() -> Result<(), DaemonError> {
    let output = io::stdout().as_fd().try_clone_to_owned().context("the pipe is missing")?;
    dup2_stdout(io::stderr()).context("standard output cannot be redirected")?;
    let devices = Devices { gpus: llama::gpu_devices(), bus_ids: llama::gpu_bus_ids() };
    let bytes = postcard::to_stdvec(&devices).context("the GPUs cannot be described")?;
    File::from(output).write_all(&bytes).context("the pipe is closed")?;
    Ok(())
}

/// How long the drivers may take. Some start a program first.
const DEADLINE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_survive_the_pipe() {
        let gpu = GpuDevice { name: "GTX 1060".into(), device: "CUDA0".into(), free: 3 << 30 };
        let devices = Devices { gpus: vec![gpu], bus_ids: vec!["0000:01:00.0".into()] };
        let bytes = postcard::to_stdvec(&devices).unwrap();
        assert_eq!(postcard::from_bytes::<Devices>(&bytes).unwrap(), devices);
    }
}
