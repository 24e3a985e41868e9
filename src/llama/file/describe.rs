//! Describes a model from the header of its file.
//!
//! [`open`], [`describe`] and [`describe_partial`] read the headers of all files of a model, check
//! them, and return what planning, loading and clients need. No weights are read.

use std::io::Cursor;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::ModelInfo;
use crate::llama::error::{LoadError, one_line};
use crate::llama::fit::ModelSizes;

use super::arch_metadata::ArchMetadata;
use super::check::check_model;
use super::gguf::{FileExtent, Header, TensorRole, Truncation};
use super::held::HeldFiles;
use super::layers::n_computed;
use super::load_method::{LoadMethod, RepackedCopies};
use super::path_bytes;
use super::quality::QualityFacts;
use super::split::{self, ModelFiles};
use super::stamp::{FileStamp, total_size};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSource {
    /// A GGUF file, or the first file of a split model.
    File(#[serde(with = "path_bytes::one")] PathBuf),
    /// The demo model that is built into this program.
    Demo,
}

impl ModelSource {
    /// The model's name in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Demo => "the demo model".to_owned(),
        }
    }
}

/// What the header says about a model that can generate text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// Where the model comes from.
    pub source: ModelSource,
    /// Name, architecture and sizes for people and clients.
    pub info: ModelInfo,
    /// How many bytes of the model's files exist, and how many they need; see [`describe_partial`].
    pub extent: FileExtent,
    /// Number of tokens in the vocabulary.
    pub(in crate::llama) n_tokens: u64,
    /// Sizes of the model's parts, for the memory plan.
    pub(in crate::llama) sizes: ModelSizes,
    /// The chat template that the user chose instead of the file's.
    pub(in crate::llama) chat_template: Option<String>,
    /// The model's files in order; empty for the demo model.
    #[serde(with = "path_bytes::many")]
    pub(in crate::llama) files: Vec<PathBuf>,
    /// What identifies each of the files.
    pub(in crate::llama) stamps: Vec<FileStamp>,
    /// How the weights get into host RAM.
    pub(in crate::llama) load_method: LoadMethod,
    /// What the header says about the quality of answers.
    pub(in crate::llama) quality: QualityFacts,
    /// Whether ggml may repack weights; llama.cpp aborts on some models if it does.
    pub(in crate::llama) allows_repacking: bool,
}

impl ModelDescription {
    /// The same model with another chat template: the source of a Jinja template.
    #[must_use]
    pub fn with_chat_template(mut self, source: String) -> Self {
        self.info.chat_problem = None;
        self.chat_template = Some(source);
        self
    }
}

/// Opens the files of the model at `source`, each once, and describes the model from its header.
///
/// # Errors
/// [`LoadError::Unreadable`] and [`LoadError::Unusable`], for a file that llama.cpp could not load
/// or that cannot generate text. Faults of the weights are only found by [`crate::llama::load()`].
pub fn open(source: &ModelSource) -> Result<(ModelDescription, HeldFiles), LoadError> {
    open_as(source, Truncation::Reject)
}

/// Describes the model at `source` as [`open`] does, and closes its files.
///
/// # Errors
/// The errors of [`open`].
pub fn describe(source: &ModelSource) -> Result<ModelDescription, LoadError> {
    Ok(open(source)?.0)
}

/// Describes a model whose tensors may be missing, such as one whose download is in progress.
/// [`ModelDescription::extent`] says how many bytes exist. [`crate::llama::load()`] cannot load a
/// model with missing tensors.
///
/// # Errors
/// The errors of [`describe`], except for missing tensors.
pub fn describe_partial(source: &ModelSource) -> Result<ModelDescription, LoadError> {
    Ok(open_as(source, Truncation::Accept)?.0)
}

