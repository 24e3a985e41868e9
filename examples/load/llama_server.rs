//! Speaks llama-server's `POST /completion` as a stream of server-sent events, over HTTP/1.1 with
//! keep-alive, one request at a time on a connection.

use std::pin::Pin;

use anyhow::Context;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::report::{Answer, Sample, Trouble};
use crate::workload::{Settings, Work};

/// A kept-alive connection. The server may close it after any request; the next one reopens it.
pub(crate) struct Connection {
    authority: String,
    sender: SendRequest<String>,
}

/// One event of the stream. The last one has `stop` and the counts.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    content: String,
    #[serde(default)]
    stop: bool,
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

    /// Opens a connection for the request, since the server closes it after a stream, and has the
    /// server render a chat message: both belong to the time before a request.
    pub(crate) async fn prepare(
        &mut self,
        mut work: Work,
        settings: Settings,
    ) -> Result<Work, Trouble> {
        self.sender = connect(&self.authority).await.map_err(Trouble::broken)?;
        if settings.chat {
            let messages = json!([{"role": "user", "content": work.prompt}]);
            let response = self.post("/apply-template", &json!({"messages": messages})).await?;
            let rendered: Value =
                serde_json::from_slice(&whole(response).await?).map_err(Trouble::broken)?;
            let prompt = rendered["prompt"].as_str();
            work.prompt =
                prompt.ok_or_else(|| Trouble::Broken("no chat template".into()))?.to_owned();
            self.sender.ready().await.map_err(Trouble::broken)?;
        }
        Ok(work)
    }

    /// Sends one request and notes when its texts arrive.
    pub(crate) async fn ask(
        &mut self,
        work: &Work,
        settings: Settings,
        sample: &mut Sample,
    ) -> Result<Answer, Trouble> {
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
        // Read to the end even after the last event, or the connection could not be used again.
        while let Some(bytes) = chunk(response.body_mut()).await? {
            for event in lines.events(&bytes)? {
                if !event.content.is_empty() {
                    sample.text();
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
        answer.ok_or_else(|| Trouble::Broken("stream ended early".into()))
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Response<Incoming>, Trouble> {
        let request = Request::post(path)
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .body(body.to_string())
            .map_err(Trouble::broken)?;
        let response = self.sender.send_request(request).await.map_err(Trouble::broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        whole(response).await?;
        Err(Trouble::Refused(format!("http {}", status.as_u16())))
    }
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<String>> {
    let stream = TcpStream::connect(authority)
        .await
        .with_context(|| format!("cannot connect to {authority}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; what goes wrong on it is the sender's to report.
    tokio::spawn(connection);
    Ok(sender)
}

/// The next piece of a body.
async fn chunk(body: &mut Incoming) -> Result<Option<Bytes>, Trouble> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose().map_err(Trouble::broken)?.map(|frame| frame.into_data()) {
            Some(Ok(bytes)) => return Ok(Some(bytes)),
            Some(Err(_trailers)) => {}
            None => return Ok(None),
        }
    }
}

async fn whole(mut response: Response<Incoming>) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(piece) = chunk(response.body_mut()).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Cuts a byte stream into events; an event may be spread over several pieces.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn events(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Trouble> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        whole
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"data: "))
            .filter(|data| !data.starts_with(b"[DONE]"))
            .map(|data| serde_json::from_slice(data).map_err(Trouble::broken))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_bytes_are_cut() {
        let stream = "data: {\"content\":\"ñ\",\"stop\":false}\n\n: comment\r\n\
            data: {\"content\":\"\",\"stop\":true,\"tokens_predicted\":2}\n\n";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let events: Vec<Event> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| lines.events(piece).ok().unwrap())
                .collect();
            assert_eq!(events.len(), 2, "pieces of {size}");
            assert_eq!(events[0].content, "ñ");
            assert_eq!((events[1].stop, events[1].tokens_predicted), (true, 2));
        }
    }
}
