//! How the daemon starts this program again, as its child process.

use std::path::PathBuf;

use anyhow::Context;

use crate::build_info;
use crate::domain::SandboxMode;
use crate::llama::HeldFiles;
use crate::runner::{ChildLauncher, RunnerPid};
use crate::sandbox::runner_environment;

use super::error::DaemonError;

/// Starts this program as a runner, with what computing needs in its environment. Variables that
/// the user has set stay as they are. The runners inherit the `held` files. `pid` will tell the
/// process of the runner.
pub(super) fn launcher(
    sandbox: SandboxMode,
    held: [HeldFiles; 2],
    pid: RunnerPid,
) -> Result<ChildLauncher, DaemonError> {
    let is_unset = |name: &&(&str, &str)| std::env::var_os(name.0).is_none();
    let defaults = RUNNER_VARIABLES.iter().filter(is_unset);
    let is_confined = sandbox != SandboxMode::Off;
    let mut variables = runner_environment(std::env::vars_os(), is_confined);
    variables.extend(defaults.map(|&(name, value)| (name.into(), value.into())));
    let descriptors = held.into_iter().flat_map(HeldFiles::into_descriptors).collect();
    let args = vec!["runner".into()];
    let launcher = ChildLauncher::new(own_program(), args, variables, descriptors, pid);
    Ok(launcher.context("cannot start the thread that starts runners")?)
}

/// The path of this program. On Linux it stays valid when the file is replaced by an update.
pub(super) fn own_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return "/proc/self/exe".into();
    }
    std::env::current_exe().unwrap_or_else(|_| "inference-core".into())
}

/// Identifies this program to its runner.
pub(super) fn build() -> String {
    format!("{} {}", build_info::VERSION, build_info::COMMIT)
}

/// Variables for a runner. Without this one, ggml starts a debugger when it aborts, which takes
/// seconds.
const RUNNER_VARIABLES: [(&str, &str); 1] = [("GGML_NO_BACKTRACE", "1")];
