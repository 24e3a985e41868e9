//! Rejects hyperparameters that llama.cpp asserts against or cannot compute with.
//!
//! Most checks mirror an assertion, a division or a limit in llama.cpp. A value that llama.cpp
//! itself reports as an error is left to it.

use std::fmt::Display;

use crate::llama::file::arch_metadata::ArchMetadata;

use super::layers;

/// Checks all hyperparameters. `n_layers` is the block count, which is above zero.
///
/// # Errors
/// One line with the key, its value and what the value must be.
pub(super) fn check(meta: ArchMetadata<'_>, n_layers: u64) -> Result<(), String> {
    let arch = meta.arch();
    if EMBEDDING.contains(&arch) {
        return Err(format!(
            "it is an embedding model ({arch}); this server generates text token by token"
        ));
    }
    if WITHOUT_TEXT.contains(&arch) {
        return Err(format!(
            "it is a model that writes no text ({arch}); this server generates text token by token"
        ));
    }
    check_sizes(meta)?;
    check_states(meta)?;
    check_layer_count(meta, n_layers)?;
    check_experts(meta)?;
    check_heads(meta)?;
    check_rope(meta)?;
    check_floats(meta)?;
    layers::check(meta, n_layers.min(MAX_LAYERS) as usize)
        .map_err(|violation| wrong(meta, violation.key, violation.value, &violation.rule))?;
    if meta.boolean("attention.causal") == Some(false) {
        return Err("its attention is not causal (attention.causal is false), so it is an \
                    embedding model; this server generates text token by token"
            .to_owned());
    }
    Ok(())
}

/// The error for a wrong `value` of `key`. `rule` says what the value must be.
fn wrong(meta: ArchMetadata<'_>, key: &str, value: impl Display, rule: &str) -> String {
    format!(
        "its header says that {}.{key} is {value}; {rule}; convert or download the model again",
        meta.arch()
    )
}

/// Checks the numbers that llama.cpp reads as unsigned 32-bit integers.
fn check_sizes(meta: ArchMetadata<'_>) -> Result<(), String> {
    let out_of_range = |key: &&str| {
        let number = meta.numbers(key).iter().find(|&&n| u32::try_from(n).is_err());
        number.map(|n| wrong(meta, key, n, "it must be an unsigned 32-bit integer"))
    };
    UNSIGNED_32_BIT.iter().find_map(out_of_range).map_or(Ok(()), Err)
}

/// Checks the numbers of parts of recurrent states. llama.cpp divides by them before it checks
/// them.
fn check_states(meta: ArchMetadata<'_>) -> Result<(), String> {
    let state_parts: &[&str] = match GROUPED_STATES.contains(&meta.arch()) {
        true => &["ssm.group_count", "ssm.time_step_rank"],
        false => &[],
    };
    let parts = [("wkv.head_size", "embedding_length")].into_iter();
    for (key, whole) in parts.chain(state_parts.iter().map(|&key| (key, "ssm.inner_size"))) {
        let (Some(n), Some(whole_n)) = (meta.unsigned(key), meta.unsigned(whole)) else { continue };
        if whole_n > 0 && (n == 0 || !whole_n.is_multiple_of(n)) {
            let rule = format!("it must be above zero and divide {whole}, {whole_n}");
            return Err(wrong(meta, key, n, &rule));
        }
    }
    Ok(())
}

/// Checks the number of layers against llama.cpp's limit and against the number of tensors.
fn check_layer_count(meta: ArchMetadata<'_>, n_layers: u64) -> Result<(), String> {
    if n_layers > MAX_LAYERS {
        let rule = format!("llama.cpp supports at most {MAX_LAYERS}");
        return Err(wrong(meta, "block_count", n_layers, &rule));
    }
    let n_tensors = meta.header().tensors.len() as u64;
    if n_layers > n_tensors {
        let rule = format!("the file has only {n_tensors} tensors");
        return Err(wrong(meta, "block_count", n_layers, &rule));
    }
    match meta.unsigned("nextn_predict_layers") {
        Some(n) if n >= n_layers => {
            let rule = format!("it must be less than the model's {n_layers} layers");
            Err(wrong(meta, "nextn_predict_layers", n, &rule))
        }
        _ => Ok(()),
    }
}

