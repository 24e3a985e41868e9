//! What cannot be served: one plain line that names it, and the documented exit code.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use inference_core::llama::{self, ModelSource};

use crate::fixture::{Gguf, demo_path};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inference-core")).args(args).output().unwrap()
}

/// Runs the daemon and checks that it leaves with `code` and one line on stderr with all `words`.
pub fn check(args: &[&str], code: i32, words: &[&str]) {
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
pub fn check_file(folder: &Path, name: &str, bytes: &[u8], words: &[&str]) {
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

/// Checks that a model with `change` made to it is refused from its header alone.
pub fn check_header(change: impl FnOnce(&mut Gguf), words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    change(&mut gguf);
    let path = gguf.write(folder.path(), "model.gguf");
    let refused = llama::describe(&ModelSource::File(path)).err().map(|error| error.to_string());
    let message = refused.unwrap_or_else(|| panic!("{words:?}: it is taken"));
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
}

#[test]
fn numbers_that_ggml_cannot_compute_with_are_refused() {
    for (key, values) in [
        ("attention.layer_norm_rms_epsilon", &[f32::NAN, -1.0, f32::NEG_INFINITY][..]),
        ("attention.layer_norm_epsilon", &[f32::NAN, -1.0, f32::INFINITY]),
        ("attention.group_norm_epsilon", &[f32::NAN]),
        ("rope.freq_base", &[f32::NAN, 0.0, -1.0, f32::INFINITY]),
        ("rope.scaling.factor", &[f32::NAN]),
    ] {
        for &value in values {
            let change = |gguf: &mut Gguf| gguf.set_f32(&format!("llama.{key}"), value);
            check_header(change, &[key, &value.to_string()]);
        }
    }
}

#[test]
fn tensors_larger_than_any_model_are_refused() {
    let huge = |gguf: &mut Gguf| {
        for name in ["blk.0.ffn_up.weight", "blk.0.ffn_down.weight"] {
            gguf.claim_sides(name, &[1 << 30, 1 << 30]);
        }
    };
    check_header(huge, &["tensors are larger than any model"]);
}

#[test]
fn an_alignment_that_tensors_cannot_have_is_refused() {
    for alignment in [0, 1, 8, 16, 33, u32::MAX] {
        let change = |gguf: &mut Gguf| gguf.set_u32("general.alignment", alignment);
        check_header(change, &["general.alignment", &alignment.to_string(), "power of two"]);
    }
}

#[test]
fn a_vocabulary_that_is_not_whole_is_refused() {
    let tokens = |change: fn(&mut Vec<Vec<u8>>), words: &[&str]| {
        check_header(|gguf| gguf.change_tokens(change), words);
    };
    tokens(|tokens| tokens[100] = tokens[99].clone(), &["token 100", "twice"]);
    // llama.cpp reads C strings and names empty ones.
    tokens(|tokens| tokens[300] = [&tokens[99][..], b"\0x"].concat(), &["token 300", "twice"]);
    tokens(
        |tokens| {
            tokens[300] = b"[EMPTY_301]".to_vec();
            tokens[301] = Vec::new();
        },
        &["token 301", "twice"],
    );
    let hole = |tokens: &mut Vec<Vec<u8>>| {
        tokens.iter_mut().filter(|token| *token == b"<0xE4>").for_each(|token| token.push(b'x'));
    };
    tokens(hole, &["0xE4", "missing"]);
    tokens(Vec::clear, &["no tokens"]);
    let model = |name: &str, words: &[&str]| {
        check_header(|gguf| gguf.set_text("tokenizer.ggml.model", name), words);
    };
    model("none", &["none", "cannot read or write"]);
    model("no_vocab", &["no_vocab", "cannot read or write"]);
    model("bert", &["bert", "embedding"]);
    model("t5", &["t5", "encoder"]);
    model("rwkv", &["rwkv", "llama"]);
    check_header(
        |gguf| {
            gguf.set_text("tokenizer.ggml.model", "gemma4");
            gguf.set_u32("tokenizer.ggml.bos_token_id", 1 << 20);
        },
        &["bos_token_id"],
    );
}

#[test]
fn a_text_of_many_gigabytes_is_refused_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.gguf");
    let mut file = File::create(&path).unwrap();
    let key = b"general.name";
    file.write_all(b"GGUF\x03\0\0\0").unwrap();
    for n in [0, 1, key.len() as u64] {
        file.write_all(&n.to_le_bytes()).unwrap();
    }
    file.write_all(key).unwrap();
    file.write_all(&8u32.to_le_bytes()).unwrap();
    file.write_all(&(60u64 << 30).to_le_bytes()).unwrap();
    if file.set_len(64 << 30).is_err() {
        // This file system has no holes.
        return;
    }
    let error = llama::describe(&ModelSource::File(path)).unwrap_err().to_string();
    assert!(error.contains("more than 256 MiB"), "{error}");
}

#[test]
fn names_with_control_characters_stay_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_text("general.name", "red \u{1b}[31m\nlistening on ws://evil");
    let path = gguf.write(folder.path(), "name.gguf");
    let name = llama::describe(&ModelSource::File(path)).unwrap().info.name;
    assert_eq!(name, "red \\u{1b}[31m\\nlistening on ws://evil");
    let path = folder.path().join("a\n\u{1b}b.gguf");
    fs::write(&path, "no model").unwrap();
    check(&[path.to_str().unwrap(), "0"], 65, &["a\\n\\u{1b}b.gguf", "not a GGUF"]);
}

