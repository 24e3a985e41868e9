//! Speaks the daemon's own WebSocket protocol, one request at a time on a connection.

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use hyper::Uri;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::report::{Answer, Sample, Trouble};
use crate::workload::{Settings, Work};

/// An open WebSocket.
pub(crate) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What matters here of any frame of the server.
#[derive(Deserialize)]
struct Frame {
    op: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    stats: Stats,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    tokens: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
}

impl Connection {
    /// Connects; small frames leave at once.
    pub(crate) async fn open(uri: &Uri) -> anyhow::Result<Self> {
        let (socket, _) = connect_async_with_config(uri, None, true)
            .await
            .with_context(|| format!("cannot connect to {uri}"))?;
        Ok(Self { socket })
    }

    /// Waits until `moment`, answering pings and reading past what comes unasked.
    pub(crate) async fn idle(&mut self, moment: Instant) {
        // A connection that ends meanwhile is noticed by the next request.
        while let Ok(Some(Ok(_))) = timeout_at(moment, self.socket.next()).await {}
        tokio::time::sleep_until(moment).await;
    }

    /// Sends one request and notes when its texts arrive.
    pub(crate) async fn ask(
        &mut self,
        work: &Work,
        settings: Settings,
        sample: &mut Sample,
    ) -> Result<Answer, Trouble> {
        let params = json!({
            "max_tokens": work.max_tokens,
            "temp": settings.temp,
            "cache_prompt": settings.cache_prompt,
            "ignore_eos": settings.ignore_eos,
        });
        let request = if settings.chat {
            let messages = json!([{"role": "user", "content": work.prompt}]);
            json!({"op": "infer", "messages": messages, "params": params})
        } else {
            json!({"op": "infer", "prompt": work.prompt, "params": params})
        };
        self.socket.send(Message::text(request.to_string())).await.map_err(Trouble::broken)?;
        loop {
            let message =
                self.socket.next().await.ok_or_else(|| Trouble::Broken("closed".into()))?;
            let text = match message.map_err(Trouble::broken)? {
                Message::Text(text) => text,
                Message::Close(_) => return Err(Trouble::Broken("closed".into())),
                _ => continue,
            };
            let frame: Frame = serde_json::from_str(&text).map_err(Trouble::broken)?;
            match frame.op.as_str() {
                "token" if !frame.content.is_empty() => sample.text(),
                "end" => {
                    let Stats { tokens, prompt_tokens, cached_tokens } = frame.stats;
                    return Ok(Answer { tokens, prompt_tokens, cached_tokens });
                }
                "error" => return Err(Trouble::Refused(frame.code)),
                _ => {}
            }
        }
    }
}
