//! The llama.cpp backend: everything from a GGUF file to generated tokens.
//!
//! This is the only module that calls llama.cpp, which needs `unsafe` code. llama.cpp
//! aborts the process on many invalid inputs, so nothing reaches it without validation. The
//! scheduling of requests and the streaming of their text are left to [`crate::engine`], whose
//! traits `Model` and `Vocabulary` this module implements.
//!
//! A model passes through five stages:
//!
//! 1. **File.** [`describe`] reads the GGUF header in plain Rust and refuses files that llama.cpp
//!    cannot load or that cannot generate text (ADR-0016).
//! 2. **Fit.** [`plan_offload`] computes from the header how many layers fit on the GPUs, and what
//!    the model takes on each device (ADR-0014).
//! 3. **Load.** [`load()`] loads the weights according to the plan, with fewer layers on the GPUs
//!    if their memory runs out (ADR-0015).
//! 4. **Run.** [`LlamaCpp`] computes steps, samples tokens, drafts tokens with a draft model, and
//!    exports and imports the sequences of the KV cache.
//! 5. **Text.** The vocabulary converts text to tokens and back, and applies the chat template. It
//!    is shared with the threads that prepare requests.

#![allow(unsafe_code)]

mod error;
mod file;
mod fit;
mod load;
mod logs;
mod model_ptr;
mod run;
mod text;

use std::ffi::CStr;

use llama_cpp_sys_2 as sys;

pub use error::LoadError;
pub use file::{
    FileExtent, HeldFiles, ModelDescription, ModelSource, describe, describe_partial, open,
};
pub use fit::{
    DevicePlan, GpuDevice, KvType, OffloadPlan, OffloadTarget, gpu_bus_ids, gpu_devices,
    plan_offload,
};
pub use load::{Options, check, check_draft, load, plan_draft, private_weights};
pub use logs::send_logs_to_tracing;
pub use run::LlamaCpp;
#[cfg(debug_assertions)]
pub use run::fault_folders;
pub use text::{BUILTIN_CHAT_TEMPLATES, builtin_chat_template};
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use text::{FuzzedTokenizer, render_with};

/// The version of the linked llama.cpp.
pub fn version() -> String {
    // SAFETY: the function has no precondition and returns a static C string.
    let version = unsafe { CStr::from_ptr(sys::llama_version()) };
    version.to_string_lossy().into_owned()
}
