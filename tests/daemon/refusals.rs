//! Assertions about what the daemon refuses: one plain line and the documented exit code.

use std::fs;
use std::path::Path;

use inference_core::llama::{self, ModelSource};

use crate::fixture::Gguf;
use crate::process::command;

/// Runs the daemon and returns its exit code and its standard error.
pub fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let output = command().args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Asserts that the daemon exits with `code` and one line on standard error that has all `words`.
pub fn assert_refused(args: &[&str], code: i32, words: &[&str]) {
    let (exit_code, stderr) = refusal(args);
    assert_eq!(exit_code, Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.starts_with("inference-core: "), "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: {word:?} is not in {stderr}");
    }
}

/// Asserts that the daemon refuses a model file with these contents.
pub fn assert_file_refused(folder: &Path, name: &str, contents: &[u8], words: &[&str]) {
    let path = folder.join(name);
    fs::write(&path, contents).unwrap();
    let path = path.to_str().unwrap();
    assert_refused(&[path, "0"], 65, &[&[path], words].concat());
}

/// Asserts that a valid model is refused after `change`, with only its header read.
pub fn assert_header_refused(change: impl FnOnce(&mut Gguf), words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    change(&mut gguf);
    let path = gguf.write(folder.path(), "model.gguf");
    let error = llama::describe(&ModelSource::File(path)).err().map(|error| error.to_string());
    let message = error.unwrap_or_else(|| panic!("{words:?}: the model is accepted"));
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
}
