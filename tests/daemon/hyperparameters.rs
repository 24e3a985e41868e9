//! Numbers of a header that llama.cpp asserts on: refused in one line.

use crate::files::{check_file, check_header};
use crate::fixture::{Gguf, Shape};

/// Asserts that a model is refused in these words where a number of its header is another.
fn number(key: &str, value: u32, words: &[&str]) {
    check_header(|gguf| gguf.set_u32(&format!("llama.{key}"), value), words);
}

#[test]
fn heads_and_rotations_that_do_not_fit_are_refused() {
    number("attention.head_count_kv", 0, &["head_count_kv", "0", "4 heads"]);
    number("attention.head_count_kv", 3, &["head_count_kv", "3", "4 heads"]);
    number("rope.dimension_count", 15, &["dimension_count", "15", "even"]);
    number("rope.dimension_count", 18, &["dimension_count", "18", "16"]);
    let key = "llama.attention.head_count_kv";
    check_header(|gguf| gguf.set_numbers(key, &[2, 1, 2]), &["head_count_kv", "1", "layer 1"]);
    check_header(|gguf| gguf.set_numbers(key, &[2, 0, 2]), &["head_count_kv", "0", "layer 1"]);
    let key = "llama.rope.scaling.type";
    check_header(|gguf| gguf.set_text(key, "fnord"), &["rope.scaling.type", "fnord", "yarn"]);
    let key = "llama.attention.causal";
    check_header(|gguf| gguf.set_bool(key, false), &["causal", "embedding"]);
}

#[test]
fn layers_and_experts_that_llama_cpp_asserts_on_are_refused() {
    number("block_count", 513, &["block_count", "513", "512"]);
    number("block_count", 100, &["block_count", "100", "tensors"]);
    number("nextn_predict_layers", 7, &["nextn_predict_layers", "7", "3 layers"]);
    number("expert_count", 4, &["expert_used_count", "0", "expert_count, 4"]);
    number("expert_used_count", 2, &["expert_used_count", "2", "without experts"]);
    number("expert_group_count", 2, &["expert_group_count", "2"]);
    let experts = |count: u32, used: &[u32], words: &[&str]| {
        let change = |gguf: &mut Gguf| {
            gguf.set_u32("llama.expert_count", count);
            gguf.set_numbers("llama.expert_used_count", used);
        };
        check_header(change, words);
    };
    experts(1025, &[2], &["expert_count", "1025", "1024"]);
    experts(4, &[2, 5, 2], &["expert_used_count", "5"]);
}

#[test]
fn states_that_llama_cpp_divides_by_and_models_without_text_are_refused() {
    number("wkv.head_size", 0, &["wkv.head_size", "0", "above zero"]);
    number("wkv.head_size", 63, &["wkv.head_size", "63", "embedding_length"]);
    for arch in ["clef", "pockettts"] {
        check_header(|gguf| rename(gguf, arch), &[arch, "writes no text"]);
    }
}

/// Makes it a model of another architecture, as far as the header says.
fn rename(gguf: &mut Gguf, arch: &str) {
    gguf.set_text("general.architecture", arch);
    for key in ["embedding_length", "block_count", "context_length", "attention.head_count"] {
        gguf.set_u32(&format!("{arch}.{key}"), 4);
    }
}

#[test]
fn a_model_of_windows_without_a_windowed_layer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(128), ..Shape::small("gemma3") };
    let key = "gemma3.attention.sliding_window_pattern";
    let words = [key, "no layer has a sliding window"];
    let mut gguf = shape.gguf(1);
    gguf.set_u32(key, 1);
    check_file(folder.path(), "one.gguf", &gguf.bytes(), &words);
    gguf.set_bools(key, &[false; 3]);
    check_file(folder.path(), "none.gguf", &gguf.bytes(), &words);
}

#[test]
fn sizes_beyond_32_bits_are_refused() {
    const U64: u32 = 10;
    let folder = tempfile::tempdir().unwrap();
    for key in ["attention.key_length", "attention.sliding_window", "feed_forward_length"] {
        let mut gguf = Gguf::random("llama", 1);
        let key = format!("llama.{key}");
        gguf.set(&key, U64, &(1u64 << 63).to_le_bytes());
        check_file(folder.path(), "large.gguf", &gguf.bytes(), &[&key, "32-bit"]);
    }
}
