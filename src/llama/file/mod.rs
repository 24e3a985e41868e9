//! The model's file: what its GGUF header says, and whether llama.cpp can use the model.
//!
//! [`describe()`] reads the header in plain Rust ([`gguf`]), over all files of a split model
//! ([`split`]), and rejects what llama.cpp could not load or would abort on ([`check`]). The
//! result, a [`ModelDescription`], has all that planning and loading need: the sizes of the model's
//! parts, which follow from its tensors and from what its layers cache ([`layers`]), and the way
//! its weights get into host RAM ([`load_method`]). The daemon keeps the files open for its runners
//! ([`held`]), which find them again or tell that they have changed ([`located`], [`stamp`]). No
//! weights are read here; that is left to
//! [`crate::llama::load()`].

mod arch_metadata;
mod check;
mod describe;
mod gguf;
mod held;
mod layers;
mod load_method;
mod located;
pub(super) mod path_bytes;
mod quality;
mod split;
mod stamp;

pub(super) use self::arch_metadata::ArchMetadata;
pub(super) use self::describe::{DEMO, NO_CHAT_TEMPLATE};
pub use self::describe::{ModelDescription, ModelSource, describe, describe_partial, open};
pub use self::gguf::FileExtent;
pub(super) use self::gguf::{Tensor, TensorRole};
pub use self::held::HeldFiles;
pub(super) use self::layers::{CacheLayout, LayerCache};
pub(super) use self::load_method::LoadMethod;
