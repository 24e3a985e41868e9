//! Files that are not readable GGUF files are refused in one line.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use inference_core::llama::{self, ModelSource};

use crate::fixture::{Gguf, demo_path, string_value, value_type};
use crate::refusals::{assert_file_refused, assert_refused};

#[test]
fn path_that_is_not_a_regular_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_refused(&[path, "0"], 66, &[path, "directory"]);
    let missing = folder.path().join("missing.gguf");
    let missing = missing.to_str().unwrap();
    assert_refused(&[missing, "0"], 66, &[missing, "no such file"]);
    assert_refused(&["/dev/null", "0"], 66, &["/dev/null", "not a regular file"]);
}

#[test]
fn file_without_read_permission_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.gguf");
    fs::copy(demo_path(), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
        // The superuser may read every file.
        return;
    }
    let path = path.to_str().unwrap();
    assert_refused(&[path, "0"], 66, &[path, "permission"]);
}

#[test]
fn file_that_is_not_a_gguf_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_file_refused(folder.path(), "empty.gguf", b"", &["empty"]);
    assert_file_refused(folder.path(), "short.gguf", b"GG", &["not a GGUF"]);
    assert_file_refused(folder.path(), "text.gguf", b"Once upon a time", &["not a GGUF", "Once"]);
    let mut old = Gguf::random("llama", 1).bytes();
    old[4] = 1;
    assert_file_refused(folder.path(), "old.gguf", &old, &["version is 1"]);
}

#[test]
fn truncated_file_is_refused_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(demo_path()).unwrap();
    for n in [5, 20, 30, 200, 5_000, 50_000, whole.len() / 2, whole.len() - 1] {
        assert_file_refused(folder.path(), "cut.gguf", &whole[..n], &["truncated"]);
    }
}

#[test]
fn header_with_impossible_counts_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let valid = Gguf::random("llama", 1).bytes();
    let with_huge_count_at = |at: usize| {
        let mut bytes = valid.clone();
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        bytes
    };
    for (name, at, words) in [
        ("tensors.gguf", 8, &["broken", "tensors"][..]),
        ("entries.gguf", 16, &["broken", "entries"]),
        ("key.gguf", 24, &["truncated"]),
    ] {
        assert_file_refused(folder.path(), name, &with_huge_count_at(at), words);
    }
}

#[test]
fn string_of_many_gigabytes_is_refused_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.gguf");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"GGUF\x03\0\0\0").unwrap();
    // No tensors and one key.
    for n in [0u64, 1] {
        file.write_all(&n.to_le_bytes()).unwrap();
    }
    file.write_all(&string_value(b"general.name")).unwrap();
    file.write_all(&value_type::STRING.to_le_bytes()).unwrap();
    file.write_all(&(60u64 << 30).to_le_bytes()).unwrap();
    if file.set_len(64 << 30).is_err() {
        // The file system does not support sparse files.
        return;
    }
    let error = llama::describe(&ModelSource::File(path)).unwrap_err().to_string();
    assert!(error.contains("more than 256 MiB"), "{error}");
}

#[test]
fn name_with_control_characters_is_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_string("general.name", "red \u{1b}[31m\nlistening on ws://evil");
    let path = gguf.write(folder.path(), "name.gguf");
    let name = llama::describe(&ModelSource::File(path)).unwrap().info.name;
    assert_eq!(name, "red \\u{1b}[31m\\nlistening on ws://evil");
    let path = folder.path().join("a\n\u{1b}b.gguf");
    fs::write(&path, "no model").unwrap();
    assert_refused(&[path.to_str().unwrap(), "0"], 65, &["a\\n\\u{1b}b.gguf", "not a GGUF"]);
}
