//! What layers keep, by the headers of several families.

use super::*;
use crate::llama::file::gguf::Value;

fn number(n: i128) -> Value {
    Value::Integer(n)
}

fn list(numbers: &[i128]) -> Value {
    Value::Integers(numbers.to_vec())
}

/// What the layers of a model keep that is 256 wide and has 8 heads, 2 of keys, unless said
/// otherwise.
fn read(arch: &str, n_layers: u32, more: &[(&str, Value)]) -> Memory {
    Memory::read(&header(arch, more), arch, n_layers)
}

fn header(arch: &str, more: &[(&str, Value)]) -> Header {
    let usual = [
        ("embedding_length", number(256)),
        ("attention.head_count", number(8)),
        ("attention.head_count_kv", number(2)),
    ];
    let entries = usual.iter().chain(more).map(|(key, value)| (format!("{arch}.{key}"), value));
    let entries: Vec<_> = entries.collect();
    let entries: Vec<_> =
        entries.iter().map(|(key, value)| (key.as_str(), (*value).clone())).collect();
    Header::of(&entries)
}

fn windowed(memory: &Memory) -> Vec<bool> {
    memory.layers.iter().map(|layer| layer.is_windowed).collect()
}

#[test]
fn heads_are_as_wide_as_the_file_says_or_share_the_width() {
    let plain = read("llama", 2, &[]);
    assert_eq!((plain.layers[1].keys, plain.layers[1].values, plain.head), (64, 64, 32));
    let wide = read(
        "qwen3",
        2,
        &[("attention.key_length", number(128)), ("attention.value_length", number(96))],
    );
    assert_eq!((wide.layers[1].keys, wide.layers[1].values, wide.head), (256, 192, 128));
    assert!(wide.fills_blocks_of(32));
    let odd = read("qwen3", 2, &[("attention.value_length", number(80))]);
    assert!(!odd.fills_blocks_of(32));
}

#[test]
fn windows_follow_the_files_list_then_its_period_then_the_architecture() {
    let window = ("attention.sliding_window", number(128));
    let by = |value| read("gemma3", 6, &[window.clone(), (PATTERN, value)]);
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
fn windowed_layers_have_heads_of_their_own() {
    let memory = read(
        "gemma4",
        2,
        &[
            ("attention.sliding_window", number(128)),
            (PATTERN, list(&[1, 0])),
            ("attention.key_length", number(64)),
            ("attention.value_length", number(64)),
            ("attention.key_length_swa", number(32)),
            ("attention.value_length_swa", number(32)),
        ],
    );
    assert_eq!([memory.layers[0].keys, memory.layers[1].keys], [64, 128]);
}

#[test]
fn the_last_layers_may_use_what_others_keep() {
    let entries = |shared| {
        [
            ("attention.sliding_window", number(128)),
            (PATTERN, list(&[1, 1, 0, 1, 0])),
            ("attention.shared_kv_layers", number(shared)),
        ]
    };
    let memory = read("gemma4", 5, &entries(1));
    let keys: Vec<_> = memory.layers.iter().map(|layer| layer.keys).collect();
    assert_eq!(keys, [64, 64, 64, 64, 0]);
    // The fifth sees everything and finds a windowed layer where it looks for its like.
    let refused = check(&header("gemma4", &entries(1)), "gemma4", 5).unwrap_err();
    assert_eq!((refused.0, refused.1), ("attention.shared_kv_layers", 1));
    assert!(check(&header("gemma4", &entries(2)), "gemma4", 5).is_ok());
}

#[test]
fn latent_attention_keeps_no_values() {
    let memory = read(
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
    assert_eq!((memory.layers[0].keys, memory.layers[0].values), (576, 0));
}

#[test]
fn layers_with_a_state_keep_that_instead() {
    let convolution = [
        ("ssm.conv_kernel", number(4)),
        ("ssm.inner_size", number(512)),
        ("ssm.state_size", number(16)),
    ];
    let mamba = read("mamba", 1, &convolution);
    assert_eq!(mamba.layers[0].keys, 0);
    assert_eq!(mamba.layers[0].state, 3 * 512 + 512 * 16);
    let mixed = read("qwen35", 4, &convolution);
    let has_cache: Vec<_> = mixed.layers.iter().map(|layer| layer.keys > 0).collect();
    assert_eq!(has_cache, [false, false, false, true]);
    assert_eq!(mixed.layers[3].state, 0);
    let both = read("falcon-h1", 1, &convolution);
    assert!(both.layers[0].keys > 0 && both.layers[0].state > 0);
}

#[test]
fn models_that_run_into_an_assertion_are_refused_with_the_key() {
    let window = ("attention.sliding_window", number(128));
    let none = header("gemma3", &[window, (PATTERN, list(&[0, 0]))]);
    assert_eq!(check(&none, "gemma3", 2).unwrap_err().0, PATTERN);
    let never = header("qwen35", &[("full_attention_interval", number(0))]);
    assert_eq!(check(&never, "qwen35", 2).unwrap_err().0, "full_attention_interval");
    assert!(check(&header("llama", &[]), "llama", 2).is_ok());
}
