//! Headers that do not describe a usable language model are refused in one line.

use crate::fixture::Gguf;
use crate::refusals::{assert_file_refused, assert_header_refused};

#[test]
fn header_without_a_language_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let assert_refused = |gguf: &Gguf, words: &[&str]| {
        assert_file_refused(folder.path(), "model.gguf", &gguf.bytes(), words);
    };
    assert_refused(&Gguf::vocabulary(), &["no architecture"]);
    for key in ["llama.context_length", "llama.block_count"] {
        assert_refused(&Gguf::random("llama", 1).without(key), &[key]);
    }
    let mut vocabulary = Gguf::vocabulary();
    vocabulary.set_string("general.architecture", "llama");
    assert_refused(&vocabulary, &["vocabulary", "no weights"]);
    let mut without_heads = Gguf::random("llama", 1);
    without_heads.set_u32("llama.attention.head_count", 0);
    assert_refused(&without_heads, &["head_count"]);
    let mut unknown = Gguf::random("llama", 1);
    unknown.set_string("general.architecture", "fnord");
    for key in ["context_length", "embedding_length", "block_count"] {
        unknown.set_u32(&format!("fnord.{key}"), 4);
    }
    assert_refused(&unknown, &["architecture", "fnord"]);
    let mut adapter = Gguf::random("llama", 1);
    adapter.set_string("general.type", "adapter");
    assert_refused(&adapter, &["adapter"]);
}

#[test]
fn tensors_that_contradict_the_header_are_refused_with_llama_cpps_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut wide = Gguf::random("llama", 1);
    wide.set_u32("llama.feed_forward_length", 96);
    assert_file_refused(folder.path(), "wide.gguf", &wide.bytes(), &["shape"]);
    let mut deep = Gguf::random("llama", 1);
    deep.set_u32("llama.block_count", 9);
    assert_file_refused(folder.path(), "deep.gguf", &deep.bytes(), &["blk.3"]);
}

#[test]
fn floats_that_ggml_cannot_compute_with_are_refused() {
    for (key, values) in [
        ("attention.layer_norm_rms_epsilon", &[f32::NAN, -1.0, f32::NEG_INFINITY][..]),
        ("attention.layer_norm_epsilon", &[f32::NAN, -1.0, f32::INFINITY]),
        ("attention.group_norm_epsilon", &[f32::NAN]),
        ("rope.freq_base", &[f32::NAN, 0.0, -1.0, 1e-45, 0.5, f32::INFINITY]),
        ("rope.scaling.factor", &[f32::NAN, 1e-45, -1e-45, f32::INFINITY]),
        ("attn_logit_softcapping", &[1e-45, f32::INFINITY]),
        ("logit_scale", &[1e-45, f32::NEG_INFINITY]),
        ("attention.scale", &[f32::INFINITY]),
    ] {
        for &value in values {
            let change = |gguf: &mut Gguf| gguf.set_f32(&format!("llama.{key}"), value);
            assert_header_refused(change, &[key, &format!("{value:?}")]);
        }
    }
}

#[test]
fn tensors_larger_than_any_model_are_refused() {
    let enlarge = |gguf: &mut Gguf| {
        for name in ["blk.0.ffn_up.weight", "blk.0.ffn_down.weight"] {
            gguf.claim_dims(name, &[1 << 30, 1 << 30]);
        }
    };
    assert_header_refused(enlarge, &["tensors claim more than 64 TiB"]);
}

#[test]
fn invalid_tensor_alignment_is_refused() {
    for alignment in [0, 1, 8, 16, 33, u32::MAX] {
        let change = |gguf: &mut Gguf| gguf.set_u32("general.alignment", alignment);
        let words = ["general.alignment", &alignment.to_string(), "power of two"];
        assert_header_refused(change, &words);
    }
}
