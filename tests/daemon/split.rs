//! Models in several files.

use std::fs;
use std::path::Path;

use inference_core::llama::{self, ModelSource};

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};
use crate::process::failure;

#[test]
fn a_split_model_is_read_whole_and_a_part_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Gguf::random("llama", 1).write(folder.path(), "whole.gguf");
    let split = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let describe = |path: &Path| llama::describe(&ModelSource::File(path.to_owned()));
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

#[test]
fn a_part_that_is_not_the_one_its_name_says_is_refused_by_name() {
    const U16: u32 = 2;
    let folder = tempfile::tempdir().unwrap();
    let first = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let second = folder.path().join("split-00002-of-00002.gguf");
    let refusal = |what: &str| {
        let (code, text) = failure(&["plan", first.to_str().unwrap()]);
        assert_eq!((code, text.lines().count()), (Some(65), 1), "{what}: {text}");
        text
    };

    fs::copy(&first, &second).unwrap();
    let text = refusal("a copy of the first");
    assert!(text.contains("split-00002") && text.contains("part 1 of 2"), "{text}");

    // The whole model, under the name and the number of a part.
    let mut whole = Gguf::random("llama", 1);
    whole.write(folder.path(), "split-00002-of-00002.gguf");
    let text = refusal("a file that is no part");
    assert!(text.contains("split-00002") && text.contains("no part"), "{text}");
    whole.set("split.no", U16, &1u16.to_le_bytes());
    whole.set("split.count", U16, &2u16.to_le_bytes());
    whole.write(folder.path(), "split-00002-of-00002.gguf");
    let text = refusal("a part with the tensors of the first");
    assert!(text.contains("split-00002") && text.contains("token_embd.weight"), "{text}");

    // A part without tensors.
    let mut empty = Gguf::vocabulary();
    empty.set("split.no", U16, &1u16.to_le_bytes());
    empty.set("split.count", U16, &2u16.to_le_bytes());
    empty.write(folder.path(), "split-00002-of-00002.gguf");
    let text = refusal("a part that lacks tensors");
    assert!(text.contains("split-00001") && text.contains("hold 8"), "{text}");
}
