//! What lies where in the memory of this process, as Linux tells it.

use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A part of the memory of this process, all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct Mapping {
    pub(in crate::llama) addresses: Range<usize>,
    /// As it is written there, `rw-p`.
    pub(in crate::llama) rights: String,
    /// Where in the file it begins.
    pub(in crate::llama) offset: u64,
    pub(in crate::llama) id: FileId,
    /// The file's name, or what else it is; empty for nameless memory.
    pub(in crate::llama) path: PathBuf,
}

/// What the system knows a file by, whatever becomes of its name: a device, as it is written there, and
/// a number, which is 0 for what is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct FileId(String, u64);

impl FileId {
    pub(in crate::llama) fn is_file(&self) -> bool {
        self.1 != 0
    }
}

/// All of them; none where the system does not say.
pub(in crate::llama) fn mappings() -> Vec<Mapping> {
    // Names of files need not be UTF-8.
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    maps.split(|&byte| byte == b'\n').filter_map(parse).collect()
}

/// Reads a line of `/proc/self/maps`; man 5 `proc_pid_maps`.
pub(in crate::llama) fn parse(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut word = || str::from_utf8(fields.next()?).ok();
    let (start, end) = word()?.split_once('-')?;
    let rights = word()?.to_owned();
    let offset = u64::from_str_radix(word()?, 16).ok()?;
    let id = FileId(word()?.to_owned(), word()?.parse().ok()?);
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    let path = Path::new(OsStr::from_bytes(path)).to_owned();
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    Some(Mapping { addresses: address(start)?..address(end)?, rights, offset, id, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_addresses_rights_a_place_in_a_file_and_its_name() {
        let nameless = parse(b"7f10-7f30 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((nameless.addresses, nameless.rights.as_str()), (0x7f10..0x7f30, "rw-p"));
        assert!(!nameless.id.is_file() && nameless.path == Path::new(""));
        let file = parse(b"10-20 r--s 0000a000 08:01 77     /a model \xff.gguf").unwrap();
        assert_eq!((file.offset, file.id), (0xa000, FileId("08:01".to_owned(), 77)));
        assert_eq!(file.path, Path::new(OsStr::from_bytes(b"/a model \xff.gguf")));
        for line in ["", "10 rw-p 0 00:00 0", "10-20 rw-p 0 00:00", "x-20 rw-p 0 00:00 0"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
