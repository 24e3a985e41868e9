//! Confines a runner, so that a model file which takes over llama.cpp gains little (ADR-0043).
//!
//! A model file is data from somebody unknown, and its parser is C++. So the runner gives up
//! everything that it does not need before it reads the file. It can then read the model, compute,
//! and talk to the daemon. It cannot open other files, connect, start programs, or reach other
//! processes.
//!
//! | file | content |
//! |---|---|
//! | `policy` | what a runner may still use, and for what |
//! | `environment` | the variables that a runner gets |
//! | `limits` | privileges and resource limits |
//! | `files` | the files, by Landlock |
//! | `syscalls` | the system calls, by seccomp |
//!
//! The last three parts are independent of each other, and a system may lack some of them.
//! [`confine`] says which. Only Linux has them.

mod environment;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod policy;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
mod syscalls;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
#[cfg(target_os = "linux")]
mod syscalls {
    //! No filter: its library knows no other architectures.

    pub(super) fn filter(_: bool) -> Result<(), String> {
        Err(format!("system calls are not filtered on {}", std::env::consts::ARCH))
    }
}
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::path::PathBuf;

pub use self::environment::runner_environment;

/// What a runner needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The files of the models.
    pub files: Vec<PathBuf>,
    /// Whether llama.cpp may use a GPU, which takes libraries, device files and caches.
    pub has_gpu: bool,
    /// Folders from which a test gives orders: their files may be read and removed.
    pub test_folders: Vec<PathBuf>,
}

/// Confines this process to what it `needs`, for good. Must be called while it has one thread: a
/// thread that exists already stays as it is.
///
/// Returns what could not be applied, one phrase each; nothing if the process is confined.
#[cfg(target_os = "linux")]
pub fn confine(needs: &Needs) -> Vec<String> {
    let grants = policy::grants(needs);
    policy::make_caches(&grants);
    let parts = [
        limits::check_single_thread(),
        limits::give_up_privileges(),
        limits::limit_resources(needs),
        files::restrict(&grants),
        syscalls::filter(needs.has_gpu),
    ];
    parts.into_iter().filter_map(Result::err).collect()
}

/// Confines this process. This system cannot do that.
#[cfg(not(target_os = "linux"))]
pub fn confine(_: &Needs) -> Vec<String> {
    vec!["only Linux can confine a process".to_owned()]
}
