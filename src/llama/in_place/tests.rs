//! What stays of a mapped file, whatever becomes of the file.

#![allow(clippy::single_range_in_vec_init, reason = "a file can have a single range in place")]

use super::*;
use crate::llama::file::TensorRole;

#[test]
fn in_place_is_what_has_no_copy_and_what_is_looked_up() {
    let tensors = [
        Tensor::of(TensorRole::Layer(0), 500_000, 100_000, Some(100_000)),
        Tensor::of(TensorRole::Embedding, 1_000, 99_000, Some(99_000)),
        Tensor::of(TensorRole::Layer(0), 100_032, 64, None),
        Tensor::of(TensorRole::Output, 800_000, 1_000, None),
    ];
    let in_place = InPlace::of(Path::new("a.gguf"), tensors.iter());
    assert_eq!(in_place.ranges, [1_000..100_096, 800_000..801_000]);
    assert_eq!(in_place.gaps(), 699_904);
    assert_eq!(InPlace::of(Path::new("a.gguf"), tensors[..1].iter()).gaps(), 0);
}

#[cfg(target_os = "linux")]
mod on_linux {
    use std::ffi::OsStr;
    use std::fs::{self, File, OpenOptions};
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::FileExt;
    use std::{ptr, slice};

    use super::*;

    const PAGE: usize = 64 << 10;
    const PAGES: usize = 8;
    const LEN: usize = PAGES * PAGE + 5;

    /// A file mapped as llama.cpp maps it.
    struct Mapped {
        folder: tempfile::TempDir,
        start: *mut libc::c_void,
    }

    impl Mapped {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = Self::path_in(&folder);
            let bytes: Vec<u8> = (0..LEN).map(|i| (i / PAGE) as u8 + 1).collect();
            fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
            // SAFETY: new memory; the test shortens the file and looks only where it may then.
            let start = unsafe {
                libc::mmap(ptr::null_mut(), LEN, libc::PROT_READ, flags, file.as_raw_fd(), 0)
            };
            assert_ne!(start, libc::MAP_FAILED);
            Self { folder, start }
        }

        /// With a space, and with a byte that is no UTF-8.
        fn path_in(folder: &tempfile::TempDir) -> PathBuf {
            folder.path().join(OsStr::from_bytes(b"a model \xff.gguf"))
        }

        fn path(&self) -> PathBuf {
            Self::path_in(&self.folder)
        }

        fn in_place(&self, ranges: &[Range<u64>]) -> Vec<InPlace> {
            vec![InPlace { path: self.path(), ranges: ranges.to_vec() }]
        }

        fn bytes(&self, range: Range<usize>) -> &[u8] {
            assert!(range.end <= LEN);
            // SAFETY: inside the mapping, and backed by memory or the file.
            unsafe { slice::from_raw_parts(self.start.cast::<u8>().add(range.start), range.len()) }
        }
    }

    impl Drop for Mapped {
        fn drop(&mut self) {
            // SAFETY: mapped by `new`.
            unsafe { libc::munmap(self.start, LEN) };
        }
    }

    #[test]
    fn what_is_in_place_stays_when_the_file_is_emptied() {
        let mapped = Mapped::new();
        let page = PAGE as u64;
        let ranges = [page + 7..2 * page - 7, 3 * page..3 * page + 1, 7 * page..LEN as u64];
        let mut moving = Moving::start(&mapped.in_place(&ranges)).unwrap();
        moving.advance(0.5);
        assert_eq!(mapped.bytes(5 * PAGE..5 * PAGE + 1), [6], "it can be read all the time");
        assert_eq!(moving.finish(|| true), Some(5 * page + 6));
        assert_eq!(mapped.bytes(0..1), [1], "and afterwards");
        OpenOptions::new().write(true).open(mapped.path()).unwrap().set_len(0).unwrap();
        assert!(mapped.bytes(PAGE + 7..2 * PAGE - 7).iter().all(|&byte| byte == 2));
        assert_eq!(mapped.bytes(3 * PAGE..3 * PAGE + 1), [4]);
        assert!(mapped.bytes(7 * PAGE..8 * PAGE).iter().all(|&byte| byte == 8));
        assert_eq!(mapped.bytes(8 * PAGE..LEN), [9; 5]);
    }

    #[test]
    fn what_a_file_no_longer_has_is_not_taken_for_zeros() {
        let mapped = Mapped::new();
        let file = OpenOptions::new().write(true).open(mapped.path()).unwrap();
        file.set_len(2 * PAGE as u64 + 1).unwrap();
        let moving = Moving::start(&mapped.in_place(&[PAGE as u64..3 * PAGE as u64])).unwrap();
        moving.finish(|| true).unwrap();
        file.set_len(LEN as u64).unwrap();
        file.write_all_at(&[77], PAGE as u64).unwrap();
        assert_eq!(mapped.bytes(PAGE..PAGE + 1), [77], "it is the file");
    }

    #[test]
    fn a_load_that_is_given_up_leaves_the_mapping_as_it_is() {
        let mapped = Mapped::new();
        drop(Moving::start(&mapped.in_place(&[0..LEN as u64])).unwrap());
        assert_eq!(mapped.bytes(PAGE..PAGE + 1), [2]);
    }

    #[test]
    fn a_file_that_is_renamed_meanwhile_is_still_known() {
        let mapped = Mapped::new();
        let moving = Moving::start(&mapped.in_place(&[0..LEN as u64])).unwrap();
        let old = mapped.folder.path().join("old.gguf");
        fs::rename(mapped.path(), &old).unwrap();
        fs::write(mapped.path(), [0; LEN]).unwrap();
        moving.finish(|| true).unwrap();
        OpenOptions::new().write(true).open(old).unwrap().set_len(0).unwrap();
        assert_eq!(mapped.bytes(PAGE..PAGE + 1), [2]);
    }

    #[test]
    fn a_mapping_that_cannot_be_found_is_left_alone() {
        let mapped = Mapped::new();
        let path = mapped.folder.path().join("another.gguf");
        fs::write(&path, [0; LEN]).unwrap();
        for path in [path, mapped.folder.path().join("gone.gguf")] {
            assert!(Moving::start(&[InPlace { path, ranges: vec![0..9] }]).is_none());
        }
        // The system writes a line feed in a name in another way.
        let path = mapped.folder.path().join("two\nlines.gguf");
        fs::rename(mapped.path(), &path).unwrap();
        assert!(Moving::start(&[InPlace { path, ranges: vec![0..9] }]).is_none());
    }
}
