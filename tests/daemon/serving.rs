//! Requests to the daemon process: slots, and the log.

use serde_json::{Value, json};

use crate::client::{endless_request, is_op, metrics, read_until, send};
use crate::process::{Daemon, until_logged};

#[tokio::test]
async fn disconnected_client_frees_its_slot() {
    let mut daemon = Daemon::start(&[]);
    let mut watcher = daemon.connect().await;
    let mut client = daemon.connect().await;
    send(&mut client, endless_request()).await;
    read_until(&mut client, is_op("token")).await.unwrap();
    drop(client);
    let is_idle = |frame: &Value| frame["inference"]["active"] == 0;
    let frame = read_until(&mut watcher, is_idle).await.unwrap();
    assert!(frame["inference"]["total_tokens_generated"].as_u64().unwrap() < 1000);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(0));
}

#[tokio::test]
async fn number_of_slots_may_equal_the_tokens_of_the_smallest_step() {
    let args = ["--parallel", "64", "--ubatch", "64", "--ctx-size", "64"];
    let (_daemon, mut socket) = Daemon::start(&args).with_client().await;
    let request = json!({"op": "infer", "prompt": "Once", "params": {"max_tokens": 1}});
    send(&mut socket, request).await;
    assert!(read_until(&mut socket, is_op("end")).await.is_ok());
}

#[tokio::test]
async fn refused_page_is_logged_once_with_the_option_that_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let daemon = Daemon::start_with_log(&["--allow-origin", "app://obsidian.md/"], &[], &log);
    for (origin, is_accepted) in [
        ("app://obsidian.md", true),
        ("app://evil.md", false),
        ("app://evil.md", false),
        ("null", false),
    ] {
        assert_eq!(daemon.accepts_page(origin).await, is_accepted, "{origin}");
    }
    let log = until_logged(&log, "--allow-origin null");
    assert_eq!(log.matches("--allow-origin app://evil.md").count(), 1, "{log}");
    assert!(!log.contains("obsidian"), "{log}");
}

#[tokio::test]
async fn log_has_the_outcome_of_each_request_and_none_of_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut daemon = Daemon::start_with_log(&["--log", "info"], &[], &log);
    let mut socket = daemon.connect().await;
    let params = json!({"max_tokens": 3, "ignore_eos": true});
    let frame = json!({"op": "infer", "id": "a", "prompt": "Abrakadabra", "params": params,
        "Abrakadabra": 1});
    send(&mut socket, frame).await;
    let mut end = read_until(&mut socket, is_op("end")).await.unwrap();
    end.as_object_mut().unwrap().remove("warnings").expect("it has a warning");
    let long = "word ".repeat(10_000);
    send(&mut socket, json!({"op": "infer", "id": "b", "prompt": long})).await;
    read_until(&mut socket, is_op("error")).await.unwrap();
    send(&mut socket, json!({"op": "infer", "id": "c", "prompt": "x", "params": {"top_p": 3}}))
        .await;
    read_until(&mut socket, is_op("error")).await.unwrap();
    let mut other = daemon.connect().await;
    let mut endless = endless_request();
    endless["id"] = json!("d");
    send(&mut other, endless).await;
    read_until(&mut other, is_op("token")).await.unwrap();
    drop(other);
    metrics(&mut socket, |frame| frame["inference"]["active"] == 0).await;
    daemon.signal("TERM");
    daemon.wait().await;

    let log = std::fs::read_to_string(&log).unwrap();
    let line = |word: &str| log.lines().find(|line| line.contains(word)).unwrap_or(&log);
    let (_, ended) = line("ended: ").split_once("ended: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(ended).unwrap(), end);
    assert!(line("ended: ").contains("peer=127.0.0.1:"), "{log}");
    for (id, outcome) in
        [("\"b\"", "context_overflow"), ("\"c\"", "invalid_params"), ("\"d\"", "disconnected")]
    {
        assert!(line(id).contains(outcome), "{log}");
    }
    assert!(!log.contains("not_found"), "an abort of an ended request is not a request: {log}");
    assert!(!log.contains("Abrakadabra") && !log.contains("word word"), "{log}");
}
