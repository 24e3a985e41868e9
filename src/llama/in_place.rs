//! What stays of a file that is mapped while its weights are copied.
//!
//! Where ggml computes most weights from copies in another order, they are made fastest from a mapped
//! file. Reading it, llama.cpp takes a new buffer for each tensor and fills that byte by byte first
//! (`load_all_data`), which takes a quarter of a start (`docs/ARCHITECTURE.md`). But a mapping that is kept
//! has its price: pages that nobody needs again count as memory of the process, those that are computed
//! from stay small, and whoever shortens the file kills the process. So pages of the mapping are given
//! back while the load goes on, a thread reads what is computed in place into memory of the process's
//! own, and in the end this takes the place of the mapping.
//!
//! Only Linux can put memory in the place of a mapping. Where the mapping of a file cannot be found, the
//! file is read after all. What lies between the parts in place stays mapped, and nobody looks at it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::file::Tensor;

/// The part of a model's file that is computed from where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InPlace {
    pub(super) path: PathBuf,
    /// Bytes of the file, without gaps smaller than [`NEGLIGIBLE_GAP`].
    pub(super) ranges: Vec<Range<u64>>,
}

/// Whether what is in place can be moved out of a mapping. Not where address space is limited (`ulimit -v`),
/// of which the rest of a mapping takes as much as before.
#[cfg(target_os = "linux")]
pub(super) fn can_move() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes the struct and nothing else.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    result == 0 && limit.rlim_cur == libc::RLIM_INFINITY
}

#[cfg(not(target_os = "linux"))]
pub(super) fn can_move() -> bool {
    false
}

/// What lies between two tensors for alignment is not worth a range of its own.
const NEGLIGIBLE_GAP: u64 = 4096;

impl InPlace {
    /// Of those tensors in the file at `path`.
    pub(super) fn of<'a>(path: &Path, tensors: impl Iterator<Item = &'a Tensor>) -> Self {
        let mut all: Vec<Range<u64>> = tensors
            .filter(|tensor| !tensor.is_replaced_by_copy())
            .map(|tensor| tensor.offset..tensor.offset.saturating_add(tensor.bytes.unwrap_or(0)))
            .collect();
        all.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in all {
            match ranges.last_mut() {
                Some(last) if range.start < last.end.saturating_add(NEGLIGIBLE_GAP) => {
                    last.end = last.end.max(range.end);
                }
                _ => ranges.push(range),
            }
        }
        Self { path: path.to_owned(), ranges }
    }

    /// Bytes between the ranges. llama.cpp counts them to what is mapped, from the first weight in place
    /// to the last.
    pub(super) fn gaps(&self) -> u64 {
        let pairs = self.ranges.windows(2);
        pairs.map(|pair| pair[1].start - pair[0].end).sum()
    }
}

#[cfg(target_os = "linux")]
mod moving;

#[cfg(not(target_os = "linux"))]
mod moving {
    /// Moves nothing.
    pub(in crate::llama) struct Moving;

    impl Moving {
        pub(in crate::llama) fn start(_: &[super::InPlace]) -> Option<Self> {
            None
        }

        pub(in crate::llama) fn advance(&mut self, _: f32) {}

        pub(in crate::llama) fn finish(self, _: impl FnMut() -> bool) -> Option<u64> {
            Some(0)
        }
    }
}

pub(super) use self::moving::Moving;

#[cfg(test)]
mod tests;
