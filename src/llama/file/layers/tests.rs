//! What layers cache, by the headers of several model families.

use super::*;
use crate::llama::file::gguf::{Header, MetadataValue};

fn number(n: i128) -> MetadataValue {
    MetadataValue::Integer(n)
}

fn list(numbers: &[i128]) -> MetadataValue {
    MetadataValue::Integers(numbers.to_vec())
}

/// The cache layout of a model with an embedding length of 256, 8 heads and 2 KV heads, unless
/// `more` says otherwise.
fn read(arch: &str, n_layers: u32, more: &[(&str, MetadataValue)]) -> CacheLayout {
    let usual = [
        ("embedding_length", number(256)),
        ("attention.head_count", number(8)),
        ("attention.head_count_kv", number(2)),
    ];
    let entries = usual.iter().chain(more).map(|(key, value)| (format!("{arch}.{key}"), value));
    let entries: Vec<_> = entries.collect();
    let entries: Vec<_> =
        entries.iter().map(|(key, value)| (key.as_str(), (*value).clone())).collect();
    CacheLayout::read(ArchMetadata::new(&Header::of(&entries), arch), n_layers)
}

fn windowed(layout: &CacheLayout) -> Vec<bool> {
    layout.layers.iter().map(|layer| layer.is_windowed).collect()
}

#[test]
fn head_size_comes_from_the_file_or_divides_the_width_evenly() {
    let plain = read("llama", 2, &[]);
    assert_eq!((plain.layers[1].keys, plain.layers[1].values, plain.head_size), (64, 64, 32));
    let wide = read(
        "qwen3",
        2,
        &[("attention.key_length", number(128)), ("attention.value_length", number(96))],
    );
    assert_eq!((wide.layers[1].keys, wide.layers[1].values, wide.head_size), (256, 192, 128));
    assert!(wide.has_head_sizes_divisible_by(32));
    let odd = read("qwen3", 2, &[("attention.value_length", number(80))]);
    assert!(!odd.has_head_sizes_divisible_by(32));
}

#[test]
fn windows_follow_the_list_then_the_period_then_the_architecture() {
    let window = ("attention.sliding_window", number(128));
    let by = |value| read("gemma3", 6, &[window.clone(), (PATTERN_KEY, value)]);
    assert_eq!(windowed(&by(list(&[1, 0, 0, 0, 0, 0]))), [true, false, false, false, false, false]);
    assert_eq!(windowed(&by(number(2))), [true, false, true, false, true, false]);
    assert_eq!(windowed(&by(number(0))), [true; 6]);
    let usual = read("gemma3", 6, std::slice::from_ref(&window));
    assert_eq!(windowed(&usual), [true, true, true, true, true, false]);
    assert_eq!(usual.window, 128);
    let first = read("smallthinker", 5, std::slice::from_ref(&window));
    assert_eq!(windowed(&first), [false, true, true, true, false]);
    assert_eq!(windowed(&read("phi3", 2, &[window])), [false; 2]);
}

#[test]
fn windowed_layers_have_their_own_head_sizes() {
    let layout = read(
        "gemma4",
        2,
        &[
            ("attention.sliding_window", number(128)),
            (PATTERN_KEY, list(&[1, 0])),
            ("attention.key_length", number(64)),
            ("attention.value_length", number(64)),
            ("attention.key_length_swa", number(32)),
            ("attention.value_length_swa", number(32)),
        ],
    );
    assert_eq!([layout.layers[0].keys, layout.layers[1].keys], [64, 128]);
}

#[test]
fn last_layers_that_share_a_cache_have_none_of_their_own() {
    let entries = [
        ("attention.sliding_window", number(128)),
        (PATTERN_KEY, list(&[1, 1, 0, 1, 0])),
        ("attention.shared_kv_layers", number(1)),
    ];
    let layout = read("gemma4", 5, &entries);
    let keys: Vec<_> = layout.layers.iter().map(|layer| layer.keys).collect();
    assert_eq!(keys, [64, 64, 64, 64, 0]);
}

#[test]
fn latent_attention_caches_no_values() {
    let layout = read(
        "deepseek2",
        1,
        &[
            ("attention.head_count_kv", number(1)),
            ("attention.key_length", number(576)),
            ("attention.value_length", number(512)),
            ("attention.key_length_mla", number(192)),
            ("attention.value_length_mla", number(128)),
        ],
    );
    assert_eq!((layout.layers[0].keys, layout.layers[0].values), (576, 0));
}

#[test]
fn recurrent_layers_have_a_state_instead_of_a_kv_cache() {
    let convolution = [
        ("ssm.conv_kernel", number(4)),
        ("ssm.inner_size", number(512)),
        ("ssm.state_size", number(16)),
    ];
    let mamba = read("mamba", 1, &convolution);
    assert_eq!(mamba.layers[0].keys, 0);
    assert_eq!(mamba.layers[0].state, 3 * 512 + 512 * 16);
    let hybrid = read("qwen35", 4, &convolution);
    let has_cache: Vec<_> = hybrid.layers.iter().map(|layer| layer.keys > 0).collect();
    assert_eq!(has_cache, [false, false, false, true]);
    assert_eq!(hybrid.layers[3].state, 0);
    let both = read("falcon-h1", 1, &convolution);
    assert!(both.layers[0].keys > 0 && both.layers[0].state > 0);
}
