//! A model is served from the files whose headers were read, whatever takes their names later.

use std::fs;
use std::path::{Path, PathBuf};

use inference_core::llama::{self, ModelSource};
use serde_json::{Value, json};

use crate::client::{read_until, send};
use crate::fixture::Gguf;
use crate::harness::{Harness, greedy};
use crate::process::Daemon;

/// Puts other files in the place of these.
fn replace(paths: &[PathBuf], contents: &[u8]) {
    for path in paths {
        let other = path.with_extension("other");
        fs::write(&other, contents).unwrap();
        fs::rename(&other, path).unwrap();
    }
}

/// The files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn model_swapped_after_its_header_was_read_is_loaded_as_it_was() {
    let [folder, split_folder] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let model = Gguf::random("llama", 1).write(folder.path(), "model.gguf");
    let split = Gguf::random("llama", 1).write_split(split_folder.path(), "model");
    let expected = Harness::file(&model, 1).generate("Once", greedy(16)).text;
    let other = Gguf::random("llama", 2);
    for (path, folder) in [(model, folder.path()), (split, split_folder.path())] {
        let (description, held) = llama::open(&ModelSource::File(path.clone())).unwrap();
        replace(&files(folder), &other.bytes());
        let located = description.located(&held.paths()).unwrap();
        let text = Harness::described(located, 1).generate("Once", greedy(16)).text;
        assert_eq!(text, expected, "{}", path.display());
    }
}

#[tokio::test]
async fn replaced_files_are_still_served_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let single = Gguf::random("llama", 1).write(folder.path(), "model.gguf");
    Gguf::random("llama", 2).write(folder.path(), "draft.gguf");
    let split = Gguf::random("llama", 1).write_split(folder.path(), "split");
    let with_draft = ["--draft".to_owned(), path("draft.gguf")];
    for (model, args) in [(split, &[][..]), (single, &with_draft[..])] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let daemon = Daemon::start_model(&model, &args);
        replace(&files(folder.path()), b"not a model");
        daemon.signal_runner("KILL");
        let mut socket = daemon.connect().await;
        let request = json!({"op": "infer", "prompt": "Once", "params": {"max_tokens": 2}});
        send(&mut socket, request).await;
        let is_terminal = |frame: &Value| frame["op"] == "end" || frame["op"] == "error";
        let end = read_until(&mut socket, is_terminal).await.unwrap();
        assert_eq!(end["op"], "end", "{}: {end}", model.display());
        // For the next model.
        Gguf::random("llama", 1).write(folder.path(), "model.gguf");
        Gguf::random("llama", 2).write(folder.path(), "draft.gguf");
    }
}