/// Opens and describes a model. `truncation` says whether tensors may be missing.
fn open_as(
    source: &ModelSource,
    truncation: Truncation,
) -> Result<(ModelDescription, HeldFiles), LoadError> {
    let unusable = |reason: String| LoadError::Unusable { model: source.name(), reason };
    let (mut header, ModelFiles { paths: files, stamps, handles }) = match source {
        ModelSource::Demo => {
            let demo = Header::read(Cursor::new(DEMO), DEMO.len() as u64, truncation);
            (demo.map_err(unusable)?, ModelFiles::default())
        }
        ModelSource::File(path) => split::read_files(path, truncation)?,
    };
    let info = model_info(source, &header).map_err(unusable)?;
    drop_prediction_layers(&mut header, &info.arch, info.n_layers);
    let meta = ArchMetadata::new(&header, &info.arch);
    let quality = QualityFacts::read(meta);
    let mut sizes = ModelSizes::read(meta, &header.tensors, info.n_layers);
    let allows_repacking = !header.tensors.iter().any(|tensor| tensor.forbids_repacking);
    let copies = if allows_repacking {
        RepackedCopies::of(&header.tensors, sizes.is_tied)
    } else {
        RepackedCopies::default()
    };
    let load_method =
        LoadMethod::choose(&files, total_size(&stamps), &header.tensors, info.size_bytes, &copies);
    sizes.repacked = copies.extra_bytes(&load_method);
    let description = ModelDescription {
        source: source.clone(),
        info,
        extent: header.extent,
        n_tokens: header.tokens.as_ref().map_or(0, |tokens| tokens.n),
        sizes,
        chat_template: None,
        files,
        stamps,
        load_method,
        quality,
        allows_repacking,
    };
    Ok((description, HeldFiles::new(handles)))
}

impl ModelDescription {
    /// What makes the answers of this model worse, one sentence each, for requests of up to
    /// `ctx_size` tokens.
    pub fn warnings(&self, ctx_size: usize, flash_attention: bool) -> Vec<String> {
        self.quality.warnings(ctx_size as u64, flash_attention)
    }
}

/// Checks the header and extracts what people and clients see.
fn model_info(source: &ModelSource, header: &Header) -> Result<ModelInfo, String> {
    let meta = check_model(header)?;
    let stem = match source {
        ModelSource::File(path) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        ModelSource::Demo => None,
    };
    Ok(ModelInfo {
        name: header
            .string("general.name")
            .map(one_line)
            .or_else(|| stem.as_deref().map(one_line))
            .unwrap_or_else(|| "unnamed".to_owned()),
        // Saturates, since tensors of unknown types may claim to be larger than any file.
        params: header.tensors.iter().fold(0, |sum: u64, t| sum.saturating_add(t.elements)),
        size_bytes: header.tensors.iter().filter_map(|tensor| tensor.bytes).sum(),
        n_ctx_train: meta.required("context_length")?,
        n_layers: meta.required("block_count")?,
        chat_problem: (!header.has("tokenizer.chat_template")).then(|| NO_CHAT_TEMPLATE.to_owned()),
        is_demo: *source == ModelSource::Demo,
        arch: one_line(meta.arch()),
    })
}

/// Removes the tensors of multi-token prediction layers, which are not loaded.
fn drop_prediction_layers(header: &mut Header, arch: &str, n_layers: u32) {
    let n_computed = n_computed(ArchMetadata::new(header, arch), n_layers as usize);
    header.tensors.retain(|tensor| match tensor.role {
        TensorRole::Layer(i) | TensorRole::Experts(i) => (i as usize) < n_computed,
        TensorRole::Embedding | TensorRole::Input | TensorRole::Output | TensorRole::Other => true,
    });
}

/// Why a model without a chat template refuses conversations.
pub(in crate::llama) const NO_CHAT_TEMPLATE: &str = "this model has no chat template: send `prompt` \
     instead of `messages`, use an instruction-tuned model, or choose a template with \
     --chat-template";

/// The GGUF file of the demo model.
pub(in crate::llama) static DEMO: &[u8] = include_bytes!("../../../tools/demo-model/demo.gguf");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::file::gguf::{MetadataValue, Tensor};

    #[test]
    fn prediction_layers_are_dropped() {
        let predicting = ("qwen35.nextn_predict_layers", MetadataValue::Integer(1));
        let mut header = Header::of(&[predicting]);
        let roles = [
            TensorRole::Layer(0),
            TensorRole::Layer(1),
            TensorRole::Experts(1),
            TensorRole::Output,
        ];
        header.tensors = roles.map(|role| Tensor::of(role, 0, 1, None)).to_vec();
        drop_prediction_layers(&mut header, "qwen35", 2);
        let left: Vec<TensorRole> = header.tensors.iter().map(|tensor| tensor.role).collect();
        assert_eq!(left, [TensorRole::Layer(0), TensorRole::Output]);
    }
}
