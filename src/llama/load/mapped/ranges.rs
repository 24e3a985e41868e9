//! The parts of a model file that are computed from in place.
//!
//! They are the weights of which ggml makes no repacked copy, and the token embeddings, which are
//! looked up in the file's layout even if a copy exists.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::llama::file::{Tensor, path_bytes};

/// The parts of a model file whose weights are not repacked, so that they are computed from where
/// they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct InPlaceRanges {
    /// The file.
    #[serde(with = "path_bytes::one")]
    pub(super) path: PathBuf,
    /// Ranges of bytes in the file, ascending and at least [`MIN_GAP_BYTES`] apart.
    pub(super) ranges: Vec<Range<u64>>,
}

impl InPlaceRanges {
    /// The ranges of the file at `path`, which holds these tensors.
    pub(in crate::llama) fn of<'a>(path: &Path, tensors: impl Iterator<Item = &'a Tensor>) -> Self {
        let mut in_place: Vec<Range<u64>> = tensors
            .filter(|tensor| !tensor.is_replaced_by_copy())
            .map(|tensor| tensor.offset..tensor.offset.saturating_add(tensor.bytes.unwrap_or(0)))
            .collect();
        in_place.sort_by_key(|range| range.start);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in in_place {
            match ranges.last_mut() {
                Some(last) if range.start < last.end.saturating_add(MIN_GAP_BYTES) => {
                    last.end = last.end.max(range.end);
                }
                _ => ranges.push(range),
            }
        }
        Self { path: path.to_owned(), ranges }
    }

    /// The same ranges of a file that is found at `path`.
    pub(in crate::llama) fn move_to(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
    }

    /// Number of bytes between the ranges. llama.cpp reports everything from the first to the last
    /// in-place weight as mapped, including the gaps.
    pub(super) fn gaps(&self) -> u64 {
        let pairs = self.ranges.windows(2);
        pairs.map(|pair| pair[1].start - pair[0].end).sum()
    }
}

/// Minimum gap between two ranges. Smaller gaps, such as the alignment between two tensors, do not
/// split a range.
const MIN_GAP_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init, reason = "a file can have a single in-place range")]

    use super::*;
    use crate::llama::file::TensorRole;

    #[test]
    fn weights_without_repacked_copy_and_embeddings_are_in_place() {
        let tensors = [
            Tensor::of(TensorRole::Layer(0), 500_000, 100_000, Some(100_000)),
            Tensor::of(TensorRole::Embedding, 1_000, 99_000, Some(99_000)),
            Tensor::of(TensorRole::Layer(0), 100_032, 64, None),
            Tensor::of(TensorRole::Output, 800_000, 1_000, None),
        ];
        let in_place = InPlaceRanges::of(Path::new("a.gguf"), tensors.iter());
        assert_eq!(in_place.ranges, [1_000..100_096, 800_000..801_000]);
        assert_eq!(in_place.gaps(), 699_904);
        assert_eq!(InPlaceRanges::of(Path::new("a.gguf"), tensors[..1].iter()).gaps(), 0);
    }
}
