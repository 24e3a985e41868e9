//! The real model, and the only room that names llama.cpp.
//!
//! [`describe`] reads the header of a GGUF file in plain Rust, so that a file that cannot work is
//! refused before any C++ sees it; [`load()`] turns it into something the engine can run. The room
//! promises that nothing reaches C unvalidated, since many wrong inputs abort the process, and it
//! is the only one with `unsafe`. Who is served when, and what becomes of the text, is not its
//! business.

#![allow(unsafe_code)]

mod candidates;
mod context;
mod draft;
mod error;
mod file;
mod fit;
mod in_place;
mod load;
mod logs;
#[cfg(target_os = "linux")]
mod maps;
mod model;
mod pages;
mod read_ahead;
mod sampling;
mod text;
mod weights;

pub use error::LoadError;
pub use file::{FileExtent, ModelDescription, ModelSource, describe, describe_partial};
pub use fit::{
    DevicePlan, GpuDevice, KvType, OffloadPlan, OffloadTarget, available_memory,
    available_memory_and_swap, gpu_bus_ids, gpu_devices,
};
pub use load::{Options, check, check_draft, load, plan_draft, plan_offload};
pub use logs::send_logs_to_tracing;
pub use model::LlamaCpp;

/// The version of the linked llama.cpp.
pub fn version() -> String {
    context::llama_version()
}
