//! Loads a described model and its draft model, ready to compute.
//!
//! The [`options`] and the offload plan that [`super::fit`] made from them are given.
//! [`main_model`] loads the weights and creates the context according to the plan, [`retry`]
//! repeats that with less on the GPUs if their memory runs out, and [`draft`] loads the draft
//! model.
//!
//! [`weights`] calls llama.cpp's loader. [`prefetch`], [`mapped`] and [`huge_pages`] make loading
//! and computing faster (ADR-0015). [`memory`] compares the plan with what llama.cpp allocated, and
//! [`errors`] turns what llama.cpp logged into error messages.

mod draft;
mod errors;
mod huge_pages;
mod main_model;
mod mapped;
mod memory;
mod options;
mod prefetch;
mod retry;
mod weights;

use std::sync::OnceLock;
use std::time::Instant;

use llama_cpp_2::llama_backend::LlamaBackend;

use crate::engine::{LoadProgress, Loaded};

use super::error::LoadError;
use super::file::ModelDescription;
use super::fit::OffloadPlan;
use super::run::{AdaptiveThreads, LlamaCpp};

pub use self::draft::{check_draft, plan_draft};
pub(super) use self::huge_pages::PageWorker;
pub(super) use self::mapped::{InPlaceRanges, can_replace_mappings};
pub use self::options::{Options, check};
pub use self::weights::private_weights;

/// llama.cpp's backend. It is started once and stays for the life of the process, which may load
/// several models.
static LLAMA_BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();

/// Loads a model, and the draft model for it if there is one, on the calling thread. The loaded
/// models may be used on this thread only.
///
/// If a GPU has less free memory than `offload_plan` assumes, loading is repeated with less on the
/// GPUs, and a warning is logged.
///
/// # Errors
/// [`LoadError`]. Its message includes the first error that llama.cpp logged. A file that changes
/// while it is loaded is an error too.
pub fn load(
    description: &ModelDescription,
    draft: Option<&ModelDescription>,
    options: Options,
    offload_plan: OffloadPlan,
    progress: &LoadProgress,
) -> Result<Loaded<LlamaCpp>, LoadError> {
    #[cfg(debug_assertions)]
    super::run::fault::due_in_load();
    // Created now, so that the first step knows what other programs did during the load.
    let threads =
        options.has_adaptive_threads.then(|| AdaptiveThreads::new(options.threads, Instant::now()));
    LLAMA_BACKEND.get_or_init(|| LlamaBackend::init().ok());
    let size = |description: &ModelDescription| description.extent.needed as f32;
    let (main_size, draft_size) = (size(description), draft.map_or(0.0, size));
    let (progress, draft_progress) = progress.split_at(main_size / (main_size + draft_size));
    let main = retry::load_main_model(description, options, offload_plan, &progress)?;
    let draft_description = draft;
    let draft = draft
        .map(|draft| draft::load_draft(draft, &main.vocabulary, options, &draft_progress))
        .transpose()?;
    for description in [Some(description), draft_description].into_iter().flatten() {
        description.check_unchanged()?;
    }
    let limits = options.limits(main.reuse);
    let model =
        LlamaCpp::new(main.context, draft, main.vocabulary.clone(), limits, main.reuse, threads);
    Ok(Loaded { model, vocabulary: main.vocabulary })
}
