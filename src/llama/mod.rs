//! The real model, and the only room that names llama.cpp.
//!
//! [`describe`] reads the header of a GGUF file in plain Rust, so that a file that cannot work is
//! refused before any C++ sees it; [`load()`] turns it into something the engine can run. The room
//! promises that nothing reaches C unvalidated, since many wrong inputs abort the process, and it
//! is the only one with `unsafe`. Who is served when, and what becomes of the text, is not its
//! business.

#![allow(unsafe_code)]

mod attention;
mod deviation;
mod devices;
mod error;
mod gguf;
mod layers;
mod load;
mod logs;
mod offload;
mod pieces;
mod run;
mod source;
mod special;
mod template;
mod vocabulary;

pub use devices::{gpu_bus_ids, gpu_devices};
pub use error::LoadError;
pub use gguf::FileExtent;
pub use load::{Options, check, check_draft, load, plan_draft, plan_offload};
pub use logs::send_logs_to_tracing;
pub use offload::{DevicePlan, GpuDevice, KvType, OffloadPlan, OffloadTarget};
pub use run::LlamaCpp;
pub use source::{
    ModelDescription, ModelSource, describe, describe_partial, spare_memory, takeable_memory,
};

/// The version of the linked llama.cpp.
pub fn version() -> String {
    run::llama_version()
}
