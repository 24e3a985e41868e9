//! Hyperparameters that llama.cpp asserts against are refused in one line.

use crate::fixture::{Gguf, Shape, value_type};
use crate::refusals::{assert_file_refused, assert_header_refused};

/// Asserts that a model is refused if this value is in its header.
fn assert_value_refused(key: &str, value: u32, words: &[&str]) {
    assert_header_refused(|gguf| gguf.set_u32(&format!("llama.{key}"), value), words);
}

#[test]
fn attention_parameters_that_contradict_each_other_are_refused() {
    assert_value_refused("attention.head_count_kv", 0, &["head_count_kv", "0", "4 heads"]);
    assert_value_refused("attention.head_count_kv", 3, &["head_count_kv", "3", "4 heads"]);
    assert_value_refused("rope.dimension_count", 15, &["dimension_count", "15", "even"]);
    assert_value_refused("rope.dimension_count", 18, &["dimension_count", "18", "16"]);
    let key = "llama.attention.head_count_kv";
    for (heads, found) in [([2, 1, 2], "1"), ([2, 0, 2], "0")] {
        let words = ["head_count_kv", found, "layer 1"];
        assert_header_refused(|gguf| gguf.set_u32s(key, &heads), &words);
    }
    let key = "llama.rope.scaling.type";
    let words = ["rope.scaling.type", "fnord", "yarn"];
    assert_header_refused(|gguf| gguf.set_string(key, "fnord"), &words);
    let key = "llama.attention.causal";
    assert_header_refused(|gguf| gguf.set_bool(key, false), &["causal", "embedding"]);
}

#[test]
fn layer_and_expert_counts_that_llama_cpp_asserts_against_are_refused() {
    assert_value_refused("block_count", 513, &["block_count", "513", "512"]);
    assert_value_refused("block_count", 100, &["block_count", "100", "tensors"]);
    assert_value_refused("nextn_predict_layers", 7, &["nextn_predict_layers", "7", "3 layers"]);
    assert_value_refused("expert_count", 4, &["expert_used_count", "0", "expert_count, 4"]);
    assert_value_refused("expert_used_count", 2, &["expert_used_count", "2", "without experts"]);
    assert_value_refused("expert_group_count", 2, &["expert_group_count", "2"]);
    let assert_experts_refused = |n_experts: u32, n_used: &[u32], words: &[&str]| {
        let change = |gguf: &mut Gguf| {
            gguf.set_u32("llama.expert_count", n_experts);
            gguf.set_u32s("llama.expert_used_count", n_used);
        };
        assert_header_refused(change, words);
    };
    assert_experts_refused(1025, &[2], &["expert_count", "1025", "1024"]);
    assert_experts_refused(4, &[2, 5, 2], &["expert_used_count", "5"]);
}

#[test]
fn recurrent_head_size_that_does_not_divide_the_embedding_is_refused() {
    assert_value_refused("wkv.head_size", 0, &["wkv.head_size", "0", "above zero"]);
    assert_value_refused("wkv.head_size", 63, &["wkv.head_size", "63", "embedding_length"]);
}

#[test]
fn architecture_that_generates_no_text_is_refused() {
    for arch in ["clef", "pockettts"] {
        assert_header_refused(|gguf| set_arch(gguf, arch), &[arch, "writes no text"]);
    }
}

/// Sets the architecture and the parameters that each has to have.
fn set_arch(gguf: &mut Gguf, arch: &str) {
    gguf.set_string("general.architecture", arch);
    for key in ["embedding_length", "block_count", "context_length", "attention.head_count"] {
        gguf.set_u32(&format!("{arch}.{key}"), 4);
    }
}

#[test]
fn sliding_window_model_without_windowed_layers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(128), ..Shape::small("gemma3") };
    let key = "gemma3.attention.sliding_window_pattern";
    let words = [key, "no layer has a sliding window"];
    let mut gguf = shape.gguf(1);
    gguf.set_u32(key, 1);
    assert_file_refused(folder.path(), "one.gguf", &gguf.bytes(), &words);
    gguf.set_bools(key, &[false; 3]);
    assert_file_refused(folder.path(), "none.gguf", &gguf.bytes(), &words);
}

#[test]
fn sizes_beyond_32_bits_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for key in ["attention.key_length", "attention.sliding_window", "feed_forward_length"] {
        let mut gguf = Gguf::random("llama", 1);
        let key = format!("llama.{key}");
        gguf.set(&key, value_type::U64, &(1u64 << 63).to_le_bytes());
        assert_file_refused(folder.path(), "large.gguf", &gguf.bytes(), &[&key, "32-bit"]);
    }
}
