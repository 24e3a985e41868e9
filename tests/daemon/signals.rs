//! Starting and leaving, seen from outside the process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than any test needs, so that a hang is a failure and not a wait for ever.
const DEADLINE: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Daemon {
    process: Child,
    url: String,
}

impl Daemon {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_inference-core"))
            .args(["--demo", "0", "--threads", "1"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                url = Some(address.to_owned());
            }
            if line.starts_with("ready") {
                break;
            }
        }
        Self { process, url: url.expect("the daemon says where it listens") }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    async fn connect(&self) -> Socket {
        connect_async(&self.url).await.unwrap().0
    }

    /// Waits for the end; the exit code.
    async fn wait(&mut self) -> Option<i32> {
        let wait = async {
            loop {
                if let Some(status) = self.process.try_wait().unwrap() {
                    return status.code();
                }
                // A look now and then: std's child can only be waited for by blocking.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("the daemon ends")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended in every test that passed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
    for signal in ["INT", "TERM"] {
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
    let mut daemon = Daemon::start(&["--drain-timeout", "3600", "--step-target", "60000"]);
    let mut socket = daemon.connect().await;
    // Requests of one connection after another keep the engine busy far beyond the deadline.
    for i in 0..40 {
        let mut frame = endless();
        frame["id"] = json!(format!("r{i}"));
        send(&mut socket, frame).await;
    }
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
