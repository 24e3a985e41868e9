//! Every tensor in every type: a model that is accepted generates text, and one that would kill the
//! process is refused because of its header.

use inference_core::llama::{self, ModelSource};

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};
use crate::refusals::assert_refused;

/// Types whose blocks fit into short rows: ggml's number, elements in a block, bytes of a block.
const TYPES: [(u32, u64, u64); 18] = [
    (0, 1, 4),
    (1, 1, 2),
    (2, 32, 18),
    (3, 32, 20),
    (6, 32, 22),
    (7, 32, 24),
    (8, 32, 34),
    (9, 32, 36),
    (20, 32, 18),
    (24, 1, 1),
    (25, 1, 2),
    (26, 1, 4),
    (27, 1, 8),
    (28, 1, 8),
    (30, 1, 2),
    (39, 32, 17),
    (40, 64, 36),
    (42, 64, 18),
];

const MATRICES: [&str; 9] = [
    "token_embd.weight",
    "output.weight",
    "blk.0.attn_q.weight",
    "blk.0.attn_k.weight",
    "blk.0.attn_v.weight",
    "blk.0.attn_output.weight",
    "blk.0.ffn_gate.weight",
    "blk.0.ffn_up.weight",
    "blk.0.ffn_down.weight",
];

const VECTORS: [&str; 5] = [
    "output_norm.weight",
    "blk.0.attn_norm.weight",
    "blk.0.ffn_norm.weight",
    "blk.0.attn_q.bias",
    "blk.0.attn_v.bias",
];

#[test]
fn tensor_of_any_type_is_refused_or_computed_with() {
    let folder = tempfile::tempdir().unwrap();
    let (mut n_accepted, mut n_refused) = (0, 0);
    for name in MATRICES.into_iter().chain(VECTORS) {
        for (ggml_type, block_len, block_bytes) in TYPES {
            let mut gguf = Gguf::random("qwen2", 1);
            if !gguf.set_tensor_type(name, ggml_type, block_len, block_bytes) {
                continue;
            }
            let path = gguf.write(folder.path(), "model.gguf");
            let Err(error) = llama::describe(&ModelSource::File(path.clone())) else {
                // If ggml aborts, this test process ends.
                Harness::file(&path, 1).generate("Once upon a time", greedy(2));
                n_accepted += 1;
                continue;
            };
            let error = error.to_string();
            let is_one_line = error.lines().count() == 1;
            assert!(is_one_line && error.contains(name) && error.contains("convert"), "{error}");
            // ggml cannot multiply matrices of Q8_1, of integers or of 64-bit floats.
            let is_unusable = VECTORS.contains(&name) || matches!(ggml_type, 9 | 24..=28);
            assert!(is_unusable, "{name} of type {ggml_type} was refused: {error}");
            n_refused += 1;
        }
    }
    assert!(
        n_accepted > 80 && n_refused > 100,
        "{n_accepted} were accepted, {n_refused} were refused"
    );
}

#[test]
fn norm_in_half_precision_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_tensor_type("blk.1.ffn_norm.weight", 1, 1, 2);
    let path = gguf.write(folder.path(), "model.gguf");
    let words = ["blk.1.ffn_norm.weight", "f16", "must be f32", "convert"];
    assert_refused(&[path.to_str().unwrap(), "0"], 65, &words);
}
