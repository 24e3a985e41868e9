//! Plans, checks and loads the draft model.
//!
//! The draft model stays on the CPU. It must have the same tokens as the main model, apart from
//! padding at the end of the vocabulary.

use std::sync::Arc;

use crate::engine::{LoadProgress, Vocabulary};
use crate::llama::error::LoadError;
use crate::llama::file::{ModelDescription, NO_CHAT_TEMPLATE};
use crate::llama::fit::{DevicePlan, choose_flash_attention, plan_offload};
use crate::llama::logs::take_errors;
use crate::llama::run::DraftModel;
use crate::llama::text::LlamaVocabulary;

use super::errors::{check_computes, check_generates, logged, weights_error};
use super::options::Options;
use super::weights::load_weights;

/// What the draft model of a main model with these `options` takes in host RAM.
pub fn plan_draft(draft: &ModelDescription, options: &Options) -> DevicePlan {
    plan_offload(draft, &options.for_draft(), &[]).cpu
}

/// Checks by the headers whether `draft` can draft for the model. The tokens themselves are
/// compared by [`super::load()`].
///
/// # Errors
/// [`LoadError::Options`] if the sizes of the vocabularies differ by more than padding.
pub fn check_draft(
    description: &ModelDescription,
    draft: &ModelDescription,
) -> Result<(), LoadError> {
    if differ_by_padding(description.n_tokens, draft.n_tokens) {
        return Ok(());
    }
    Err(vocabulary_differs(&draft.source.name()))
}

/// Loads the draft model of a main model that has `vocabulary` and runs with `options`.
///
/// # Errors
/// [`LoadError`], if it cannot be loaded, cannot draft, or has another vocabulary.
pub(super) fn load_draft(
    description: &ModelDescription,
    vocabulary: &LlamaVocabulary,
    options: Options,
    progress: &LoadProgress,
) -> Result<DraftModel, LoadError> {
    let options = options.for_draft();
    let name = description.source.name();
    let offload_plan = plan_offload(description, &options, &[]);
    // Discards errors from loading the main model.
    take_errors();
    let model = load_weights(description, &offload_plan, progress)
        .ok_or_else(|| weights_error(&name, progress))?
        .model;
    let model = Arc::new(model);
    check_generates(&model, &name)?;
    if model.is_recurrent() || model.is_hybrid() {
        return Err(LoadError::Options(format!(
            "--draft {name} is a recurrent model, which cannot undo rejected draft tokens: use a \
             model without recurrent layers, or none"
        )));
    }
    let own_vocabulary = LlamaVocabulary::new(&model, Err(NO_CHAT_TEMPLATE.to_owned()));
    let n_shared =
        shared_tokens(vocabulary, &own_vocabulary).ok_or_else(|| vocabulary_differs(&name))?;
    let flash_attention = choose_flash_attention(description, &options, false);
    let context_options = options.for_context(false, flash_attention, false);
    let mut draft =
        DraftModel::new(model, n_shared, context_options).ok_or_else(|| LoadError::Resources {
            model: name.clone(),
            reason: format!("llama.cpp could not set up its KV cache{}", logged(take_errors())),
        })?;
    check_computes(&name, &own_vocabulary, progress, |tokens, stop| {
        draft.first_step(tokens, description.info.size_bytes, stop)
    })?;
    Ok(draft)
}

/// The number of tokens that two vocabularies share, with the same ids; `None` if an id that both
/// have stands for different texts.
fn shared_tokens(a: &LlamaVocabulary, b: &LlamaVocabulary) -> Option<usize> {
    let (size_a, size_b) = (a.n_tokens(), b.n_tokens());
    let n = size_a.min(size_b);
    let is_same = (0..).take(n).all(|id| a.piece(id).shown(false) == b.piece(id).shown(false));
    (is_same && differ_by_padding(size_a as u64, size_b as u64)).then_some(n)
}

/// Whether two vocabularies of these sizes can differ by padding alone.
fn differ_by_padding(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= MAX_PADDING_TOKENS
}

/// Maximum difference in size of two vocabularies of one model family, which may be padded to
/// different multiples. llama.cpp's server has the same limit (ADR-0009).
const MAX_PADDING_TOKENS: u64 = 128;

/// The error for a draft model with another vocabulary.
fn vocabulary_differs(draft: &str) -> LoadError {
    LoadError::Options(format!(
        "--draft {draft} has another vocabulary than the model, so their tokens do not match: use \
         a smaller model of the same family, or none"
    ))
}
