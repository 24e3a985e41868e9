//! Reads and validates the header of a GGUF file, without llama.cpp.
//!
//! [`Header::read`] turns the first bytes of a file into metadata, tensors and a summary of the
//! vocabulary. It rejects a file whose structure is broken; [`super::check`] judges what the values
//! mean for llama.cpp.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little
//! endian.

mod header;
mod metadata;
mod reader;
mod repack;
mod tensor;
mod tensor_info;
mod tokens;
mod types;

pub use self::header::FileExtent;
pub(in crate::llama) use self::header::Header;
pub(super) use self::header::Truncation;
#[cfg(test)]
pub(in crate::llama) use self::metadata::MetadataValue;
pub(in crate::llama) use self::tensor::{Tensor, TensorRole};
pub(super) use self::tokens::TokenSummary;
