//! Reads the header of a GGUF file.

mod header;
mod reader;
mod repack;
mod tokens;
mod types;

pub use self::header::FileExtent;
pub(in crate::llama) use self::header::{Header, Part, Tensor, Value};
pub(super) use self::tokens::Tokens;
