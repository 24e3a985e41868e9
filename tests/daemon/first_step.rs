//! A model is refused if no token can be sampled after its first step.

use std::path::Path;

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};
use crate::refusals::assert_refused;

/// A model in which the first `n` weights of a tensor have this value.
fn model_with(folder: &Path, tensor: &str, n: usize, weight: f32) -> String {
    let mut gguf = Gguf::random("llama", 1);
    gguf.fill_tensor(tensor, n, weight);
    let name = format!("{tensor}.{weight}.gguf");
    gguf.write(folder, &name).to_str().unwrap().to_owned()
}

/// Asserts that the daemon refuses to serve with these arguments because `model` does not compute.
fn assert_not_finite(args: &[&str], model: &str) {
    let args = [args, &["0", "--threads", "1"]].concat();
    assert_refused(&args, 65, &[model, "its first step computes no finite number"]);
}

#[test]
fn model_whose_first_step_has_no_finite_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (tensor, weight) in [
        ("output_norm.weight", f32::NAN),
        ("output.weight", f32::INFINITY),
        ("blk.1.attn_k.weight", f32::NAN),
        ("token_embd.weight", f32::NEG_INFINITY),
    ] {
        let model = model_with(folder.path(), tensor, usize::MAX, weight);
        assert_not_finite(&[&model], &model);
    }
}

#[test]
fn draft_model_whose_first_step_has_no_finite_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = Gguf::random("llama", 2).write(folder.path(), "model.gguf");
    let draft = model_with(folder.path(), "output_norm.weight", usize::MAX, f32::NAN);
    assert_not_finite(&[model.to_str().unwrap(), "--draft", &draft], &draft);
}

#[test]
fn model_with_a_single_token_without_finite_logit_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with(folder.path(), "output.weight", 64, f32::NAN);
    let harness = Harness::file(Path::new(&model), 1);
    assert_eq!(harness.generate("Once", greedy(8)).usage.tokens, 8);
}
