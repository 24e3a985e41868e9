//! Tells whether a file is still the one that was checked.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Identifies a file by device, inode, size and time of change. Its content is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Time of the last change of the content, in seconds and nanoseconds.
    modified: (i64, i64),
}

impl FileStamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether the file at `path` is the one with this stamp.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|metadata| Self::of(&metadata) == *self)
    }
}

/// Total size of the files with these stamps, in bytes.
pub(super) fn total_size(stamps: &[FileStamp]) -> u64 {
    stamps.iter().map(|stamp| stamp.size).fold(0, u64::saturating_add)
}
