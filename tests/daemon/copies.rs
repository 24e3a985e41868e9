//! Models of which ggml computes most from copies in another order.

use std::fs::OpenOptions;

use crate::fixture::{Gguf, Shape};
use crate::harness::{Harness, greedy};

/// Layers of four bits that are far larger than what is left.
fn packed() -> Gguf {
    let shape =
        Shape { layers: 8, width: 256, hidden: 4096, heads: 8, head: 32, ..Shape::small("llama") };
    let mut gguf = shape.gguf(1);
    gguf.pack_layers(2);
    gguf
}

#[test]
fn a_model_that_is_copied_from_its_files_needs_them_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let whole = packed().write(folder.path(), "whole.gguf");
    let split = packed().write_split(folder.path(), "split");
    // Whose mapping cannot be found.
    let odd = packed().write(folder.path(), "two\nlines.gguf");
    let second = folder.path().join("split-00002-of-00002.gguf");
    let prompts = ["Once upon a time", "The sea is deep and"];
    let texts = |harness: &Harness| prompts.map(|prompt| harness.generate(prompt, greedy(12)).text);
    let expected = texts(&Harness::file(&whole, 1));
    assert_ne!(expected[0], expected[1]);

    for files in [vec![whole], vec![split, second], vec![odd]] {
        let harness = Harness::file(&files[0], 1);
        for file in &files {
            OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
        }
        // Whoever reads a page that its file no longer has is killed.
        assert_eq!(texts(&harness), expected, "{files:?}");
    }
}