/// Checks the numbers of experts and expert groups, and how many of them a token uses.
fn check_experts(meta: ArchMetadata<'_>) -> Result<(), String> {
    let mut count = meta.unsigned("expert_count").unwrap_or(0);
    let most_used = meta.numbers("expert_used_count").iter().copied().max().unwrap_or(0);
    let mut used = u64::try_from(most_used).unwrap_or(0);
    let groups = meta.unsigned("expert_group_count").unwrap_or(0);
    let used_groups = meta.unsigned("expert_group_used_count").unwrap_or(0);
    if count <= 1 && ONE_EXPERT_IS_NONE.contains(&meta.arch()) {
        (count, used) = (0, 0);
    }
    if count == 0 && ALWAYS_EXPERTS.contains(&meta.arch()) {
        let rule = "a model of this architecture must have experts";
        return Err(wrong(meta, "expert_count", count, rule));
    }
    if count > MAX_EXPERTS {
        let rule = format!("llama.cpp supports at most {MAX_EXPERTS}");
        return Err(wrong(meta, "expert_count", count, &rule));
    }
    if used > count || (used == 0 && count > 0) {
        let rule = match count {
            0 => "it must be 0 without experts".to_owned(),
            _ => format!("it must be above zero and at most expert_count, {count}"),
        };
        return Err(wrong(meta, "expert_used_count", used, &rule));
    }
    // One group, or none, means that the experts are not grouped.
    if groups > 0 && (groups >= count || !count.is_multiple_of(groups)) {
        let rule = format!("it must divide expert_count, {count}, and be less than it");
        return Err(wrong(meta, "expert_group_count", groups, &rule));
    }
    if groups > 1 && !(1..groups).contains(&used_groups) {
        let rule = format!("it must be above zero and less than expert_group_count, {groups}");
        return Err(wrong(meta, "expert_group_used_count", used_groups, &rule));
    }
    Ok(())
}

/// Checks that every KV head serves the same number of query heads.
fn check_heads(meta: ArchMetadata<'_>) -> Result<(), String> {
    let heads = meta.numbers("attention.head_count");
    let kv_heads = meta.numbers("attention.head_count_kv");
    let of_layer = |list: &[i128], i: usize| match list {
        [one] => *one,
        _ => list.get(i).copied().unwrap_or(0),
    };
    for i in 0..heads.len().max(kv_heads.len()) {
        let (n, n_kv) = (of_layer(heads, i), of_layer(kv_heads, i));
        // Some layers of hybrid models have no attention.
        let is_without = n == 0 || (n_kv == 0 && kv_heads.len() != 1);
        if !is_without && (n_kv <= 0 || n % n_kv != 0) {
            let rule = format!("it must be above zero and divide the layer's {n} heads");
            return Err(wrong(meta, "attention.head_count_kv", n_kv, &rule));
        }
    }
    check_key_projections(meta, kv_heads)
}

/// Checks the key projections against the number of KV heads, if the number differs between layers.
/// For many architectures llama.cpp checks only the first layer when it loads, but computes with
/// all layers.
fn check_key_projections(meta: ArchMetadata<'_>, kv_heads: &[i128]) -> Result<(), String> {
    if kv_heads.iter().all(|n| Some(n) == kv_heads.first()) {
        return Ok(());
    }
    for (layer, keys) in meta.header().tensors.iter().filter_map(|tensor| tensor.keys) {
        let Some(&n) = kv_heads.get(layer) else { continue };
        let is_whole = n > 0 && i128::from(keys) % n == 0;
        let size = if is_whole { i128::from(keys) / n } else { 0 };
        if !is_whole || !head_sizes(meta).any(|known| i128::from(known) == size) {
            let rule = format!("the keys of layer {layer} have {keys} numbers, which does not fit");
            return Err(wrong(meta, "attention.head_count_kv", n, &rule));
        }
    }
    Ok(())
}

/// The head sizes of keys: of full-attention layers, and of windowed layers if the file has that.
fn head_sizes(meta: ArchMetadata<'_>) -> impl Iterator<Item = u64> {
    let full = meta.unsigned("attention.key_length").or_else(|| even_head_size(meta));
    full.into_iter().chain(meta.unsigned("attention.key_length_swa"))
}

/// The width of the model divided by the heads of the first layer; `None` without heads.
fn even_head_size(meta: ArchMetadata<'_>) -> Option<u64> {
    let heads = u64::try_from(*meta.numbers("attention.head_count").first()?).ok()?;
    meta.unsigned("embedding_length").unwrap_or(0).checked_div(heads)
}

/// Checks the rotary position embedding, which rotates pairs of numbers within a head.
fn check_rope(meta: ArchMetadata<'_>) -> Result<(), String> {
    let key = "rope.scaling.type";
    if let Some(name) = meta.string(key).filter(|name| !ROPE_SCALINGS.contains(name)) {
        let rule = format!("llama.cpp knows {}", ROPE_SCALINGS.join(", "));
        return Err(wrong(meta, key, name, &rule));
    }
    if meta.has(key) && meta.string(key).is_none() {
        return Err(wrong(meta, key, "not a string", "it must be the name of a scaling method"));
    }
    let sections = meta.numbers("rope.dimension_sections");
    if ROPE_SECTIONS.contains(&meta.arch()) && sections.iter().take(3).all(|&n| n <= 0) {
        let rule = "one of its first three numbers must be above zero";
        return Err(wrong(meta, "rope.dimension_sections", "empty", rule));
    }
    let Some(even) = even_head_size(meta) else { return Ok(()) };
    let head = meta.unsigned("attention.key_length").unwrap_or(even);
    check_rotated(meta, "rope.dimension_count", head)?;
    let head = meta.unsigned("attention.key_length_swa").unwrap_or(head);
    check_rotated(meta, "rope.dimension_count_swa", head)
}

