//! Runs a loaded model.

mod context;
mod draft;
mod model;
mod sampling;

pub(super) use self::context::{Context, ContextOptions, llama_version, raw};
pub(super) use self::draft::{DraftModel, may_be_same, shared_tokens};
pub use self::model::LlamaCpp;
pub(super) use self::model::Retention;
