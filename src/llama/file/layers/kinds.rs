//! Which layers are loaded, which have a KV cache of their own, and which have a recurrent state.
//!
//! llama.cpp decides this by architecture, in part with constants in its source. The tables here
//! repeat them.

use crate::llama::file::arch_metadata::ArchMetadata;

/// What a layer caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerKind {
    pub(super) has_kv_cache: bool,
    pub(super) has_state: bool,
}

/// The kind of `layer` in a model of `n_layers`. `kv_heads` is the layer's number of KV heads,
/// `state` the size of a recurrent state.
pub(super) fn kind(
    meta: ArchMetadata<'_>,
    layer: usize,
    n_layers: usize,
    kv_heads: u64,
    state: u64,
) -> LayerKind {
    let arch = meta.arch();
    let of = |has_kv_cache, has_state| LayerKind { has_kv_cache, has_state };
    if layer >= n_computed(meta, n_layers)
        || n_cached(meta, n_layers).is_some_and(|n_cached| layer >= n_cached)
    {
        return of(false, false);
    }
    if WITHOUT_ATTENTION.contains(&arch) {
        return of(false, true);
    }
    if arch == "falcon-h1" {
        return of(true, true);
    }
    if let Some(&(_, default)) = HYBRID.iter().find(|(name, _)| *name == arch) {
        let interval = meta.unsigned("full_attention_interval").unwrap_or(default).max(1);
        let has_state = match meta.list("attention.recurrent_layers") {
            Some(list) => list.get(layer).is_some_and(|&is_recurrent| is_recurrent != 0),
            None => !(layer as u64 + 1).is_multiple_of(interval),
        };
        return of(!has_state, has_state);
    }
    // Nemotron-H has layers that are only a feed-forward network.
    let is_feed_forward = arch.starts_with("nemotron_h")
        && meta.of_layer("feed_forward_length", layer).unwrap_or(0) > 0;
    of(kv_heads > 0 && !is_feed_forward, kv_heads == 0 && state > 0 && !is_feed_forward)
}

/// Number of layers that are loaded. The other layers predict further tokens (`nextn`, MTP), and
/// llama.cpp loads them only for its own speculative decoding (`load_mtp`).
pub(in crate::llama::file) fn n_computed(meta: ArchMetadata<'_>, n_layers: usize) -> usize {
    let predicting = meta.unsigned("nextn_predict_layers").unwrap_or(0);
    n_layers.saturating_sub(usize::try_from(predicting).unwrap_or(0))
}

/// Number of layers with a KV cache of their own, which the layers after them reuse; `None` for
/// architectures whose layers never share a cache.
pub(in crate::llama::file) fn n_cached(meta: ArchMetadata<'_>, n_layers: usize) -> Option<usize> {
    match meta.arch() {
        "gemma3n" => Some(GEMMA3N_CACHED_LAYERS.min(n_layers)),
        "gemma4" => {
            let sharing = meta.unsigned("attention.shared_kv_layers").unwrap_or(0);
            Some(n_layers.saturating_sub(usize::try_from(sharing).unwrap_or(usize::MAX)))
        }
        _ => None,
    }
}

/// Whether every n-th layer of the architecture has attention and the others a recurrent state.
pub(in crate::llama::file) fn is_hybrid(arch: &str) -> bool {
    HYBRID.iter().any(|(name, _)| *name == arch)
}

/// Hybrid architectures: every n-th layer has attention, the others a recurrent state. The number
/// is the n that llama.cpp assumes if the file has none.
const HYBRID: [(&str, u64); 5] =
    [("qwen3next", 4), ("qwen35", 4), ("qwen35moe", 4), ("qwen4exp", 4), ("minimax-01", 8)];
/// Architectures without attention.
const WITHOUT_ATTENTION: [&str; 6] = ["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"];
/// Layers of gemma3n that have a KV cache of their own.
const GEMMA3N_CACHED_LAYERS: usize = 20;
