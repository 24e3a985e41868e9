//! The files that a runner may open, by Landlock (`man 7 landlock`).
//!
//! Landlock also denies TCP ports, signals to other processes and their memory, and sockets with a
//! path or an abstract name, each since another version of Linux. What an older kernel leaves open
//! there, the filter of system calls denies as well.

use std::path::Path;
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::policy::{Grant, Use};

/// Restricts this thread, and those that it will start, to `grants`. Paths that do not exist are
/// skipped.
///
/// # Errors
/// What the kernel lacks or refused.
pub(super) fn restrict(grants: &[Grant]) -> Result<(), String> {
    let status = apply(grants).map_err(|error| format!("Landlock failed: {error}"))?;
    match status {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= NEEDED => Ok(()),
        LandlockStatus::Available { effective_abi, .. } => Err(format!(
            "Landlock has version {} in this kernel: it denies no truncation of files before \
             version {} (Linux 6.2)",
            effective_abi as i32, NEEDED as i32
        )),
        LandlockStatus::NotEnabled => {
            Err("files are not restricted: Landlock is turned off in this kernel".to_owned())
        }
        LandlockStatus::NotImplemented => {
            Err("files are not restricted: this kernel has no Landlock".to_owned())
        }
    }
}

/// Applies as much as the kernel supports.
fn apply(grants: &[Grant]) -> Result<LandlockStatus, RulesetError> {
    let open = |grant: &Grant| {
        let path = PathFd::new(&grant.path).ok()?;
        let is_kept = grant.path.starts_with("/proc") && !grant.path.starts_with("/proc/self/fd");
        Some((path, rights(grant), is_kept))
    };
    let opened: Vec<(PathFd, BitFlags<AccessFs>, bool)> = grants.iter().filter_map(open).collect();
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    for (path, rights, _) in &opened {
        ruleset = ruleset.add_rule(PathBeneath::new(path, *rights))?;
    }
    let status = ruleset.restrict_self()?.landlock;
    // A rule is about an inode. Linux makes a new inode for a file of /proc that it has forgotten,
    // so these files stay open.
    let paths = opened.into_iter().filter(|(_, _, is_kept)| *is_kept).map(|(path, ..)| path);
    static PATHS: OnceLock<Vec<PathFd>> = OnceLock::new();
    let _ = PATHS.set(paths.collect());
    Ok(status)
}

/// The access rights of a grant. Those of folders are no rights of other files.
fn rights(grant: &Grant) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rights = match grant.allowed {
        Use::Read => read,
        Use::Device => read | AccessFs::WriteFile | AccessFs::IoctlDev,
        Use::Cache => {
            read | AccessFs::from_write(KNOWN)
                & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
        }
        Use::TestOrders => read | AccessFs::RemoveFile,
    };
    if Path::is_dir(&grant.path) { rights } else { rights & AccessFs::from_file(KNOWN) }
}

/// The version of Landlock whose rights are used, as far as the kernel has them.
const KNOWN: ABI = ABI::V9;

/// The oldest version that suffices: it denies truncation. What only later versions deny, the
/// filter of system calls denies.
const NEEDED: ABI = ABI::V3;
