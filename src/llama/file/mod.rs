//! The model's GGUF file: its header, what the header says, and whether llama.cpp can use it.

mod check;
mod describe;
mod gguf;
mod layers;
mod split;

pub(super) use self::describe::{DEMO, Way, length};
pub use self::describe::{
    ModelDescription, ModelSource, describe, describe_partial, spare_memory, takeable_memory,
};
pub use self::gguf::FileExtent;
pub(super) use self::gguf::{Header, Part, Tensor};
pub(super) use self::layers::{Kept, Memory};
