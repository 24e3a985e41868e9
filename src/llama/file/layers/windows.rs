//! Which layers of a model attend to a sliding window only.
//!
//! A file lists the windowed layers, or gives the period of full-attention layers, or leaves both
//! to llama.cpp's defaults for the architecture, which the tables here repeat.

use crate::llama::file::arch_metadata::ArchMetadata;

/// The key of the list or the period of windowed layers.
pub(in crate::llama::file) const PATTERN_KEY: &str = "attention.sliding_window_pattern";

/// The windowed layers of a model.
pub(in crate::llama::file) struct Windows {
    /// Tokens in the window.
    pub(super) size: u64,
    /// For each layer, whether it is windowed.
    layers: Vec<bool>,
}

impl Windows {
    /// Reads the windowed layers of a model of `n_layers`; `None` if llama.cpp uses no window.
    pub(in crate::llama::file) fn read(meta: ArchMetadata<'_>, n_layers: usize) -> Option<Self> {
        let arch = meta.arch();
        let size = window_size(meta, n_layers)?;
        let default_period = PERIODS.iter().find(|(name, _)| *name == arch).map(|&(_, n)| n);
        let layers = if ALWAYS_WINDOWED.contains(&arch) {
            vec![true; n_layers]
        } else if let Some(list) = meta.list(PATTERN_KEY) {
            list.iter().take(n_layers).map(|&is_windowed| is_windowed != 0).collect()
        } else {
            let own_period = meta.unsigned(PATTERN_KEY).and_then(|n| usize::try_from(n).ok());
            let period = own_period.filter(|_| default_period.is_some()).or(default_period)?;
            let full = if FULL_LAYER_FIRST.contains(&arch) { 0 } else { period.saturating_sub(1) };
            // With a period of 0 every layer is windowed.
            (0..n_layers).map(|i| period == 0 || i % period != full).collect()
        };
        (size > 0).then_some(Self { size, layers })
    }

    /// Whether `layer` is windowed.
    pub(in crate::llama::file) fn contains(&self, layer: usize) -> bool {
        self.layers.get(layer).copied().unwrap_or(false)
    }
}

/// Tokens in the window; `None` if the model has none or llama.cpp ignores it.
fn window_size(meta: ArchMetadata<'_>, n_layers: usize) -> Option<u64> {
    let arch = meta.arch();
    let own = meta.unsigned("attention.sliding_window");
    let default = DEFAULT_WINDOWS.iter().find(|(name, _)| *name == arch).map(|&(_, size)| size);
    match (arch, own, default) {
        // llama.cpp reads the windows of these models and ignores them.
        ("phi3", ..) | ("llama4", Some(0), _) => None,
        ("llama4", _, default) => default,
        ("exaone4", ..) if n_layers != 64 => None,
        (_, own, default) => own.or(default),
    }
}

/// The window in tokens that llama.cpp assumes for models whose file has none.
const DEFAULT_WINDOWS: [(&str, u64); 3] = [("gemma2", 4096), ("llama4", 8192), ("exaone4", 4096)];

/// Architectures that have one full-attention layer per period, and the period that llama.cpp
/// assumes if the file has neither a list nor a period (`load_swa_pattern`).
const PERIODS: [(&str, usize); 16] = [
    ("afmoe", 4),
    ("cohere2", 4),
    ("cohere2moe", 4),
    ("exaone-moe", 4),
    ("exaone4", 4),
    ("gemma2", 2),
    ("gemma3", 6),
    ("gemma3n", 5),
    ("gpt-oss", 2),
    ("laguna", 4),
    ("llama4", 4),
    ("mellum", 4),
    ("muse-glimmer", 4),
    ("olmo2", 4),
    ("plamo3", 8),
    ("smallthinker", 4),
];

/// Architectures whose full-attention layer is the first of each period; for others it is the last.
const FULL_LAYER_FIRST: [&str; 3] = ["cohere2moe", "laguna", "smallthinker"];

/// Architectures in which all layers with attention are windowed.
const ALWAYS_WINDOWED: [&str; 2] = ["lfm2", "lfm2moe"];
