//! The files of a model, held open for the runners.
//!
//! The daemon opens each file once and reads its header. A runner loads the weights later, perhaps
//! again after days, when another file may have the same path. So every runner inherits the open
//! files of the daemon and loads from these. Only Linux has paths that lead to open files.
//! Elsewhere a runner opens the files by their paths and refuses those that have changed.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// The open files of a model.
#[derive(Debug, Default)]
pub struct HeldFiles(Vec<File>);

impl HeldFiles {
    /// Holds these files, whose headers have been read.
    pub(super) fn new(files: Vec<File>) -> Self {
        Self(files)
    }

    /// Paths under which a child process that inherits the files finds them. Only Linux has such
    /// paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        if !cfg!(target_os = "linux") {
            return Vec::new();
        }
        self.0.iter().map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()).into()).collect()
    }

    /// The files, to be inherited by child processes.
    pub fn into_descriptors(self) -> impl Iterator<Item = OwnedFd> {
        self.0.into_iter().map(OwnedFd::from)
    }
}
