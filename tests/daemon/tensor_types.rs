//! Every role a tensor can have in every type: a model that is taken computes, one that would kill
//! the process is refused from its header.

use inference_core::llama::{self, ModelSource};

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};

/// ggml's numbers of types whose blocks fit small rows, the width of a block and its bytes.
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
fn a_model_with_any_type_in_any_place_is_refused_or_computes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut n_taken, mut n_refused) = (0, 0);
    for name in MATRICES.into_iter().chain(VECTORS) {
        for (kind, width, size) in TYPES {
            let mut gguf = Gguf::random("qwen2", 1);
            if !gguf.set_type(name, kind, width, size) {
                continue;
            }
            let path = gguf.write(folder.path(), "model.gguf");
            let Err(error) = llama::describe(&ModelSource::File(path.clone())) else {
                // Whatever kills a process kills this one.
                Harness::file(&path, 1).generate("Once upon a time", greedy(2));
                n_taken += 1;
                continue;
            };
            let error = error.to_string();
            let is_one_line = error.lines().count() == 1;
            assert!(is_one_line && error.contains(name) && error.contains("convert"), "{error}");
            let is_bad = VECTORS.contains(&name) || matches!(kind, 9 | 24..=28);
            assert!(is_bad, "{name}: {kind}: {error}");
            n_refused += 1;
        }
    }
    assert!(n_taken > 80 && n_refused > 100, "{n_taken} taken, {n_refused} refused");
}

#[test]
fn the_daemon_refuses_a_norm_in_half_precision_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_type("blk.1.ffn_norm.weight", 1, 1, 2);
    let path = gguf.write(folder.path(), "model.gguf");
    let words = ["blk.1.ffn_norm.weight", "f16", "must be f32", "convert"];
    crate::files::check(&[path.to_str().unwrap(), "0"], 65, &words);
}