/// Types of metadata values, as GGUF has them.
const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;

#[test]
fn whatever_one_value_is_the_daemon_gets_ready_or_leaves_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant.gguf");
    let try_out = |key: &str, kind: u32, value: &[u8]| {
        fs::write(&path, Gguf::demo_with(key, kind, value)).unwrap();
        // What the header shows needs no process; its message is looked at all the same.
        match llama::describe(&ModelSource::File(path.clone())) {
            Ok(_) => start(&path, &format!("{key}: {value:?}")),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{key}: {error}"),
        }
    };
    for key in ["embedding_length", "feed_forward_length", "vocab_size", "context_length"] {
        for value in [0, 1, u32::MAX >> 1, u32::MAX] {
            try_out(&format!("llama.{key}"), U32, &value.to_le_bytes());
        }
    }
    for key in ["block_count", "expert_count", "attention.head_count", "attention.head_count_kv"] {
        for value in [0, 1, 2, 5, 7, (u32::MAX >> 1) + 1, u32::MAX] {
            try_out(&format!("llama.{key}"), U32, &value.to_le_bytes());
        }
    }
    for key in ["rope.dimension_count", "attention.key_length", "expert_used_count"] {
        for value in [0, 31, u32::MAX] {
            try_out(&format!("llama.{key}"), U32, &value.to_le_bytes());
        }
    }
    for key in ["bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"] {
        try_out(&format!("tokenizer.ggml.{key}"), U32, &u32::MAX.to_le_bytes());
        try_out(&format!("tokenizer.ggml.{key}"), U32, &2048u32.to_le_bytes());
    }
    for key in ["attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor"] {
        for value in [f32::NAN, 0.0, -1.0, f32::INFINITY, f32::MIN_POSITIVE] {
            try_out(&format!("llama.{key}"), F32, &value.to_le_bytes());
        }
    }
    for name in ["", "none", "bert", "rwkv", "gpt2", "t5", "plamo2", "gemma4", "test", "fnord"] {
        let text = [&(name.len() as u64).to_le_bytes(), name.as_bytes()].concat();
        try_out("tokenizer.ggml.model", TEXT, &text);
        try_out("llama.rope.scaling.type", TEXT, &text);
    }
    for length in [1 << 31, 1 << 40, u64::MAX] {
        try_out("general.name", TEXT, &length.to_le_bytes());
    }
    for alignment in [0u32, 1, 8, 31] {
        try_out("general.alignment", U32, &alignment.to_le_bytes());
    }
}

/// Starts the daemon on `path` until it is ready, or leaves as documented.
fn start(path: &Path, what: &str) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_inference-core"))
        .args([path.to_str().unwrap(), "0", "--threads", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    if lines.any(|line| line.unwrap().starts_with("ready")) {
        process.kill().unwrap();
        process.wait().unwrap();
        return;
    }
    let mut stderr = String::new();
    process.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = process.wait().unwrap().code();
    assert!(matches!(code, Some(64 | 65 | 71)), "{what}: {code:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{what}: {stderr}");
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
    // Nothing has been taken yet, of which the system could end this process or others.
    check(&["--demo", "0", "--kv-size", "2000000000"], 71, &["2000000000 tokens", "are free"]);
    check(&["--demo", "0", "--log", "=x=y="], 64, &["--log", "=x=y="]);
    check(&["--fnord"], 64, &["--fnord", "--help"]);
}

#[test]
fn a_file_this_user_may_not_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.gguf");
    fs::copy(demo_path(), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&path).is_ok() {
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
