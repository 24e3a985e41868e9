//! What cannot be served: one plain line that names it, and the documented exit code.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::fixture::{Gguf, demo_path};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inference-core")).args(args).output().unwrap()
}

/// Runs the daemon and checks that it leaves with `code` and one line on stderr with all `words`.
fn check(args: &[&str], code: i32, words: &[&str]) {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.starts_with("inference-core: "), "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: {word:?} is not in {stderr}");
    }
}

/// Checks that a file with `bytes` is refused.
fn check_file(folder: &Path, name: &str, bytes: &[u8], words: &[&str]) {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    check(&[path, "0"], 65, &[&[path], words].concat());
}

#[test]
fn a_path_that_is_no_model_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    check(&[path, "0"], 66, &[path, "directory"]);
    let missing = folder.path().join("missing.gguf");
    let missing = missing.to_str().unwrap();
    check(&[missing, "0"], 66, &[missing, "no such file"]);
    check(&["/dev/null", "0"], 66, &["/dev/null", "not a regular file"]);
}

#[test]
fn a_file_that_is_no_gguf_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    check_file(folder.path(), "empty.gguf", b"", &["empty"]);
    check_file(folder.path(), "short.gguf", b"GG", &["not a GGUF"]);
    check_file(folder.path(), "text.gguf", b"Once upon a time", &["not a GGUF", "Once"]);
    let mut old = Gguf::random("llama", 1).bytes();
    old[4] = 1;
    check_file(folder.path(), "old.gguf", &old, &["version is 1"]);
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(demo_path()).unwrap();
    for n in [5, 20, 30, 200, 5_000, 50_000, whole.len() / 2, whole.len() - 1] {
        check_file(folder.path(), "cut.gguf", &whole[..n], &["truncated"]);
    }
}

#[test]
fn a_broken_header_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Gguf::random("llama", 1).bytes();
    let broken = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let huge = u64::MAX.to_le_bytes();
    check_file(folder.path(), "tensors.gguf", &broken(8, &huge), &["broken", "tensors"]);
    check_file(folder.path(), "entries.gguf", &broken(16, &huge), &["broken", "entries"]);
    check_file(folder.path(), "key.gguf", &broken(24, &huge), &["truncated"]);
}

#[test]
fn a_header_that_does_not_describe_a_language_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (Gguf::vocabulary(), "no architecture"),
        (Gguf::random("llama", 1).without("llama.context_length"), "llama.context_length"),
        (Gguf::random("llama", 1).without("llama.block_count"), "llama.block_count"),
    ];
    for (gguf, words) in table {
        check_file(folder.path(), "model.gguf", &gguf.bytes(), &[words]);
    }
    let mut vocabulary = Gguf::vocabulary();
    vocabulary.set_text("general.architecture", "llama");
    check_file(
        folder.path(),
        "vocabulary.gguf",
        &vocabulary.bytes(),
        &["vocabulary", "no weights"],
    );
    let mut zero = Gguf::random("llama", 1);
    zero.set_u32("llama.attention.head_count", 0);
    check_file(folder.path(), "zero.gguf", &zero.bytes(), &["head_count"]);
    let mut unknown = Gguf::random("llama", 1);
    unknown.set_text("general.architecture", "fnord");
    for key in ["context_length", "embedding_length", "block_count"] {
        unknown.set_u32(&format!("fnord.{key}"), 4);
    }
    check_file(folder.path(), "fnord.gguf", &unknown.bytes(), &["architecture", "fnord"]);
    let mut adapter = Gguf::random("llama", 1);
    adapter.set_text("general.type", "adapter");
    check_file(folder.path(), "adapter.gguf", &adapter.bytes(), &["adapter"]);
}

#[test]
fn a_model_whose_parts_do_not_fit_is_refused_in_llama_cpps_words() {
    let folder = tempfile::tempdir().unwrap();
    let mut wide = Gguf::random("llama", 1);
    wide.set_u32("llama.feed_forward_length", 96);
    check_file(folder.path(), "wide.gguf", &wide.bytes(), &["shape"]);
    let deep = {
        let mut deep = Gguf::random("llama", 1);
        deep.set_u32("llama.block_count", 9);
        deep
    };
    check_file(folder.path(), "deep.gguf", &deep.bytes(), &["blk.3"]);
}

#[test]
fn a_port_that_cannot_be_had_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["--demo", &port], 69, &[&port, "in use"]);
    check(&["--demo", "70000"], 64, &["70000", "65535"]);
}

#[test]
fn options_that_do_not_fit_the_model_are_refused() {
    check(&["--demo", "0", "--ctx-size", "0"], 64, &["--ctx-size", "0"]);
    check(&["--demo", "0", "--ctx-size", "4096"], 64, &["4096", "1024"]);
    check(&["--demo", "0", "--kv-size", "100"], 64, &["--kv-size 100"]);
    check(&["--demo", "0", "--log", "=x=y="], 64, &["--log", "=x=y="]);
    check(&["--fnord"], 64, &["--fnord", "--help"]);
}

#[test]
fn a_file_this_user_may_not_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.gguf");
    fs::copy(demo_path(), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        // The superuser may read everything.
        return;
    }
    let path = path.to_str().unwrap();
    check(&[path, "0"], 66, &[path, "permission"]);
}

#[test]
fn version_and_help_are_printed_and_end_well() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let text = String::from_utf8(version.stdout).unwrap();
    for word in ["inference-core", "commit", "llama.cpp", "backend", "cpu flags"] {
        assert!(text.contains(word), "{text}");
    }
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("a toy"));
}
