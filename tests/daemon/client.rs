//! A WebSocket client of the daemon.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::process::DEADLINE;

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub async fn send(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// Reads up to the first frame that matches and returns it.
///
/// # Errors
/// The code of the close frame, if that comes first.
pub async fn read_until(
    socket: &mut Socket,
    matches: impl Fn(&Value) -> bool,
) -> Result<Value, u16> {
    let read = async {
        loop {
            match socket.next().await.expect("the connection is open").unwrap() {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if matches(&frame) {
                        return Ok(frame);
                    }
                }
                Message::Close(frame) => return Err(frame.unwrap().code.into()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("a matching frame comes in time")
}

/// The first `metrics` frame that matches.
pub async fn metrics(socket: &mut Socket, matches: impl Fn(&Value) -> bool) -> Value {
    read_until(socket, |frame| frame["op"] == "metrics" && matches(frame)).await.unwrap()
}

/// Matches frames with this `op`.
pub fn is_op(op: &'static str) -> impl Fn(&Value) -> bool {
    move |frame| frame["op"] == op
}

/// A request that generates until the context is full.
pub fn endless_request() -> Value {
    json!({"op": "infer", "prompt": "Once", "params": {"ignore_eos": true, "temp": 0}})
}
