//! Requests to the HTTP APIs, without a client library.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{GUARD, http};

/// The response of an HTTP API.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl ApiResponse {
    fn new((status, text): (u16, String)) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let head = head.to_lowercase();
        let is_chunked = head.contains("transfer-encoding: chunked");
        let body = if is_chunked { joined(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The data of the server-sent events.
    pub fn events(&self) -> Vec<String> {
        let events = self.body.split("\n\n").filter_map(|event| {
            event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned)
        });
        events.collect()
    }

    /// The data of the server-sent events but the last one, `[DONE]`, as JSON.
    pub fn chunks(&self) -> Vec<Value> {
        let mut events = self.events();
        assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{self:?}");
        events.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// The chunks of a body in one piece.
fn joined(mut chunked: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunked.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&rest[..size]);
        chunked = rest[size..].trim_start_matches("\r\n");
    }
    body
}

/// The text of a request with a JSON body. `fields` are more header lines.
pub fn post_text(address: SocketAddr, path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{fields}\r\n{body}",
        body.len()
    )
}

/// Posts `body`.
pub async fn post(address: SocketAddr, path: &str, body: &Value) -> ApiResponse {
    post_with(address, path, "", &body.to_string()).await
}

/// Posts `body`, which need not be JSON, with more header lines.
pub async fn post_with(address: SocketAddr, path: &str, fields: &str, body: &str) -> ApiResponse {
    let fields = format!("Connection: close\r\n{fields}");
    ApiResponse::new(http(address, &post_text(address, path, &fields, body)).await)
}

/// Sends a request without a body.
pub async fn get_with(address: SocketAddr, method: &str, path: &str, fields: &str) -> ApiResponse {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{fields}\r\n");
    ApiResponse::new(http(address, &request).await)
}

/// A connection to an HTTP API that stays open.
pub struct ApiConnection {
    stream: TcpStream,
    received: String,
}

impl ApiConnection {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: String::new() }
    }

    /// Posts `body`.
    pub async fn post(&mut self, path: &str, body: &Value) {
        let address = self.stream.peer_addr().unwrap();
        self.send_raw(&post_text(address, path, "", &body.to_string())).await;
    }

    /// Sends a request, or a part of one.
    pub async fn send_raw(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits until the text received since the last call contains `text`. Returns that text up to
    /// the end of `text`.
    pub async fn until(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                if let Some(at) = self.received.find(text) {
                    let rest = self.received.split_off(at + text.len());
                    return std::mem::replace(&mut self.received, rest);
                }
                let mut bytes = Vec::new();
                let n = self.stream.read_buf(&mut bytes).await.unwrap();
                assert!(n > 0, "the connection was closed after {:?}", self.received);
                self.received.push_str(&String::from_utf8_lossy(&bytes));
            }
        };
        timeout(GUARD, reading).await.unwrap_or_else(|_| panic!("{text:?} comes in time"))
    }
}
