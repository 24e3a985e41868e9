//! A daemon that may open few files.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::client::{is_op, read_until, send};
use crate::process::{Daemon, until_logged};

/// Runs the daemon with a limit of 64 open files.
const FEW_FILES: [&str; 4] = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];

/// More connections than the daemon may open files.
const N_CONNECTIONS: usize = 200;

#[tokio::test]
async fn pages_are_served_however_many_tcp_connections_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let daemon = Daemon::start_through(&FEW_FILES, Stdio::null(), &log);
    let mut client = daemon.connect().await;
    for bytes in
        ["", "GET / HTTP/1.1\r\nHost: loc", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    {
        let mut open = Vec::new();
        for _ in 0..N_CONNECTIONS {
            let mut stream = daemon.tcp().await;
            stream.write_all(bytes.as_bytes()).await.unwrap();
            open.push(stream);
        }
        for path in ["/healthz", "/metrics"] {
            let page = daemon.page(path).await;
            assert!(page.starts_with("HTTP/1.1 200"), "{bytes:?}: {page:?}");
        }
    }
    // A WebSocket is not closed for other connections.
    send(&mut client, serde_json::json!({"op": "ping"})).await;
    assert!(read_until(&mut client, is_op("pong")).await.is_ok());
    let log = until_logged(&log, "open files");
    assert_eq!(log.lines().filter(|line| line.contains("open files")).count(), 1, "{log}");
    assert!(log.contains("--max-connections 1024 needs") && log.contains("limit is 64"), "{log}");
}

#[tokio::test]
async fn soft_limit_on_open_files_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let launcher = ["sh", "-c", "ulimit -Sn 64; exec \"$@\"", "sh"];
    let mut daemon = Daemon::start_through(&launcher, Stdio::null(), &log);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("limit is 64"), "{log}");
}

#[tokio::test]
async fn pages_and_a_new_client_are_served_however_many_websockets_are_idle() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_through(&FEW_FILES, Stdio::null(), &folder.path().join("log"));
    let mut open = Vec::new();
    for _ in 0..N_CONNECTIONS {
        // Those that have to close do not answer the close frame.
        open.push(daemon.connect().await);
    }
    for path in ["/healthz", "/metrics"] {
        let page = daemon.page(path).await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page:?}");
    }
    assert_eq!(read_until(&mut open[0], |_| false).await, Err(1013));
    let mut client = daemon.connect().await;
    let params = serde_json::json!({"max_tokens": 3});
    send(&mut client, serde_json::json!({"op": "infer", "prompt": "Once", "params": params})).await;
    assert!(read_until(&mut client, is_op("end")).await.is_ok());
}
