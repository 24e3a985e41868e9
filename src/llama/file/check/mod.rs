//! Rejects headers that llama.cpp cannot use, before llama.cpp sees the file (ADR-0016).
//!
//! llama.cpp asserts on many wrong values, and an assertion aborts the process. The checks here
//! report such values as errors of one line that say what to do. [`hyperparameters`] checks the
//! numbers of the architecture, [`layers`] the rules about layer caches, [`vocabulary`] the
//! tokenizer.

mod hyperparameters;
mod layers;
mod vocabulary;

use crate::llama::error::one_line;

use super::arch_metadata::ArchMetadata;
use super::gguf::Header;

/// Checks that the header describes a language model that llama.cpp can load and run, and returns
/// the metadata of its architecture.
///
/// # Errors
/// One line that says what is wrong and what to do.
pub(super) fn check_model(header: &Header) -> Result<ArchMetadata<'_>, String> {
    let meta = check_kind(header)?;
    // llama.cpp divides by some of these numbers before it checks them.
    meta.required("embedding_length")?;
    // Recurrent models have no attention heads.
    let is_recurrent = ["ssm.state_size", "wkv.head_size"].iter().any(|key| meta.has(key));
    if meta.unsigned("attention.head_count") == Some(0) && !is_recurrent {
        return Err(format!("its header says that {}.attention.head_count is 0", meta.arch()));
    }
    let n_layers = meta.required("block_count")?;
    hyperparameters::check(meta, n_layers.into())?;
    vocabulary::check(header, meta.arch())?;
    match header.tensors.iter().find_map(|tensor| tensor.type_problem.as_deref()) {
        Some(problem) => Err(one_line(problem)),
        None => Ok(meta),
    }
}

/// Checks that the file holds a model, with weights, that works on text.
fn check_kind(header: &Header) -> Result<ArchMetadata<'_>, String> {
    let arch = header
        .string("general.architecture")
        .ok_or("its header names no architecture, so it is not a language model")?;
    if let Some(kind) = header.string("general.type").filter(|&kind| kind != "model") {
        return Err(format!("it is a GGUF file of type {kind}, not a language model"));
    }
    if header.tensors.is_empty() {
        return Err("it has a vocabulary but no weights; use the file of the model itself".into());
    }
    if arch == PROJECTOR {
        return Err("it is a multimodal projector, the part of a model that encodes images; use \
                    the file of the language model"
            .to_owned());
    }
    Ok(ArchMetadata::new(header, arch))
}

/// Architecture of multimodal projector files. llama.cpp reads none of their numbers and aborts
/// later.
const PROJECTOR: &str = "clip";
