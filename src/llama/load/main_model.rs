//! Loads the main model with a given plan.
//!
//! A load fails as a whole: weights without a context are dropped. [`super::retry`] decides whether
//! another plan is tried.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;

use crate::engine::{LoadProgress, Vocabulary};
use crate::llama::error::LoadError;
use crate::llama::file::{ModelDescription, NO_CHAT_TEMPLATE};
use crate::llama::fit::{OffloadPlan, choose_flash_attention};
use crate::llama::logs::{take_buffers, take_errors};
use crate::llama::run::{Context, FirstStep, SequenceReuse};
use crate::llama::text::{LlamaVocabulary, vocabulary_warnings};

use super::errors::{check_computes, check_generates, logged, weights_error};
use super::memory::compare_with_plan;
use super::options::Options;
use super::weights::{LoadedWeights, load_weights};

/// The main model, loaded. The draft model is separate.
pub(super) struct MainModel {
    pub(super) context: Context,
    pub(super) vocabulary: Arc<LlamaVocabulary>,
    pub(super) reuse: SequenceReuse,
}

/// Loads the weights, creates the context according to `offload_plan`, and computes a first step.
/// Reports to `progress` what they take on each device, how many layers are offloaded, and what
/// makes answers worse.
///
/// # Errors
/// [`LoadError`]. [`LoadError::Resources`] means that memory ran out.
pub(super) fn load_with_plan(
    description: &ModelDescription,
    options: Options,
    offload_plan: &OffloadPlan,
    progress: &LoadProgress,
) -> Result<MainModel, LoadError> {
    let name = description.source.name();
    // Discards what an earlier load has logged.
    take_errors();
    take_buffers();
    let LoadedWeights { model, released_bytes } = load_weights(description, offload_plan, progress)
        .ok_or_else(|| weights_error(&name, progress))?;
    let model = Arc::new(model);
    check_generates(&model, &name)?;
    let vocabulary = Arc::new(LlamaVocabulary::new(&model, chat_template(description, &model)));
    let mut warnings = vocabulary_warnings(&model);
    warnings.extend(chat_warning(&vocabulary, description)?);
    progress.warnings(warnings);
    let is_offloaded = offload_plan.gpu_layers > 0;
    let flash_attention = choose_flash_attention(description, &options, is_offloaded);
    let has_tiles = !is_offloaded && flash_attention != Some(false);
    let reuse = SequenceReuse::of(&model, has_tiles);
    let context_options =
        options.for_context(is_offloaded, flash_attention, reuse.can_drop_tokens());
    let mut context = Context::new(model, context_options).ok_or_else(|| {
        let reason = format!(
            "llama.cpp could not set up a KV cache of {} tokens for each slot{}; use a smaller \
             --ctx-size, --parallel or --kv-size",
            options.slot_tokens,
            logged(take_errors()),
        );
        LoadError::Resources { model: name.clone(), reason }
    })?;
    check_computes(&name, &vocabulary, progress, |tokens, stop| {
        FirstStep::of(&mut context, tokens, description.info.size_bytes, stop)
    })?;
    progress.memory(compare_with_plan(offload_plan, &take_buffers(), released_bytes));
    progress.offloaded(offload_plan.gpu_layers);
    Ok(MainModel { context, vocabulary, reuse })
}

/// What to warn of if the chat template in the file cannot be used.
///
/// # Errors
/// [`LoadError::Options`], if the user chose a template that cannot be used.
fn chat_warning(
    vocabulary: &LlamaVocabulary,
    description: &ModelDescription,
) -> Result<Option<String>, LoadError> {
    let Some(problem) = vocabulary.chat_problem() else { return Ok(None) };
    if description.chat_template.is_some() {
        return Err(LoadError::Options(format!("--chat-template: {problem}")));
    }
    Ok((problem != NO_CHAT_TEMPLATE).then(|| {
        format!(
            "{problem}; requests with `messages` will be refused, unless --chat-template names \
             another template"
        )
    }))
}

/// The source of the chat template: the one that the user chose, or the one in the file.
///
/// # Errors
/// Why there is none.
fn chat_template(description: &ModelDescription, model: &LlamaModel) -> Result<String, String> {
    let of_file = || model.meta_val_str("tokenizer.chat_template").ok();
    description.chat_template.clone().or_else(of_file).ok_or_else(|| NO_CHAT_TEMPLATE.to_owned())
}
