//! Starting and leaving, seen from outside the process.

use futures_util::{SinkExt, StreamExt};
use inference_core::daemon::survives_its_terminal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::Gguf;
use crate::process::{DEADLINE, Daemon, Socket};

async fn send(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// Reads until a frame that `wanted` accepts, or the close frame, whose code it returns.
async fn read_until(socket: &mut Socket, wanted: impl Fn(&Value) -> bool) -> Result<Value, u16> {
    let read = async {
        loop {
            match socket.next().await.expect("a close frame comes first").unwrap() {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if wanted(&frame) {
                        return Ok(frame);
                    }
                }
                Message::Close(frame) => return Err(frame.unwrap().code.into()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the daemon answers")
}

fn is_op(op: &'static str) -> impl Fn(&Value) -> bool {
    move |frame| frame["op"] == op
}

fn endless() -> Value {
    json!({"op": "infer", "prompt": "Once", "params": {"ignore_eos": true, "temp": 0}})
}

#[tokio::test]
async fn a_signal_lets_a_running_request_finish_and_exits_with_zero() {
    // A test that `nohup` runs hands that on to the daemon.
    let hangup = (!survives_its_terminal()).then_some("HUP");
    for signal in ["INT", "TERM"].into_iter().chain(hangup) {
        let mut daemon = Daemon::start(&["--drain-timeout", "60", "--ctx-size", "300"]);
        let mut socket = daemon.connect().await;
        send(&mut socket, endless()).await;
        read_until(&mut socket, is_op("token")).await.unwrap();
        daemon.signal(signal);
        let end = read_until(&mut socket, is_op("end")).await.unwrap();
        assert_eq!(end["finish_reason"], "length");
        assert_eq!(read_until(&mut socket, |_| false).await, Err(1001));
        assert_eq!(daemon.wait().await, Some(0));
    }
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_ends_with_shutting_down() {
    let mut daemon = Daemon::start(&["--drain-timeout", "0"]);
    let mut socket = daemon.connect().await;
    send(&mut socket, endless()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    daemon.signal("TERM");
    let last =
        read_until(&mut socket, |frame| frame["op"] == "error" || frame["op"] == "end").await;
    assert_eq!(last.unwrap()["code"], "shutting_down");
    assert_eq!(read_until(&mut socket, |_| false).await, Err(1001));
    assert_eq!(daemon.wait().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Gguf::random("llama", 1);
    model.set_u32("llama.context_length", 1 << 20);
    let model = model.write(folder.path(), "long.gguf");
    // Two hundred thousand tokens take minutes, and the second signal comes within one metrics
    // interval of the first.
    let long = ["--ctx-size", "200000", "--parallel", "1", "--drain-timeout", "3600"];
    let mut daemon = Daemon::serving(&model, &long);
    let mut socket = daemon.connect().await;
    send(&mut socket, endless()).await;
    read_until(&mut socket, is_op("token")).await.unwrap();
    daemon.signal("TERM");
    read_until(&mut socket, |frame| frame["inference"]["state"] == "draining").await.unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(130));
}

#[tokio::test]
async fn a_disconnected_client_frees_its_slot() {
    let mut daemon = Daemon::start(&[]);
    let mut watcher = daemon.connect().await;
    let mut leaver = daemon.connect().await;
    send(&mut leaver, endless()).await;
    read_until(&mut leaver, is_op("token")).await.unwrap();
    drop(leaver);
    let idle = |frame: &Value| frame["inference"]["active"] == 0;
    let frame = read_until(&mut watcher, idle).await.unwrap();
    assert!(frame["inference"]["total_tokens_generated"].as_u64().unwrap() < 1000);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(0));
}

#[tokio::test]
async fn there_may_be_as_many_slots_as_the_smallest_step_has_tokens() {
    let args = ["--parallel", "64", "--ubatch", "64", "--ctx-size", "64"];
    let (_daemon, mut socket) = Daemon::start(&args).connect_once().await;
    let request = json!({"op": "infer", "prompt": "Once", "params": {"max_tokens": 1}});
    send(&mut socket, request).await;
    assert!(read_until(&mut socket, is_op("end")).await.is_ok());
}

#[tokio::test]
async fn the_log_says_how_each_request_ended_and_nothing_of_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut daemon = Daemon::start_with_log(&["--log", "info"], &[], &log);
    let mut socket = daemon.connect().await;
    let params = json!({"max_tokens": 3, "ignore_eos": true});
    send(&mut socket, json!({"op": "infer", "id": "a", "prompt": "Abrakadabra", "params": params}))
        .await;
    let end = read_until(&mut socket, is_op("end")).await.unwrap();
    let long = "word ".repeat(10_000);
    send(&mut socket, json!({"op": "infer", "id": "b", "prompt": long})).await;
    read_until(&mut socket, is_op("error")).await.unwrap();
    send(&mut socket, json!({"op": "infer", "id": "c", "prompt": "x", "params": {"top_p": 3}}))
        .await;
    read_until(&mut socket, is_op("error")).await.unwrap();
    let mut leaver = daemon.connect().await;
    let mut left = endless();
    left["id"] = json!("d");
    send(&mut leaver, left).await;
    read_until(&mut leaver, is_op("token")).await.unwrap();
    drop(leaver);
    let is_idle = |frame: &Value| frame["op"] == "metrics" && frame["inference"]["active"] == 0;
    read_until(&mut socket, is_idle).await.unwrap();
    daemon.signal("TERM");
    daemon.wait().await;
    let said = std::fs::read_to_string(&log).unwrap();
    let line = |word: &str| said.lines().find(|line| line.contains(word)).unwrap_or(&said);
    let (_, ended) = line("ended: ").split_once("ended: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(ended).unwrap(), end);
    assert!(line("ended: ").contains("peer=127.0.0.1:"), "{said}");
    for (word, more) in
        [("\"b\"", "context_overflow"), ("\"c\"", "invalid_params"), ("\"d\"", "disconnected")]
    {
        assert!(line(word).contains(more), "{said}");
    }
    assert!(!said.contains("not_found"), "to abort what has ended is no request: {said}");
    assert!(!said.contains("Abrakadabra") && !said.contains("word word"), "{said}");
}
