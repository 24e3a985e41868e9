//! What each layer of a model caches about earlier tokens, according to the header.
//!
//! Most layers cache the keys and values of every token in the KV cache. Others cache only the
//! tokens of a sliding window, have a recurrent state of fixed size per sequence, or use the cache
//! of an earlier layer. The rules are llama.cpp's own (`load_arch_hparams` in `src/models`,
//! `llama_model::create_memory`). This module counts numbers; [`crate::llama::fit`] turns them into
//! bytes.

mod kinds;
mod windows;

pub(super) use self::kinds::{is_hybrid, n_cached, n_computed};
pub(super) use self::windows::{PATTERN_KEY, Windows};

use serde::{Deserialize, Serialize};

use super::arch_metadata::ArchMetadata;

/// What one layer caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct LayerCache {
    /// Numbers in a token's keys, over all heads; 0 if the layer has no KV cache of its own.
    pub(in crate::llama) keys: u64,
    /// Numbers in a token's values, over all heads.
    pub(in crate::llama) values: u64,
    /// Whether the layer attends to a sliding window only.
    pub(in crate::llama) is_windowed: bool,
    /// Numbers in a sequence's recurrent state; 0 if the layer has none.
    pub(in crate::llama) state: u64,
}

/// What all layers cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::llama) struct CacheLayout {
    /// The layers, in order.
    pub(in crate::llama) layers: Vec<LayerCache>,
    /// Tokens in the sliding window of windowed layers; 0 without such layers.
    pub(in crate::llama) window: u64,
    /// Numbers in the keys of one head, in layers without a window.
    pub(in crate::llama) head_size: u64,
    /// Numbers in the keys and in the values of one head, for each kind of layer.
    all_head_sizes: Vec<u64>,
}

impl CacheLayout {
    /// Reads the layout for `n_layers` layers, from a header whose sizes have been checked to fit
    /// into 32 bits.
    pub(in crate::llama) fn read(meta: ArchMetadata<'_>, n_layers: u32) -> Self {
        let n = n_layers as usize;
        let windows = Windows::read(meta, n);
        let heads = meta.of_layer("attention.head_count", 0).unwrap_or(1).max(1);
        let even_share = meta.unsigned("embedding_length").unwrap_or(0) / heads;
        let full = HeadSizes::read(meta, "", HeadSizes { keys: even_share, values: even_share });
        let windowed = HeadSizes::read(meta, "_swa", full);
        // Latent attention computes the values from the cached keys.
        let is_latent = ["attention.key_length_mla", "attention.value_length_mla"]
            .iter()
            .all(|key| meta.unsigned(key).unwrap_or(0) > 0);
        let state = state_size(meta, heads);
        let layers = (0..n).map(|i| {
            let is_windowed = windows.as_ref().is_some_and(|windows| windows.contains(i));
            let own_heads = meta.of_layer("attention.head_count", i).unwrap_or(heads);
            let kv_heads = meta.of_layer("attention.head_count_kv", i).unwrap_or(own_heads);
            let sizes = if is_windowed { windowed } else { full };
            let kind = kinds::kind(meta, i, n, kv_heads, state);
            LayerCache {
                keys: if kind.has_kv_cache { kv_heads.saturating_mul(sizes.keys) } else { 0 },
                values: match kind.has_kv_cache && !is_latent {
                    true => kv_heads.saturating_mul(sizes.values),
                    false => 0,
                },
                is_windowed,
                state: if kind.has_state { state } else { 0 },
            }
        });
        let layers: Vec<_> = layers.collect();
        let mut all_head_sizes = vec![full.keys, full.values];
        if layers.iter().any(|layer| layer.is_windowed) {
            all_head_sizes.extend([windowed.keys, windowed.values]);
        }
        let window = windows.map_or(0, |windows| windows.size);
        Self { layers, window, head_size: full.keys, all_head_sizes }
    }

    /// Whether the keys and the values of every head are a multiple of `n` numbers.
    pub(in crate::llama) fn has_head_sizes_divisible_by(&self, n: u64) -> bool {
        self.all_head_sizes.iter().all(|size| size.is_multiple_of(n))
    }
}

/// Numbers in one head's keys and values.
#[derive(Clone, Copy)]
struct HeadSizes {
    keys: u64,
    values: u64,
}

impl HeadSizes {
    /// Reads the sizes from the keys that end in `suffix`. `default` replaces missing values.
    fn read(meta: ArchMetadata<'_>, suffix: &str, default: Self) -> Self {
        let size = |of: &str| meta.unsigned(&format!("attention.{of}_length{suffix}"));
        Self {
            keys: size("key").unwrap_or(default.keys),
            values: size("value").unwrap_or(default.values),
        }
    }
}

/// Numbers in a sequence's state, in a layer that has one, as `n_embd_r` and `n_embd_s` in
/// `llama-hparams.cpp` count them.
fn state_size(meta: ArchMetadata<'_>, heads: u64) -> u64 {
    let number = |key: &str| meta.unsigned(key).unwrap_or(0);
    let width = number("embedding_length");
    let (wkv, short) = (number("wkv.head_size"), number("shortconv.l_cache"));
    let (kda, kernel) = (number("kda.head_dim"), number("ssm.conv_kernel"));
    let (inner, size) = (number("ssm.inner_size"), number("ssm.state_size"));
    if wkv > 0 {
        width.saturating_mul(meta.unsigned("token_shift_count").unwrap_or(2).saturating_add(wkv))
    } else if short > 0 {
        width.saturating_mul(short - 1)
    } else if kda > 0 {
        let kernel = if kernel > 0 { kernel - 1 } else { 3 };
        heads.saturating_mul(kda).saturating_mul(kernel.saturating_mul(3).saturating_add(kda))
    } else {
        let groups = number("ssm.group_count").saturating_mul(size).saturating_mul(2);
        let convolved = kernel.saturating_sub(1).saturating_mul(inner.saturating_add(groups));
        convolved.saturating_add(inner.saturating_mul(size))
    }
}

#[cfg(test)]
mod tests;
