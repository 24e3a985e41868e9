//! Signals end the daemon: it drains first, and the exit code says how it went.

use inference_core::daemon::is_hangup_ignored;

use crate::client::{endless_request, is_op, read_until, send};
use crate::fixture::Gguf;
use crate::process::Daemon;

#[tokio::test]
async fn signal_lets_a_running_request_finish_and_exits_with_0() {
    // Under `nohup` this test ignores SIGHUP, and the daemon inherits that.
    let hangup = (!is_hangup_ignored()).then_some("HUP");
    for signal in ["INT", "TERM"].into_iter().chain(hangup) {
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