/// Checks that the number of rotated dimensions at `key` is even and fits into a head of this size.
fn check_rotated(meta: ArchMetadata<'_>, key: &str, head: u64) -> Result<(), String> {
    match meta.unsigned(key) {
        Some(n) if n > head || n % 2 != 0 => {
            let rule = format!("it must be even and at most the head size, {head}");
            Err(wrong(meta, key, n, &rule))
        }
        _ => Ok(()),
    }
}

/// Checks that all floats are finite numbers, and that epsilons, RoPE bases and divisors are in
/// their ranges. Outside of them, all logits would be NaN, and every request would fail.
fn check_floats(meta: ArchMetadata<'_>) -> Result<(), String> {
    for (key, value) in meta.floats() {
        let (is_right, rule) = if key.ends_with("epsilon") {
            // ggml asserts this in the first step.
            (value.is_finite() && value >= 0.0, "it must be a finite number, zero or above")
        } else if key.ends_with("rope.freq_base") || key.ends_with("rope.freq_base_swa") {
            // Angles grow by a negative power of the base; far below 1 they overflow.
            (value.is_finite() && value >= 1.0, "it must be a finite number, 1 or above")
        } else if DIVISORS.iter().any(|divisor| key.ends_with(divisor)) {
            let is_right = value == 0.0 || value.is_finite() && value.abs() >= MIN_DIVISOR;
            (is_right, "it must be 0 or a finite number that is not almost 0")
        } else {
            (value.is_finite(), "it must be a finite number")
        };
        if !is_right {
            // With an exponent: some of these values have 45 digits.
            return Err(wrong(meta, key, format!("{:?}", value as f32), rule));
        }
    }
    Ok(())
}

/// The ends of keys of floats that llama.cpp divides by, unless they are 0.
const DIVISORS: [&str; 4] =
    ["attn_logit_softcapping", "final_logit_softcapping", "logit_scale", "rope.scaling.factor"];
/// Least magnitude of such a float. Models have 0.01 and above.
const MIN_DIVISOR: f64 = 1e-6;
/// Maximum number of layers that llama.cpp supports (`LLAMA_MAX_LAYERS`).
const MAX_LAYERS: u64 = 512;
/// Maximum number of experts that llama.cpp supports (`LLAMA_MAX_EXPERTS`).
const MAX_EXPERTS: u64 = 1024;
/// The RoPE scaling methods that llama.cpp knows; it asserts that the name is one of them.
const ROPE_SCALINGS: [&str; 4] = ["none", "linear", "yarn", "longrope"];
/// Architectures that rotate by sections of a position; llama.cpp asserts that one is above zero.
const ROPE_SECTIONS: [&str; 6] =
    ["paddleocr", "qwen2vl", "qwen35", "qwen35moe", "qwen3vl", "qwen3vlmoe"];
/// Architectures for which llama.cpp treats a single expert as none.
const ONE_EXPERT_IS_NONE: [&str; 2] = ["hunyuan_vl", "hunyuan-dense"];
/// Architectures for which llama.cpp asserts that there are experts. For other mixtures it reports
/// missing experts as an error.
const ALWAYS_EXPERTS: [&str; 5] = ["bailingmoe2", "glm4moe", "grovemoe", "lfm2moe", "smallthinker"];
/// Architectures for which llama.cpp creates no KV cache and asserts in the first step that the
/// model is an encoder.
const EMBEDDING: [&str; 10] = [
    "bert",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "gemma-embedding",
    "wavtokenizer-dec",
];
/// Architectures that write no text: a token classifier, for which llama.cpp creates no KV cache
/// either, and one half of a speech model.
const WITHOUT_TEXT: [&str; 2] = ["clef", "pockettts"];
/// Architectures for which llama.cpp divides a state's width by its groups and its time steps.
const GROUPED_STATES: [&str; 4] = ["mamba2", "granitehybrid", "nemotron_h", "nemotron_h_moe"];
/// Keys whose values llama.cpp reads as unsigned 32-bit integers.
const UNSIGNED_32_BIT: [&str; 14] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.key_length_swa",
    "attention.sliding_window",
    "attention.value_length",
    "attention.value_length_swa",
    "embedding_length",
    "expert_feed_forward_length",
    "expert_used_count",
    "feed_forward_length",
    "shortconv.l_cache",
    "ssm.inner_size",
    "ssm.state_size",
];
