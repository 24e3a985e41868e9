//! Runs a loaded model: computes steps, samples tokens, drafts tokens.
//!
//! [`LlamaCpp`] implements the engine's trait [`Model`](crate::engine::Model). It owns a
//! [`Context`], which wraps llama.cpp's context with its KV cache, and a [`DraftModel`] if there is
//! one, which has a context of its own. [`FirstStep`] tells whether a loaded model computes at all.
//! [`SequenceReuse`] says which parts of a sequence can be used again. [`sampling`] draws the next
//! token from the logits of a step, and [`threads`] chooses the number of compute threads.

mod context;
mod draft;
#[cfg(all(debug_assertions, target_os = "linux"))]
mod escape;
#[cfg(debug_assertions)]
pub(super) mod fault;
mod first_step;
mod model;
mod passes;
mod reuse;
mod sampling;
mod threads;

pub(super) use self::context::{Context, ContextOptions};
pub(super) use self::draft::DraftModel;
#[cfg(debug_assertions)]
pub use self::fault::fault_folders;
pub(super) use self::first_step::FirstStep;
pub use self::model::LlamaCpp;
pub(super) use self::reuse::SequenceReuse;
pub(super) use self::threads::AdaptiveThreads;
