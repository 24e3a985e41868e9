//! Replaces mappings of real files.

#![cfg(target_os = "linux")]
#![allow(clippy::single_range_in_vec_init, reason = "a file can have a single in-place range")]

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::{ptr, slice};

use super::*;

const PAGE: usize = 64 << 10;
const PAGES: usize = 8;
const LEN: usize = PAGES * PAGE + 5;

/// A file mapped as llama.cpp maps it. Page `i` is filled with the byte `i + 1`.
struct MappedTestFile {
    folder: tempfile::TempDir,
    start: *mut libc::c_void,
}

impl MappedTestFile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Self::path_in(&folder);
        let bytes: Vec<u8> = (0..LEN).map(|i| (i / PAGE) as u8 + 1).collect();
        fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: the system chooses unused addresses. A test that shortens the file reads only
        // what is still backed by the file or was replaced.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), LEN, libc::PROT_READ, flags, file.as_raw_fd(), 0)
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self { folder, start }
    }

    /// A path with a space and with a byte that is not UTF-8.
    fn path_in(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join(OsStr::from_bytes(b"a model \xff.gguf"))
    }

    fn path(&self) -> PathBuf {
        Self::path_in(&self.folder)
    }

    fn in_place(&self, ranges: &[Range<u64>]) -> Vec<InPlaceRanges> {
        vec![InPlaceRanges { path: self.path(), ranges: ranges.to_vec() }]
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.end <= LEN);
        // SAFETY: the range is inside the mapping, and backed by the file or by private memory.
        unsafe { slice::from_raw_parts(self.start.cast::<u8>().add(range.start), range.len()) }
    }
}

impl Drop for MappedTestFile {
    fn drop(&mut self) {
        // SAFETY: `new` has mapped these bytes, and no slice of them is borrowed.
        unsafe { libc::munmap(self.start, LEN) };
    }
}

#[test]
fn in_place_ranges_survive_truncation_of_the_file() {
    let mapped = MappedTestFile::new();
    let page = PAGE as u64;
    let ranges = [page + 7..2 * page - 7, 3 * page..3 * page + 1, 7 * page..LEN as u64];
    let mut replacer = MappingReplacer::start(&mapped.in_place(&ranges)).unwrap();
    replacer.advance(0.5);
    assert_eq!(mapped.bytes(5 * PAGE..5 * PAGE + 1), [6], "readable during the load");
    assert_eq!(replacer.finish(|| true), Some(5 * page + 6));
    assert_eq!(mapped.bytes(0..1), [1], "readable after the load");
    OpenOptions::new().write(true).open(mapped.path()).unwrap().set_len(0).unwrap();
    assert!(mapped.bytes(PAGE + 7..2 * PAGE - 7).iter().all(|&byte| byte == 2));
    assert_eq!(mapped.bytes(3 * PAGE..3 * PAGE + 1), [4]);
    assert!(mapped.bytes(7 * PAGE..8 * PAGE).iter().all(|&byte| byte == 8));
    assert_eq!(mapped.bytes(8 * PAGE..LEN), [9; 5]);
}

#[test]
fn range_of_a_truncated_file_is_not_replaced_by_zeros() {
    let mapped = MappedTestFile::new();
    let file = OpenOptions::new().write(true).open(mapped.path()).unwrap();
    file.set_len(2 * PAGE as u64 + 1).unwrap();
    let ranges = mapped.in_place(&[PAGE as u64..3 * PAGE as u64]);
    let replacer = MappingReplacer::start(&ranges).unwrap();
    replacer.finish(|| true).unwrap();
    file.set_len(LEN as u64).unwrap();
    file.write_all_at(&[77], PAGE as u64).unwrap();
    assert_eq!(mapped.bytes(PAGE..PAGE + 1), [77], "still mapped from the file");
}

#[test]
fn stopped_load_leaves_the_mapping_unchanged() {
    let mapped = MappedTestFile::new();
    drop(MappingReplacer::start(&mapped.in_place(&[0..LEN as u64])).unwrap());
    assert_eq!(mapped.bytes(PAGE..PAGE + 1), [2]);
}

#[test]
fn file_renamed_during_the_load_is_still_replaced() {
    let mapped = MappedTestFile::new();
    let replacer = MappingReplacer::start(&mapped.in_place(&[0..LEN as u64])).unwrap();
    let old = mapped.folder.path().join("old.gguf");
    fs::rename(mapped.path(), &old).unwrap();
    fs::write(mapped.path(), [0; LEN]).unwrap();
    replacer.finish(|| true).unwrap();
    OpenOptions::new().write(true).open(old).unwrap().set_len(0).unwrap();
    assert_eq!(mapped.bytes(PAGE..PAGE + 1), [2]);
}

#[test]
fn replacer_does_not_start_without_the_mapping() {
    let mapped = MappedTestFile::new();
    let path = mapped.folder.path().join("another.gguf");
    fs::write(&path, [0; LEN]).unwrap();
    for path in [path, mapped.folder.path().join("gone.gguf")] {
        let ranges = vec![0..9];
        assert!(MappingReplacer::start(&[InPlaceRanges { path, ranges }]).is_none());
    }
    // Linux escapes a line feed in a path, so the path does not match.
    let path = mapped.folder.path().join("two\nlines.gguf");
    fs::rename(mapped.path(), &path).unwrap();
    let ranges = vec![0..9];
    assert!(MappingReplacer::start(&[InPlaceRanges { path, ranges }]).is_none());
}
