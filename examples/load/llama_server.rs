//! Client of llama-server's `POST /completion`, which streams server-sent events over HTTP/1.1.
//!
//! A connection has one request at a time.

use std::pin::Pin;

use anyhow::Context;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::report::{Answer, RequestError, Sample};
use crate::workload::{Settings, Work};

/// An HTTP connection. [`prepare`](Self::prepare) opens a new one before each request.
pub(crate) struct Connection {
    authority: String,
    sender: SendRequest<String>,
}

/// One event of the stream. The last event has `stop`.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    content: String,
    #[serde(default)]
    stop: bool,
    /// Tokens generated so far.
    #[serde(default)]
    tokens_predicted: u64,
    #[serde(default)]
    tokens_evaluated: u64,
    #[serde(default)]
    timings: Timings,
}

#[derive(Default, Deserialize)]
struct Timings {
    #[serde(default)]
    cache_n: u64,
}

impl Connection {
    /// Connects to the host and port of `uri`.
    pub(crate) async fn open(uri: &Uri) -> anyhow::Result<Self> {
        let host = uri.host().unwrap_or_default();
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let sender = connect(&authority).await?;
        Ok(Self { authority, sender })
    }

    /// Does the work that is not part of the measured time: opens a connection, because the server
    /// closes it after a stream, and lets the server render a chat message.
    pub(crate) async fn prepare(
        &mut self,
        mut work: Work,
        settings: Settings,
    ) -> Result<Work, RequestError> {
        self.sender = connect(&self.authority).await.map_err(RequestError::broken)?;
        if settings.chat {
            let messages = json!([{"role": "user", "content": work.prompt}]);
            let response = self.post("/apply-template", &json!({"messages": messages})).await?;
            let rendered: Value =
                serde_json::from_slice(&whole(response).await?).map_err(RequestError::broken)?;
            let prompt = rendered["prompt"].as_str();
            work.prompt =
                prompt.ok_or_else(|| RequestError::Broken("no chat template".into()))?.to_owned();
            self.sender.ready().await.map_err(RequestError::broken)?;
        }
        Ok(work)
    }

    /// Sends one request and records when each of its texts arrives.
    pub(crate) async fn ask(
        &mut self,
        work: &Work,
        settings: Settings,
        sample: &mut Sample,
    ) -> Result<Answer, RequestError> {
        let body = json!({
            "prompt": work.prompt,
            "n_predict": work.max_tokens,
            "temperature": settings.temp,
            "cache_prompt": settings.cache_prompt,
            "ignore_eos": settings.ignore_eos,
            "stream": true,
        });
        let mut response = self.post("/completion", &body).await?;
        let mut answer = None;
        let mut lines = Lines::default();
        // Reads to the end of the body: otherwise the connection could not be used again.
        while let Some(bytes) = chunk(response.body_mut()).await? {
            for event in lines.events(&bytes)? {
                if !event.content.is_empty() {
                    sample.text(event.content, Some(event.tokens_predicted));
                }
                if event.stop {
                    answer = Some(Answer {
                        tokens: event.tokens_predicted,
                        prompt_tokens: event.tokens_evaluated,
                        cached_tokens: event.timings.cache_n,
                    });
                }
            }
        }
        answer.ok_or_else(|| RequestError::Broken("stream ended early".into()))
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Response<Incoming>, RequestError> {
        let request = Request::post(path)
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .body(body.to_string())
            .map_err(RequestError::broken)?;
        let response = self.sender.send_request(request).await.map_err(RequestError::broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        whole(response).await?;
        Err(RequestError::Refused(format!("http {}", status.as_u16())))
    }
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<String>> {
    let stream = TcpStream::connect(authority)
        .await
        .with_context(|| format!("cannot connect to {authority}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The task ends when the sender is dropped. The sender reports its errors.
    tokio::spawn(connection);
    Ok(sender)
}

/// The next chunk of a body, `None` at its end.
async fn chunk(body: &mut Incoming) -> Result<Option<Bytes>, RequestError> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose().map_err(RequestError::broken)?.map(|frame| frame.into_data()) {
            Some(Ok(bytes)) => return Ok(Some(bytes)),
            Some(Err(_trailers)) => {}
            None => return Ok(None),
        }
    }
}

/// The complete body of a response.
async fn whole(mut response: Response<Incoming>) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(response.body_mut()).await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Splits a byte stream into events. An event may extend over several chunks.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The events that `bytes` complete.
    fn events(&mut self, bytes: &[u8]) -> Result<Vec<Event>, RequestError> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        whole
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"data: "))
            .filter(|data| !data.starts_with(b"[DONE]"))
            .map(|data| serde_json::from_slice(data).map_err(RequestError::broken))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_complete_for_every_chunk_size() {
        let stream = "data: {\"content\":\"ñ\",\"stop\":false}\n\n: comment\r\n\
            data: {\"content\":\"\",\"stop\":true,\"tokens_predicted\":2}\n\n";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let events: Vec<Event> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| lines.events(chunk).ok().unwrap())
                .collect();
            assert_eq!(events.len(), 2, "chunks of {size} bytes");
            assert_eq!(events[0].content, "ñ");
            assert_eq!((events[1].stop, events[1].tokens_predicted), (true, 2));
        }
    }
}
