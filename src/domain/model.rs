//! Facts about the model.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The description of a model, read from the header of its file before the weights are loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Display name: `general.name`, or the name of the file if that is missing.
    pub name: String,
    /// Architecture, as llama.cpp spells it (`llama`, `qwen2`).
    pub arch: String,
    /// Number of weights.
    pub params: u64,
    /// Size of all tensors in bytes.
    pub size_bytes: u64,
    /// Length of the context that the model was trained on, in tokens.
    pub n_ctx_train: u32,
    /// Number of transformer layers.
    pub n_layers: u32,
    /// Why requests with `messages` are refused, as far as the header tells: the model has no chat
    /// template. `None` if it has one.
    pub chat_problem: Option<String>,
    /// Whether this is the built-in demo model.
    pub is_demo: bool,
}

/// The memory for one purpose on one device, as planned and as allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// The purpose: `weights`, `kv` or `compute`.
    pub name: Cow<'static, str>,
    /// The device: `cpu`, or a GPU by the name that the model library gives it (`CUDA0`).
    pub device: String,
    /// Bytes that the plan estimated.
    pub planned_bytes: u64,
    /// Bytes that the model library reports.
    pub taken_bytes: u64,
}

/// Why a model was not loaded, for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadFailure {
    /// One line that says what is wrong and what to do.
    pub message: String,
    /// The exit code of a program that ends for this reason.
    pub exit_code: u8,
}
