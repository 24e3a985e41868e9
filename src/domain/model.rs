//! What the house knows of its model before the weights are loaded.

/// What one kind of buffer was planned to take in one place, and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPart {
    /// What it is for: `weights`, `kv` or `compute`.
    pub name: &'static str,
    /// Where it is: `cpu`, or a card as the model library calls it (`CUDA0`).
    pub device: String,
    /// Bytes that were planned.
    pub planned: u64,
    /// Bytes that the model library reports.
    pub taken: u64,
}

/// The description of a model, read from the header of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Its name for people: `general.name`, else the file's name.
    pub name: String,
    /// Its architecture, as llama.cpp spells it (`llama`, `qwen2`, …).
    pub arch: String,
    /// Number of weights.
    pub params: u64,
    /// Bytes of all tensors.
    pub size_bytes: u64,
    /// The longest context it was trained on, in tokens.
    pub n_ctx_train: u32,
    /// Number of transformer layers.
    pub n_layers: u32,
    /// Whether it brings a chat template, so that `messages` can be rendered.
    pub chat: bool,
    /// Whether this is the built-in demo model, a toy.
    pub demo: bool,
}
