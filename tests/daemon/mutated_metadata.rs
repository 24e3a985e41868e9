//! No value in a model's metadata kills the daemon.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use inference_core::llama::{self, ModelSource};

use crate::fixture::value_type::{F32, STRING, U32};
use crate::fixture::{Gguf, string_value};
use crate::process::command;

#[test]
fn daemon_with_any_metadata_value_gets_ready_or_refuses_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant.gguf");
    let check = |key: &str, value_type: u32, value: &[u8]| {
        fs::write(&path, Gguf::demo_with(key, value_type, value)).unwrap();
        // What is refused because of the header needs no process. The error must be one line too.
        match llama::describe(&ModelSource::File(path.clone())) {
            Ok(_) => assert_ready_or_refused(&path, &format!("{key}: {value:?}")),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{key}: {error}"),
        }
    };
    for key in ["embedding_length", "feed_forward_length", "vocab_size", "context_length"] {
        for value in [0, 1, u32::MAX >> 1, u32::MAX] {
            check(&format!("llama.{key}"), U32, &value.to_le_bytes());
        }
    }
    for key in ["block_count", "expert_count", "attention.head_count", "attention.head_count_kv"] {
        for value in [0, 1, 2, 5, 7, (u32::MAX >> 1) + 1, u32::MAX] {
            check(&format!("llama.{key}"), U32, &value.to_le_bytes());
        }
    }
    for key in ["rope.dimension_count", "attention.key_length", "expert_used_count"] {
        for value in [0, 31, u32::MAX] {
            check(&format!("llama.{key}"), U32, &value.to_le_bytes());
        }
    }
    for key in ["bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"] {
        check(&format!("tokenizer.ggml.{key}"), U32, &u32::MAX.to_le_bytes());
        check(&format!("tokenizer.ggml.{key}"), U32, &2048u32.to_le_bytes());
    }
    for key in ["attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor"] {
        for value in [f32::NAN, 0.0, -1.0, f32::INFINITY, f32::MIN_POSITIVE] {
            check(&format!("llama.{key}"), F32, &value.to_le_bytes());
        }
    }
    for name in ["", "none", "bert", "rwkv", "gpt2", "t5", "plamo2", "gemma4", "test", "fnord"] {
        let name = string_value(name.as_bytes());
        check("tokenizer.ggml.model", STRING, &name);
        check("llama.rope.scaling.type", STRING, &name);
    }
    for length in [1 << 31, 1 << 40, u64::MAX] {
        check("general.name", STRING, &length.to_le_bytes());
    }
    for alignment in [0u32, 1, 8, 31] {
        check("general.alignment", U32, &alignment.to_le_bytes());
    }
}

/// Starts the daemon with the model at `path`, and asserts that it gets ready or exits with a
/// documented code and one line.
fn assert_ready_or_refused(path: &Path, what: &str) {
    let mut process = command()
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
