//! A WebSocket client with an assertion for each kind of frame.

use futures_util::{SinkExt, StreamExt};
use inference_core::server::NewKey;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{GUARD, TestServer};

/// A connection to a [`TestServer`].
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    /// The `hello` frame, which is the first.
    pub hello: Value,
}

/// All frames of one request, and its text.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    /// The frames before the `end` frame.
    pub frames: Vec<Value>,
    pub end: Value,
}

impl Client {
    pub async fn connect(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        Self::over(stream, server).await
    }

    /// A client with a receive buffer of 4 KiB, so that the server soon has to wait for it.
    pub async fn connect_with_small_buffer(server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(socket.connect(server.address).await.unwrap(), server).await
    }

    /// A WebSocket directly after its handshake, before any frame.
    pub async fn handshake(server: &TestServer) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(server.address).await.unwrap();
        client_async(format!("ws://{}/", server.address), stream).await.unwrap().0
    }

    /// A client that sends `key` in the header `Authorization`.
    pub async fn connect_with_key(server: &TestServer, key: &NewKey) -> Self {
        let value = format!("Bearer {}", key.key().reveal());
        Self::connect_with_header(server, "authorization", &value).await
    }

    /// A client that sends a header with its handshake.
    pub async fn connect_with_header(server: &TestServer, name: &'static str, value: &str) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let mut request = format!("ws://{}/", server.address).into_client_request().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        Self::with_request(stream, request).await
    }

    /// A client whose address has a path and a query.
    pub async fn connect_to(server: &TestServer, path: &str) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        Self::with_request(stream, request).await
    }

    async fn over(stream: TcpStream, server: &TestServer) -> Self {
        let request = format!("ws://{}/", server.address).into_client_request().unwrap();
        Self::with_request(stream, request).await
    }

    async fn with_request(stream: TcpStream, request: Request) -> Self {
        let (socket, _) = client_async(request, stream).await.unwrap();
        let mut client = Self { socket, hello: Value::Null };
        client.hello = client.any_frame().await;
        assert_eq!(client.hello["op"], "hello");
        client
    }

    pub async fn send(&mut self, frame: Value) {
        self.send_text(frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message.
    pub async fn message(&mut self) -> Message {
        let message = timeout(GUARD, self.socket.next()).await.expect("a message comes in time");
        message.expect("the connection is open").expect("the connection works")
    }

    /// The next frame, metrics included.
    pub async fn any_frame(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("a frame was expected, not {other:?}"),
            }
        }
    }

    /// The next frame that is not `metrics`.
    pub async fn frame(&mut self) -> Value {
        loop {
            let frame = self.any_frame().await;
            if frame["op"] != "metrics" {
                return frame;
            }
        }
    }

    pub async fn expect(&mut self, op: &str) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["op"], op, "{frame}");
        frame
    }

    pub async fn expect_error(&mut self, code: &str) -> Value {
        let frame = self.expect("error").await;
        assert_eq!(frame["code"], code, "{frame}");
        assert!(frame["message"].as_str().is_some_and(|text| !text.is_empty()), "{frame}");
        frame
    }

    /// The next metrics frame whose `inference` matches.
    pub async fn expect_metrics(&mut self, matches: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.any_frame().await;
            if frame["op"] == "metrics" && matches(&frame["inference"]) {
                return frame;
            }
        }
    }

    /// The whole answer to request `id`, which must be the only running one.
    pub async fn expect_answer(&mut self, id: Option<&str>) -> Answer {
        let mut answer = Answer { text: String::new(), frames: Vec::new(), end: Value::Null };
        loop {
            let frame = self.frame().await;
            assert_eq!(frame.get("id").and_then(Value::as_str), id, "{frame}");
            match frame["op"].as_str() {
                Some("token") => answer.text += frame["content"].as_str().unwrap(),
                Some("end") => return Answer { end: frame, ..answer },
                Some("queued" | "progress") => {}
                _ => panic!("a frame of an answer was expected, not {frame}"),
            }
            answer.frames.push(frame);
        }
    }

    /// Waits until the server has processed everything sent so far. Returns the frames that came
    /// before the `pong`, without metrics.
    pub async fn fence(&mut self) -> Vec<Value> {
        self.send(json!({"op": "ping"})).await;
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            if frame["op"] == "pong" {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// Asserts that the server has sent nothing but metrics, and that the connection works.
    pub async fn expect_quiet(&mut self) {
        assert_eq!(self.fence().await, Vec::<Value>::new());
    }

    /// Asserts that no request was refused or has begun, and that the connection works.
    pub async fn expect_waiting(&mut self) {
        let frames = self.fence().await;
        assert!(frames.iter().all(|frame| frame["op"] == "queued"), "{frames:?}");
    }

    /// The next `end` or `error` frame; others are skipped.
    pub async fn expect_terminal(&mut self) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["op"] == "end" || frame["op"] == "error" {
                return frame;
            }
        }
    }

    /// Asserts that the server sends a close frame with `code` and then closes its socket. Earlier
    /// frames are skipped.
    pub async fn expect_close(&mut self, code: u16) {
        let mut skipped = Vec::new();
        let close = loop {
            match self.message().await {
                Message::Close(close) => break close,
                other => skipped.push(other),
            }
        };
        let sent = close.map(|frame| frame.code);
        assert_eq!(sent, Some(CloseCode::from(code)), "after {skipped:?}");
        let end = timeout(GUARD, self.socket.next()).await.expect("the socket is closed in time");
        assert!(!matches!(end, Some(Ok(_))), "nothing follows a close frame");
    }

    /// Sends a WebSocket ping and waits for its pong; frames are skipped.
    pub async fn expect_pong(&mut self) {
        let payload = Bytes::from_static(b"are you there");
        self.socket.send(Message::Ping(payload.clone())).await.unwrap();
        while self.message().await != Message::Pong(payload.clone()) {}
    }

    /// Sends a key in an `auth` frame.
    pub async fn send_key(&mut self, key: &NewKey) {
        self.send(json!({"op": "auth", "token": key.key().reveal()})).await;
    }

    /// Starts a request whose answer never ends.
    pub async fn send_endless(&mut self, id: &str) {
        self.send(json!({"op": "infer", "id": id, "prompt": format!("loop {id} ")})).await;
    }
}
