//! How the weights of a model get from its files into host RAM (ADR-0015).
//!
//! The choice depends on the size of the model, the available memory, and how much of the weights
//! ggml repacks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::llama::load::{InPlaceRanges, can_replace_mappings};
use crate::machine::available_memory;

use super::gguf::Tensor;

/// How the weights of a model get from its files into host RAM, if no layer is offloaded. With
/// offloaded layers the files are mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) enum LoadMethod {
    /// Read the files into anonymous memory, which can have huge pages.
    Read,
    /// Map the files and compute from their pages. The kernel can drop such pages when memory is
    /// short, which matters for a model that takes more than half of the available memory.
    Mapped,
    /// Map the files while ggml repacks most weights from them, and move the weights that are not
    /// repacked into anonymous memory.
    Repacked(Vec<InPlaceRanges>),
}

impl LoadMethod {
    /// Chooses the method for a model with these files, which have `file_bytes`, and these tensors
    /// and bytes of weights. A model without files is the built-in demo model.
    pub(super) fn choose(
        files: &[PathBuf],
        file_bytes: u64,
        tensors: &[Tensor],
        weight_bytes: u64,
        copies: &RepackedCopies,
    ) -> Self {
        let available = available_memory().map_or(0, |memory| memory.bytes);
        if files.is_empty() {
            Self::Read
        } else if is_better_mapped(weight_bytes, copies.bytes, available) {
            Self::Mapped
        } else if can_replace_mappings() && is_mostly_repacked(file_bytes, copies.replaced_bytes) {
            let in_place = |(file, path): (usize, &PathBuf)| {
                InPlaceRanges::of(path, tensors.iter().filter(|tensor| tensor.file == file))
            };
            Self::Repacked(files.iter().enumerate().map(in_place).collect())
        } else {
            Self::Read
        }
    }
}

/// The repacked copies of weights that ggml computes from.
#[derive(Debug, Default)]
pub(super) struct RepackedCopies {
    /// Bytes of the copies.
    bytes: u64,
    /// Bytes of weights that ggml reads only to repack them. They are released afterwards, unless
    /// the files stay mapped.
    replaced_bytes: u64,
}

impl RepackedCopies {
    /// The copies that ggml makes of `tensors`. `is_tied` says that the token embeddings also serve
    /// as the output matrix.
    pub(super) fn of(tensors: &[Tensor], is_tied: bool) -> Self {
        let mut copies = Self::default();
        for tensor in tensors {
            let Some(bytes) = tensor.repacked_bytes else { continue };
            if tensor.is_replaced_by_copy() {
                copies.bytes += bytes;
                copies.replaced_bytes += tensor.bytes.unwrap_or(0);
            } else if is_tied {
                copies.bytes += bytes;
            }
        }
        copies
    }

    /// Bytes of host RAM that the copies take in addition to the weights in the files.
    pub(super) fn extra_bytes(&self, method: &LoadMethod) -> u64 {
        match method {
            LoadMethod::Mapped => self.bytes,
            LoadMethod::Read | LoadMethod::Repacked(_) => self.bytes - self.replaced_bytes,
        }
    }
}

/// Whether to map the files: the model takes more than half of the available memory, and at most
/// half of it is repacked.
fn is_better_mapped(weight_bytes: u64, copied_bytes: u64, available: u64) -> bool {
    copied_bytes.saturating_mul(2) <= weight_bytes && weight_bytes > available / 2
}

/// Whether repacking replaces more than half of the files' bytes. Files are mapped as a whole, so
/// their whole size counts.
fn is_mostly_repacked(file_bytes: u64, replaced_bytes: u64) -> bool {
    replaced_bytes.saturating_mul(2) > file_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_mapped_if_it_is_large_for_the_machine_and_little_is_repacked() {
        assert!(!is_better_mapped(800, 100, 20_000), "huge pages are worth the memory");
        assert!(is_better_mapped(800, 100, 1_500));
        assert!(is_better_mapped(800, 0, 0), "the available memory is unknown");
        assert!(!is_better_mapped(800, 500, 1_500), "pages and copies would take memory together");
    }
}
