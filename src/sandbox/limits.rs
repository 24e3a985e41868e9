//! Privileges and resource limits of a runner.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

use super::Needs;

/// Checks that no other thread runs, which the other parts would not reach.
///
/// # Errors
/// The number of the other threads.
pub(super) fn check_single_thread() -> Result<(), String> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    match threads.saturating_sub(1) {
        0 => Ok(()),
        n => Err(format!("{n} threads of a library run already and are not confined")),
    }
}

/// Rules out new privileges, as a setuid program would give them, and gives up all capabilities but
/// reading any file: the file of a model may belong to another user.
///
/// # Errors
/// What the system refused.
pub(super) fn give_up_privileges() -> Result<(), String> {
    let give_up = || {
        set_no_new_privs(true)?;
        clear_ambient_capability_set()?;
        let kept = capabilities(None)?.permitted & CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(
            None,
            CapabilitySets {
                effective: kept,
                permitted: kept,
                inheritable: CapabilitySet::empty(),
            },
        )
    };
    give_up().map_err(|error: rustix::io::Errno| format!("privileges cannot be given up: {error}"))
}

/// Rules out core dumps, which would hold the texts of clients. On a CPU also limits open files to
/// what the model needs, and rules out files that grow.
///
/// # Errors
/// What the system refused.
pub(super) fn limit_resources(needs: &Needs) -> Result<(), String> {
    let mut limits = vec![(Resource::Core, 0)];
    if !needs.has_gpu {
        let n_files = OPENED_PER_FILE * needs.files.len() as u64 + OTHER_OPEN_FILES;
        limits.extend([(Resource::Nofile, n_files), (Resource::Fsize, 0)]);
    }
    for (resource, wanted) in limits {
        let hard = getrlimit(resource).maximum;
        let limit = Some(hard.map_or(wanted, |hard| hard.min(wanted)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })
            .map_err(|error| format!("the limit {resource:?} cannot be set: {error}"))?;
    }
    Ok(())
}

/// How often a file of a model is open at most: inherited, for the rules of Landlock or by
/// llama.cpp, and to replace its mapping; and once to spare.
const OPENED_PER_FILE: u64 = 4;

/// Descriptors of a runner that are no files of its model. Those that it inherits have numbers up
/// to some dozens, and the limit is on the numbers.
const OTHER_OPEN_FILES: u64 = 128;
