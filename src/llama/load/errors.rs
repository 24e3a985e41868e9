//! Errors for models that could not be loaded, with messages from llama.cpp's log.
//!
//! llama.cpp returns no reason for a failed load. Its first logged error becomes part of the
//! message, and known phrases in the log tell a lack of memory from an unusable model.

use std::time::Instant;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::domain::Token;
use crate::engine::{LoadProgress, PromptLimit, StopFlag, Vocabulary};
use crate::llama::error::LoadError;
use crate::llama::logs::take_errors;
use crate::llama::model_ptr::model_ptr;
use crate::llama::run::FirstStep;
use crate::llama::text::LlamaVocabulary;

/// Checks that a loaded model generates text token by token.
///
/// # Errors
/// [`LoadError::Unusable`], which names the kind of model.
pub(super) fn check_generates(model: &LlamaModel, name: &str) -> Result<(), LoadError> {
    let model = model_ptr(model);
    // SAFETY: `model` points to a loaded model, which outlives the calls; they only read it.
    let (has_encoder, has_decoder, is_diffusion) = unsafe {
        (
            sys::llama_model_has_encoder(model),
            sys::llama_model_has_decoder(model),
            sys::llama_model_is_diffusion(model),
        )
    };
    let kind = match (has_encoder, has_decoder, is_diffusion) {
        (true, _, _) => "an encoder model",
        (_, false, _) => "an embedding model",
        (_, _, true) => "a diffusion model",
        _ => return Ok(()),
    };
    Err(LoadError::Unusable {
        model: name.to_owned(),
        reason: format!("it is {kind}; this server generates text token by token"),
    })
}

/// Checks that the model called `name` computes: `first_step` gets the tokens of a short text.
///
/// # Errors
/// [`LoadError::Unusable`], if no token can be sampled after them, and [`LoadError::Resources`], if
/// llama.cpp could not compute them.
pub(super) fn check_computes(
    name: &str,
    vocabulary: &LlamaVocabulary,
    progress: &LoadProgress,
    first_step: impl FnOnce(&[Token], &StopFlag) -> FirstStep,
) -> Result<(), LoadError> {
    let model = name.to_owned();
    let tokens = vocabulary.tokenize(FIRST_TEXT, &PromptLimit::none());
    let mut tokens = tokens.unwrap_or_default();
    if tokens.is_empty() {
        tokens.push(0);
    }
    let started = Instant::now();
    let outcome = first_step(&tokens, progress.stop_flag());
    tracing::debug!("the first step of {name} took {:.1?}", started.elapsed());
    match outcome {
        FirstStep::Finite => Ok(()),
        FirstStep::Interrupted => Err(LoadError::Interrupted),
        FirstStep::NotFinite => Err(LoadError::Unusable { model, reason: NOT_FINITE.to_owned() }),
        FirstStep::Failed(reason) => {
            let reason = format!("its first step failed: {reason}{}", logged(take_errors()));
            Err(LoadError::Resources { model, reason })
        }
    }
}

/// The text of the first step.
const FIRST_TEXT: &str = "Once upon a time";

/// What is wrong with a model without finite numbers.
const NOT_FINITE: &str = "its first step computes no finite number, so a weight or a hyperparameter \
     in the file is wrong; download or convert it again";

/// The error for the model called `name` whose weights llama.cpp did not load: interrupted, out of
/// memory, or unusable.
pub(super) fn weights_error(name: &str, progress: &LoadProgress) -> LoadError {
    if !progress.report(0.0) {
        return LoadError::Interrupted;
    }
    let errors = take_errors();
    let is_out_of_memory = |line: &String| OUT_OF_MEMORY.iter().any(|words| line.contains(words));
    if errors.iter().any(is_out_of_memory) {
        return LoadError::Resources {
            model: name.to_owned(),
            reason: format!("there is not enough memory for its weights{}", logged(errors)),
        };
    }
    LoadError::Unusable {
        model: name.to_owned(),
        reason: format!("llama.cpp could not load it{}", logged(errors)),
    }
}

/// Phrases that are logged when memory runs out: by `llama-model.cpp`, `ggml-backend.cpp`, the CUDA
/// driver, Vulkan and the C++ library.
const OUT_OF_MEMORY: [&str; 5] =
    ["unable to allocate", "failed to allocate", "out of memory", "OutOfDeviceMemory", "bad_alloc"];

/// The first of the logged errors as the end of a message, without the names of C++ functions that
/// precede it; empty if there is none.
pub(super) fn logged(errors: Vec<String>) -> String {
    let Some(first) = errors.into_iter().next() else { return String::new() };
    let text = first.rsplit_once("error loading model: ").map_or(first.as_str(), |(_, text)| text);
    let text = text
        .split_once(": ")
        .filter(|(function, _)| !function.contains(' '))
        .map_or(text, |(_, text)| text);
    format!(": {text}")
}
