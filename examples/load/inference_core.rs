//! Client of the daemon's WebSocket protocol, with one request at a time per connection.

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use hyper::Uri;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::report::{Answer, RequestError, Sample};
use crate::workload::{Settings, Work};

/// An open WebSocket.
pub(crate) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// The fields of the server's frames that are needed here.
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
    /// Connects, with Nagle's algorithm turned off.
    pub(crate) async fn open(uri: &Uri) -> anyhow::Result<Self> {
        let (socket, _) = connect_async_with_config(uri, None, true)
            .await
            .with_context(|| format!("cannot connect to {uri}"))?;
        Ok(Self { socket })
    }

    /// Waits until `moment`. Meanwhile it answers pings and discards the server's frames.
    pub(crate) async fn idle(&mut self, moment: Instant) {
        // If the connection closes meanwhile, the next request fails.
        while let Ok(Some(Ok(_))) = timeout_at(moment, self.socket.next()).await {}
        tokio::time::sleep_until(moment).await;
    }

    /// Sends one request and records when each of its texts arrives.
    pub(crate) async fn ask(
        &mut self,
        work: &Work,
        settings: Settings,
        sample: &mut Sample,
    ) -> Result<Answer, RequestError> {
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
        self.socket.send(Message::text(request.to_string())).await.map_err(RequestError::broken)?;
        loop {
            let message =
                self.socket.next().await.ok_or_else(|| RequestError::Broken("closed".into()))?;
            let text = match message.map_err(RequestError::broken)? {
                Message::Text(text) => text,
                Message::Close(_) => return Err(RequestError::Broken("closed".into())),
                _ => continue,
            };
            let frame: Frame = serde_json::from_str(&text).map_err(RequestError::broken)?;
            match frame.op.as_str() {
                "token" if !frame.content.is_empty() => sample.text(frame.content, None),
                "end" => {
                    let Stats { tokens, prompt_tokens, cached_tokens } = frame.stats;
                    return Ok(Answer { tokens, prompt_tokens, cached_tokens });
                }
                "error" => return Err(RequestError::Refused(frame.code)),
                _ => {}
            }
        }
    }
}
