//! Arguments that are refused, and output that cannot be written.

#[cfg(target_os = "linux")]
use std::fs::File;
use std::net::TcpListener;

use crate::fixture::Gguf;
use crate::process::command;
use crate::refusals::{assert_refused, refusal};

#[test]
fn port_that_is_in_use_or_out_of_range_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    assert_refused(&["--demo", &port], 69, &[&port, "in use"]);
    assert_refused(&["--demo", "70000"], 64, &["70000", "65535"]);
}

#[test]
fn unusable_options_are_refused() {
    assert_refused(&["--demo", "0", "--ctx-size", "0"], 64, &["--ctx-size", "0"]);
    assert_refused(&["--demo", "0", "--ctx-size", "4096"], 64, &["4096", "1024"]);
    assert_refused(&["--demo", "0", "--kv-size", "100"], 64, &["--kv-size 100"]);
    // Refused before any of this memory is allocated. Otherwise the system could kill this process
    // or others.
    let huge = ["--demo", "0", "--kv-size", "2000000000"];
    assert_refused(&huge, 71, &["2000000000 tokens", "are free"]);
    assert_refused(&["--demo", "0", "--log", "=x=y="], 64, &["--log", "=x=y="]);
    assert_refused(&["--fnord"], 64, &["--fnord", "--help"]);
    let origin = |origin: &str, advice: &str| {
        assert_refused(&["--demo", "0", "--allow-origin", origin], 64, &["--allow-origin", advice]);
    };
    origin("*", "https://example.org");
    origin("ws://localhost:3000", "https://host");
    origin("https://example.org,chat.example", "https://host");
}

#[test]
fn plan_that_cannot_be_made_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let random = Gguf::random("llama", 1).write(folder.path(), "random.gguf");
    let random = random.to_str().unwrap();
    let cases: [(&[&str], &str, i32); 6] = [
        (&["plan", "nowhere.gguf"], "nowhere.gguf", 66),
        (&["plan", "--demo", "--vram", "much"], "much", 64),
        (&["plan", "--demo", "--vram-reserve", "-1GB"], "-1", 64),
        (&["--demo", "0", "--vram", "3GB"], "plan", 64),
        (&["plan", "--demo", "--kv-type", "q8_0", "--flash-attn", "off"], "q8_0", 64),
        (&["plan", random, "--kv-type", "q4_0"], "multiple", 64),
    ];
    for (args, word, code) in cases {
        let (exit_code, error) = refusal(args);
        assert_eq!(exit_code, Some(code), "{args:?}: {error}");
        assert!(error.contains(word) && error.lines().count() == 1, "{args:?}: {error}");
    }
}

#[test]
fn version_and_help_are_printed_with_success() {
    let version = command().arg("--version").output().unwrap();
    assert!(version.status.success());
    let text = String::from_utf8(version.stdout).unwrap();
    for word in ["inference-core", "commit", "llama.cpp", "backend", "cpu flags"] {
        assert!(text.contains(word), "{text}");
    }
    let help = command().arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("a toy"));
}

#[cfg(target_os = "linux")]
#[test]
fn output_to_a_full_disk_fails_in_one_line() {
    for args in [&["plan", "--demo"][..], &["--help"], &["--version"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command().args(args).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let found = (output.status.code(), stderr.lines().count());
        assert_eq!(found, (Some(74), 1), "{args:?}: {stderr}");
        assert!(stderr.contains("cannot be written"), "{args:?}: {stderr}");
    }
}

#[test]
fn output_to_a_closed_pipe_ends_without_a_message() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command().args(["plan", "--demo"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(1), Vec::new()));
}
