//! Raw HTTP, for requests that no client library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::GUARD;

/// Sends `request` unchanged and reads the response: to its end, or to the end of its head if it
/// opens a WebSocket. Returns the status and the whole text.
pub async fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while stream.read_buf(&mut answer).await.unwrap() > 0 {
            let is_upgraded = answer.starts_with(b"HTTP/1.1 101");
            if is_upgraded && answer.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = timeout(GUARD, exchange).await.expect("an answer comes in time");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or_else(|| panic!("no HTTP: {answer:?}")), answer)
}

/// Requests `path` with the server's address as `Host`.
pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    http(address, &request).await
}

/// The head of a valid WebSocket upgrade request with additional `fields`, `Host` among them. A
/// refusal closes the connection.
pub fn upgrade_request(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {fields}\r\n"
    )
}
