//! A model that is loaded from mapped files does not depend on the files afterwards.

use std::fs::OpenOptions;

use crate::fixture::{Gguf, Shape};
use crate::harness::{Harness, greedy};

/// A model that is mapped, because ggml repacks most of its weights: its layers have four-bit
/// weights and are far larger than its other tensors.
fn repacked_model() -> Gguf {
    let shape = Shape {
        n_layers: 8,
        n_embd: 256,
        n_ff: 4096,
        n_heads: 8,
        head_size: 32,
        ..Shape::small("llama")
    };
    let mut gguf = shape.gguf(1);
    gguf.quantize_layers(2);
    gguf
}

#[test]
fn loaded_model_computes_after_its_files_are_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let whole = repacked_model().write(folder.path(), "whole.gguf");
    let split = repacked_model().write_split(folder.path(), "split");
    // With such a name the mapping is not found in `/proc/self/maps`, and the file is read instead.
    let unmapped = repacked_model().write(folder.path(), "two\nlines.gguf");
    let second = folder.path().join("split-00002-of-00002.gguf");
    let prompts = ["Once upon a time", "The sea is deep and"];
    let texts = |harness: &Harness| prompts.map(|prompt| harness.generate(prompt, greedy(12)).text);
    let expected = texts(&Harness::file(&whole, 1));
    assert_ne!(expected[0], expected[1]);

    for files in [vec![whole], vec![split, second], vec![unmapped]] {
        let harness = Harness::file(&files[0], 1);
        for file in &files {
            OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
        }
        // Reading a page that is no longer in its file would kill this test process.
        assert_eq!(texts(&harness), expected, "{files:?}");
    }
}
