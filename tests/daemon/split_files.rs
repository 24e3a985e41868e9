//! Models in several files.

use std::fs;
use std::path::Path;

use inference_core::llama::{self, ModelSource};

use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};
use crate::refusals::refusal;

const SECOND: &str = "split-00002-of-00002.gguf";

#[test]
fn split_model_generates_the_text_of_the_single_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Gguf::random("llama", 1).write(folder.path(), "whole.gguf");
    let split = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let info = |path: &Path| llama::describe(&ModelSource::File(path.to_owned())).unwrap().info;
    let (of_whole, of_split) = (info(&whole), info(&split));
    assert_eq!(
        (of_split.params, of_split.size_bytes, of_split.n_layers),
        (of_whole.params, of_whole.size_bytes, of_whole.n_layers)
    );
    let prompt = "Once upon a time";
    let text = |path: &Path| Harness::file(path, 1).generate(prompt, greedy(8)).text;
    assert_eq!(text(&split), text(&whole));
}

#[test]
fn refusal_names_the_missing_part_or_the_first_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let second = folder.path().join(SECOND);
    let error =
        |path: &Path| llama::describe(&ModelSource::File(path.to_owned())).unwrap_err().to_string();
    let not_the_first = error(&second);
    assert!(not_the_first.contains("split-00001-of-00002.gguf"), "{not_the_first}");
    fs::remove_file(&second).unwrap();
    let missing = error(&first);
    assert!(missing.contains(SECOND), "{missing}");
}

#[test]
fn part_that_is_not_what_its_name_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let second = folder.path().join(SECOND);
    let error = |what: &str| {
        let (code, text) = refusal(&["plan", first.to_str().unwrap()]);
        assert_eq!((code, text.lines().count()), (Some(65), 1), "{what}: {text}");
        text
    };

    fs::copy(&first, &second).unwrap();
    let text = error("a copy of the first part");
    assert!(text.contains("split-00002") && text.contains("part 1 of 2"), "{text}");

    let mut whole = Gguf::random("llama", 1);
    whole.write(folder.path(), SECOND);
    let text = error("a file that is not a part");
    assert!(text.contains("split-00002") && text.contains("no part"), "{text}");
    whole.set_split(1, 2);
    whole.write(folder.path(), SECOND);
    let text = error("a part with the tensors of the first");
    assert!(text.contains("split-00002") && text.contains("token_embd.weight"), "{text}");

    let mut without_tensors = Gguf::vocabulary();
    without_tensors.set_split(1, 2);
    without_tensors.write(folder.path(), SECOND);
    let text = error("a part without tensors");
    assert!(text.contains("split-00001") && text.contains("hold 8"), "{text}");
}
