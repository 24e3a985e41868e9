//! A WebSocket client that says what it expects.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{GUARD, TestServer};

/// A connection to a [`TestServer`].
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    /// The first frame.
    pub hello: Value,
}

/// All frames of one request, and its text.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    /// Everything before the end.
    pub frames: Vec<Value>,
    pub end: Value,
}

impl Client {
    pub async fn connect(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        Self::over(stream, server).await
    }

    /// One for whom the operating system holds next to nothing.
    pub async fn connect_with_small_buffer(server: &TestServer) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(socket.connect(server.address).await.unwrap(), server).await
    }

    /// One that has been let in as far as the handshake.
    pub async fn handshake(server: &TestServer) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(server.address).await.unwrap();
        client_async(format!("ws://{}/", server.address), stream).await.unwrap().0
    }

    async fn over(stream: TcpStream, server: &TestServer) -> Self {
        let (socket, _) = client_async(format!("ws://{}/", server.address), stream).await.unwrap();
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
        message.expect("the connection is open").expect("the connection is sound")
    }

    /// The next frame, whatever it is.
    pub async fn any_frame(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("a frame was expected, not {other:?}"),
            }
        }
    }

    /// The next frame that is not about metrics.
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

    /// The metrics frame in which `is_so` holds; earlier ones are skipped.
    pub async fn expect_metrics(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.any_frame().await;
            if frame["op"] == "metrics" && is_so(&frame["inference"]) {
                return frame;
            }
        }
    }

    /// All of request `id`, which must be the only one that runs.
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

    /// Waits until the server has taken in all that was sent before, and gives what it said until
    /// then.
    pub async fn fence(&mut self) -> Vec<Value> {
        self.send(json!({"op": "ping"})).await;
        let mut said = Vec::new();
        loop {
            let frame = self.frame().await;
            if frame["op"] == "pong" {
                return said;
            }
            said.push(frame);
        }
    }

    /// Nothing was said since; and the connection is sound.
    pub async fn expect_quiet(&mut self) {
        assert_eq!(self.fence().await, Vec::<Value>::new());
    }

    /// The next end or error; frames before that are skipped.
    pub async fn expect_terminal(&mut self) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["op"] == "end" || frame["op"] == "error" {
                return frame;
            }
        }
    }

    /// The server closes with `code`, and then its socket; frames before that are skipped.
    pub async fn expect_close(&mut self, code: u16) {
        let mut skipped = Vec::new();
        let goodbye = loop {
            match self.message().await {
                Message::Close(goodbye) => break goodbye,
                other => skipped.push(other),
            }
        };
        let said = goodbye.map(|frame| frame.code);
        assert_eq!(said, Some(CloseCode::from(code)), "after {skipped:?}");
        let end = timeout(GUARD, self.socket.next()).await.expect("the socket is closed in time");
        assert!(!matches!(end, Some(Ok(_))), "nothing comes after a goodbye");
    }

    /// A WebSocket ping is answered; frames before that are skipped.
    pub async fn expect_pong(&mut self) {
        let payload = Bytes::from_static(b"are you there");
        self.socket.send(Message::Ping(payload.clone())).await.unwrap();
        while self.message().await != Message::Pong(payload.clone()) {}
    }

    /// Starts a request whose answer never ends.
    pub async fn send_endless(&mut self, id: &str) {
        self.send(json!({"op": "infer", "id": id, "prompt": format!("loop {id} ")})).await;
    }
}
