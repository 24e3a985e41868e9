//! What happens to the daemon and its clients when the runner process ends or hangs.

use std::fs;
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, poll};
#[cfg(target_os = "linux")]
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

use crate::client::{Socket, endless_request, is_op, read_until, send};
use crate::process::{DEADLINE, Daemon, command};

/// How a test disturbs the runner.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Sends the process a signal.
    Signal(&'static str),
    /// Has the next step do this.
    Step(&'static str),
}

fn is_terminal(frame: &Value) -> bool {
    frame["op"] == "end" || frame["op"] == "error"
}

/// Sends four endless requests, waits for their first text, and sends ten short ones.
async fn fill(socket: &mut Socket) {
    for i in 0..4 {
        let mut request = endless_request();
        request["id"] = json!(format!("running {i}"));
        send(socket, request).await;
        let id = json!(format!("running {i}"));
        read_until(socket, |frame| frame["op"] == "token" && frame["id"] == id).await.unwrap();
    }
    for i in 0..10 {
        let params = json!({"max_tokens": 3, "ignore_eos": true});
        let id = format!("waiting {i}");
        send(socket, json!({"op": "infer", "id": id, "prompt": "Once", "params": params})).await;
    }
}

/// The terminal frames of all requests of [`fill`], by id.
async fn ends(socket: &mut Socket) -> Vec<(String, Value)> {
    let mut ends = Vec::new();
    while ends.len() < 14 {
        let end = read_until(socket, is_terminal).await.unwrap();
        ends.push((end["id"].as_str().unwrap().to_owned(), end));
    }
    ends.sort_by(|a, b| a.0.cmp(&b.0));
    ends.dedup_by(|a, b| a.0 == b.0);
    assert_eq!(ends.len(), 14, "each request ends once");
    ends
}

/// Disturbs the runner in the middle of four streams and ten waiting requests. Returns the codes of
/// the running ones.
async fn disturb(fault: Fault) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let trigger = folder.path().join("fault");
    let variables = [("INFERENCE_CORE_TEST_FAULT", trigger.as_os_str())];
    let daemon = Daemon::start_with(&["--stall-limit", "1"], &variables);
    let mut socket = daemon.connect().await;
    fill(&mut socket).await;
    match fault {
        Fault::Signal(name) => daemon.signal_runner(name),
        Fault::Step(kind) => fs::write(&trigger, kind).unwrap(),
    }
    let mut codes = Vec::new();
    for (id, end) in ends(&mut socket).await {
        if id.starts_with("running") {
            codes.push(end["code"].as_str().unwrap().to_owned());
        } else {
            assert_eq!(end["op"], "end", "{fault:?}: {end}");
        }
    }
    codes
}

#[tokio::test]
async fn killed_runner_costs_the_answers_that_have_text_and_no_others() {
    for fault in [Fault::Signal("KILL"), Fault::Signal("ABRT"), Fault::Step("abort")] {
        assert_eq!(disturb(fault).await, ["engine_failed"; 4], "{fault:?}");
    }
}

#[tokio::test]
async fn hanging_runner_is_replaced_within_the_stall_limit() {
    for fault in [Fault::Signal("STOP"), Fault::Step("hang"), Fault::Step("spin")] {
        assert_eq!(disturb(fault).await, ["engine_stalled"; 4], "{fault:?}");
    }
}

#[tokio::test]
async fn failed_step_costs_its_requests_and_keeps_the_runner() {
    assert_eq!(disturb(Fault::Step("fail")).await, ["engine_failed"; 4]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn runner_ends_with_a_daemon_that_is_killed_even_if_it_is_stopped() {
    for is_stopped in [false, true] {
        let mut daemon = Daemon::start(&[]);
        let runner = Pid::from_raw(daemon.runner().cast_signed()).unwrap();
        let runner = pidfd_open(runner, PidfdFlags::empty()).unwrap();
        if is_stopped {
            daemon.signal_runner("STOP");
        }
        daemon.signal("KILL");
        daemon.wait().await;
        // Readable when the process has ended.
        let deadline = DEADLINE.try_into().unwrap();
        let n_ended = poll(&mut [PollFd::new(&runner, PollFlags::IN)], Some(&deadline)).unwrap();
        assert_eq!(n_ended, 1, "the runner has ended");
    }
}

#[tokio::test]
async fn shutdown_ends_requests_although_the_runner_is_stopped() {
    let mut daemon = Daemon::start(&["--drain-timeout", "0", "--stall-limit", "60"]);
    let mut socket = daemon.connect().await;
    send(&mut socket, endless_request()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    daemon.signal_runner("STOP");
    daemon.signal("TERM");
    let end = read_until(&mut socket, is_terminal).await.unwrap();
    assert_eq!(end["code"], "shutting_down");
    assert_eq!(read_until(&mut socket, |_| false).await, Err(1001));
    assert_eq!(daemon.wait().await, Some(0));
}

/// Copies the demo model to a file.
fn demo_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("model.gguf");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/demo-model/demo.gguf"), &path).unwrap();
    path
}

#[tokio::test]
async fn truncated_model_file_ends_requests_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let model = demo_file(folder.path());
    let daemon = Daemon::start_model(&model, &["--exit-on-failure"]);
    fs::File::options().write(true).open(&model).unwrap().set_len(1000).unwrap();
    daemon.signal_runner("KILL");
    let mut socket = daemon.connect().await;
    send(&mut socket, json!({"op": "infer", "prompt": "Once"})).await;
    let error = read_until(&mut socket, is_terminal).await.unwrap();
    assert_eq!(error["code"], "engine_failed");
    assert!(error["message"].as_str().unwrap().contains("replaced or changed"), "{error}");
    let mut daemon = daemon;
    assert_eq!(daemon.wait().await, Some(70));
}

#[test]
fn abort_while_loading_is_one_line_and_exit_code_65() {
    let folder = tempfile::tempdir().unwrap();
    let trigger = folder.path().join("fault");
    fs::write(&trigger, "abort").unwrap();
    let output = command()
        .args(["--demo", "0"])
        .env("INFERENCE_CORE_TEST_LOAD_FAULT", &trigger)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{text}");
    assert!(text.contains("the process that loads it ended with SIGABRT"), "{text}");
}

#[test]
fn runner_command_of_a_user_does_nothing() {
    let output = command().arg("runner").stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(output.stdout, b"");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("`runner`"), "{text}");
}
