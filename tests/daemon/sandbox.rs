//! A runner that has been taken over reaches nothing outside of it.

use std::fs;
use std::path::Path;

use crate::client::{endless_request, is_op, read_until, send};
use crate::process::{Daemon, command, until_logged};

/// What attempts of a runner to leave its sandbox returned, by name; empty if this kernel lacks a
/// part of the sandbox.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
async fn attempts(mode: &str, folder: &Path) -> Vec<(String, String)> {
    let (trigger, log) = (folder.join("fault"), folder.join("log"));
    fs::write(&trigger, "escape").unwrap();
    let variables = [("INFERENCE_CORE_TEST_LOAD_FAULT", trigger.as_os_str())];
    let args = ["--sandbox", mode, "--log", "info"];
    let daemon = Daemon::start_with_log(&args, &variables, &log);
    let text = until_logged(&log, "escape: done");
    if text.contains("the sandbox is incomplete") {
        eprintln!("skipped: {text}");
        return Vec::new();
    }
    // The runner still computes.
    let mut socket = daemon.connect().await;
    send(&mut socket, endless_request()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    let results = text.lines().filter_map(|line| line.split_once("escape: ")?.1.split_once(": "));
    results.map(|(name, result)| (name.to_owned(), result.to_owned())).collect()
}

#[tokio::test]
async fn confined_runner_fails_in_every_attempt_to_leave() {
    let folder = tempfile::tempdir().unwrap();
    let attempts = attempts("auto", folder.path()).await;
    for (name, result) in &attempts {
        let is_denied = result.contains("Permission denied") || result.contains("not permitted");
        assert!(is_denied, "{name}: {result}");
    }
    if !attempts.is_empty() {
        Daemon::start(&["--sandbox", "strict"]);
    }
}

#[tokio::test]
async fn runner_without_sandbox_shows_that_the_attempts_work() {
    let folder = tempfile::tempdir().unwrap();
    let attempts = attempts("off", folder.path()).await;
    let succeeded = |wanted: &str| {
        attempts.iter().any(|(name, result)| name == wanted && result == "succeeded")
    };
    for name in [
        "read a file",
        "list a folder",
        "write a file",
        "connect to a port",
        "listen on a port",
        "connect to a local socket",
        "run a program",
        "fork",
        "signal the daemon",
        "read the daemon's command line",
    ] {
        assert!(succeeded(name), "{name}: {attempts:?}");
    }
}

#[tokio::test]
async fn runner_gets_no_secret_of_the_daemon_in_its_environment() {
    let variables = [
        ("INFERENCE_CORE_SECRET_FOR_A_TEST", "secret".as_ref()),
        ("AWS_SECRET_ACCESS_KEY", "secret".as_ref()),
        ("OMP_WAIT_POLICY", "passive".as_ref()),
    ];
    let daemon = Daemon::start_with(&[], &variables);
    let environment = fs::read(format!("/proc/{}/environ", daemon.runner())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("secret"), "{environment}");
    assert!(environment.contains("OMP_WAIT_POLICY=passive"), "{environment}");
}

#[test]
fn wrong_sandbox_mode_is_refused_with_the_possible_ones() {
    let output = command().args(["--demo", "--sandbox", "on"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(text.contains("off, auto, strict"), "{text}");
}
