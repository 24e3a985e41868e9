//! Signals that end the daemon, which drains first and reports by its exit code how that went, and
//! signals that it ignores.

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::process::Stdio;

use inference_core::daemon::is_hangup_ignored;
#[cfg(target_os = "linux")]
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::client::{endless_request, is_op, metrics, read_until, send};
use crate::fixture::Gguf;
use crate::process::{Daemon, until_logged};

#[tokio::test]
async fn signal_lets_a_running_request_finish_and_exits_with_0() {
    let power = cfg!(target_os = "linux").then_some("PWR");
    for signal in ["INT", "TERM", "QUIT", "XCPU"].into_iter().chain(power) {
        let mut daemon = Daemon::start(&["--drain-timeout", "60", "--ctx-size", "300"]);
        let mut socket = daemon.connect().await;
        send(&mut socket, endless_request()).await;
        read_until(&mut socket, is_op("token")).await.unwrap();
        daemon.signal(signal);
        let end = read_until(&mut socket, is_op("end")).await.unwrap();
        assert_eq!(end["finish_reason"], "length");
        assert_eq!(read_until(&mut socket, |_| false).await, Err(1001));
        assert_eq!(daemon.wait().await, Some(0));
    }
}

/// Checks that the daemon still serves, and shuts it down.
async fn is_served_until_shutdown(mut daemon: Daemon) {
    let mut socket = daemon.connect().await;
    metrics(&mut socket, |frame| frame["inference"]["state"] == "idle").await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(0));
}

#[tokio::test]
async fn signal_without_a_meaning_is_logged_and_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let daemon = Daemon::start_with_log(&["--log", "info"], &[], &log);
    for signal in ["USR1", "USR2", "ALRM", "VTALRM", "PROF"] {
        daemon.signal(signal);
        until_logged(&log, &format!("ignored SIG{signal}"));
    }
    daemon.signal("POLL");
    until_logged(&log, "ignored SIGIO");
    daemon.signal("XFSZ");
    is_served_until_shutdown(daemon).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn hangup_without_a_terminal_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // A new session has no terminal.
    let daemon = Daemon::start_through(&["setsid"], Stdio::null(), &log);
    daemon.signal("HUP");
    // Under `nohup` this test ignores SIGHUP, and the daemon inherits that.
    if !is_hangup_ignored() {
        until_logged(&log, "ignored SIGHUP");
    }
    is_served_until_shutdown(daemon).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn closed_terminal_lets_a_running_request_finish_and_exits_with_0() {
    if is_hangup_ignored() {
        return;
    }
    let (terminal, stdin) = terminal();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // A new session with this terminal.
    let daemon = Daemon::start_through(&["setsid", "--ctty"], stdin.into(), &log);
    drains_when_closed(terminal, daemon).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn hangup_from_a_program_ends_nothing_while_the_terminal_is_open() {
    if is_hangup_ignored() {
        return;
    }
    let (terminal, stdin) = terminal();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let daemon = Daemon::start_through(&["setsid", "--ctty"], stdin.into(), &log);
    daemon.signal("HUP");
    until_logged(&log, "ignored SIGHUP: there is nothing to reload");
    drains_when_closed(terminal, daemon).await;
}

/// Closes the terminal of a daemon that has a running request. The request ends in full.
#[cfg(target_os = "linux")]
async fn drains_when_closed(terminal: OwnedFd, mut daemon: Daemon) {
    let mut socket = daemon.connect().await;
    send(&mut socket, endless_request()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    drop(terminal);
    assert_eq!(read_until(&mut socket, is_op("end")).await.unwrap()["finish_reason"], "length");
    assert_eq!(read_until(&mut socket, |_| false).await, Err(1001));
    assert_eq!(daemon.wait().await, Some(0));
}

/// A new terminal: its controlling side, and the side for a program.
#[cfg(target_os = "linux")]
fn terminal() -> (OwnedFd, OwnedFd) {
    // No other process inherits the terminal, which would keep it open.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).unwrap();
    unlockpt(&terminal).unwrap();
    let stdin = ioctl_tiocgptpeer(&terminal, flags).unwrap();
    (terminal, stdin)
}

#[tokio::test]
async fn signal_that_the_system_repeats_counts_once() {
    let mut daemon = Daemon::start(&["--drain-timeout", "60", "--ctx-size", "900"]);
    let mut socket = daemon.connect().await;
    send(&mut socket, endless_request()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    for _ in 0..3 {
        daemon.signal("XCPU");
    }
    assert_eq!(read_until(&mut socket, is_op("end")).await.unwrap()["finish_reason"], "length");
    assert_eq!(daemon.wait().await, Some(0));
}

#[tokio::test]
async fn request_that_outlasts_the_drain_ends_with_shutting_down() {
    let mut daemon = Daemon::start(&["--drain-timeout", "0"]);
    let mut socket = daemon.connect().await;
    send(&mut socket, endless_request()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    daemon.signal("TERM");
    let last =
        read_until(&mut socket, |frame| frame["op"] == "error" || frame["op"] == "end").await;
    assert_eq!(last.unwrap()["code"], "shutting_down");
    assert_eq!(read_until(&mut socket, |_| false).await, Err(1001));
    assert_eq!(daemon.wait().await, Some(0));
}

#[tokio::test]
async fn second_signal_ends_the_daemon_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Gguf::random("llama", 1);
    model.set_u32("llama.context_length", 1 << 20);
    let model = model.write(folder.path(), "long.gguf");
    // 200,000 tokens take minutes, and the second signal follows the first within one metrics
    // interval.
    let args = ["--ctx-size", "200000", "--parallel", "1", "--drain-timeout", "3600"];
    let log = folder.path().join("log");
    let mut daemon = Daemon::start_model_with_debug_log(&model, &args, &log);
    let mut socket = daemon.connect().await;
    send(&mut socket, endless_request()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    daemon.signal("TERM");
    read_until(&mut socket, |frame| frame["inference"]["state"] == "draining").await.unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(130));
    let log = std::fs::read_to_string(log).unwrap();
    let error = log.split_once("\ninference-core: stopped at once by a second signal\n");
    assert!(error.is_some_and(|(before, _)| before.contains("shutting down")), "{log}");
}
