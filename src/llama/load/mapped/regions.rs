//! The memory regions of this process, as Linux lists them in `/proc/self/maps`.
//!
//! Lines that cannot be parsed are left out. The list is outdated as soon as another thread maps or
//! unmaps memory.

use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A range of addresses that is mapped as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::load) struct MemoryRegion {
    /// The addresses of the region.
    pub(in crate::llama::load) addresses: Range<usize>,
    /// The permissions in Linux's notation, such as `rw-p`.
    pub(in crate::llama::load) permissions: String,
    /// The offset in the file at which the region starts.
    pub(super) offset: u64,
    /// The mapped file, if [`FileId::is_file`].
    pub(in crate::llama::load) file: FileId,
    /// The path of the mapped file, a name such as `[heap]`, or empty for anonymous memory.
    pub(in crate::llama::load) path: PathBuf,
}

/// Identifies a file even if it is renamed or deleted: its device as Linux writes it, and its
/// inode, which is 0 if the region maps no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::load) struct FileId(String, u64);

impl FileId {
    /// Whether the region maps a file.
    pub(in crate::llama::load) fn is_file(&self) -> bool {
        self.1 != 0
    }
}

/// All regions of this process; empty if Linux does not list them.
pub(in crate::llama::load) fn memory_regions() -> Vec<MemoryRegion> {
    // Paths may not be valid UTF-8.
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    maps.split(|&byte| byte == b'\n').filter_map(parse_region).collect()
}

/// Parses a line of `/proc/self/maps` (see `man 5 proc_pid_maps`).
pub(in crate::llama::load) fn parse_region(line: &[u8]) -> Option<MemoryRegion> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut field = || str::from_utf8(fields.next()?).ok();
    let (start, end) = field()?.split_once('-')?;
    let permissions = field()?.to_owned();
    let offset = u64::from_str_radix(field()?, 16).ok()?;
    let file = FileId(field()?.to_owned(), field()?.parse().ok()?);
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    let path = Path::new(OsStr::from_bytes(path)).to_owned();
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    let addresses = address(start)?..address(end)?;
    Some(MemoryRegion { addresses, permissions, offset, file, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_proc_maps_is_parsed() {
        let anonymous = parse_region(b"7f10-7f30 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((anonymous.addresses, anonymous.permissions.as_str()), (0x7f10..0x7f30, "rw-p"));
        assert!(!anonymous.file.is_file() && anonymous.path == Path::new(""));
        let file = parse_region(b"10-20 r--s 0000a000 08:01 77     /a model \xff.gguf").unwrap();
        assert_eq!((file.offset, file.file), (0xa000, FileId("08:01".to_owned(), 77)));
        assert_eq!(file.path, Path::new(OsStr::from_bytes(b"/a model \xff.gguf")));
        for line in ["", "10 rw-p 0 00:00 0", "10-20 rw-p 0 00:00", "x-20 rw-p 0 00:00 0"] {
            assert_eq!(parse_region(line.as_bytes()), None, "{line}");
        }
    }
}
