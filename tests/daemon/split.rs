//! Models in several files.

use std::fs;
use std::path::Path;

use inference_core::llama::{self, Source};

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};

#[test]
fn a_split_model_is_read_whole_and_a_part_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Gguf::random("llama", 1).write(folder.path(), "whole.gguf");
    let split = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let describe = |path: &Path| llama::describe(&Source::File(path.to_owned()));
    let (of_whole, of_split) = (describe(&whole).unwrap().info, describe(&split).unwrap().info);
    assert_eq!(
        (of_split.params, of_split.size_bytes, of_split.n_layers),
        (of_whole.params, of_whole.size_bytes, of_whole.n_layers)
    );
    let prompt = "Once upon a time";
    let text = |path: &Path| Harness::file(path, 1).generate(prompt, greedy(8)).text;
    assert_eq!(text(&split), text(&whole));

    let second = folder.path().join("split-00002-of-00002.gguf");
    let error = describe(&second).unwrap_err().to_string();
    assert!(error.contains("split-00001-of-00002.gguf"), "{error}");
    fs::remove_file(&second).unwrap();
    let error = describe(&split).unwrap_err().to_string();
    assert!(error.contains("split-00002-of-00002.gguf"), "{error}");
}
