//! What the clients of HTTP APIs share: `POST` over HTTP/1.1, answered with server-sent events.
//!
//! A connection has one request at a time.

use std::pin::Pin;

use anyhow::Context;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::report::RequestError;

/// An HTTP connection. [`renew`](Self::renew) opens a new one before each stream, after which
/// llama-server closes it.
pub(crate) struct HttpConnection {
    authority: String,
    sender: SendRequest<String>,
}

impl HttpConnection {
    /// Connects to the host and port of `uri`.
    pub(crate) async fn open(uri: &Uri) -> anyhow::Result<Self> {
        let host = uri.host().unwrap_or_default();
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let sender = connect(&authority).await?;
        Ok(Self { authority, sender })
    }

    /// Connects again.
    pub(crate) async fn renew(&mut self) -> Result<(), RequestError> {
        self.sender = connect(&self.authority).await.map_err(RequestError::broken)?;
        Ok(())
    }

    /// Sends a request whose answer is not a stream, and returns the answer.
    pub(crate) async fn call(&mut self, path: &str, body: &Value) -> Result<Value, RequestError> {
        let response = self.post(path, body).await?;
        let answer = serde_json::from_slice(&whole(response).await?);
        self.sender.ready().await.map_err(RequestError::broken)?;
        answer.map_err(RequestError::broken)
    }

    /// Sends a request and calls `on_event` with each event of the answer, which is read to its end
    /// because otherwise the connection could not be used again.
    pub(crate) async fn stream<E: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Value,
        mut on_event: impl FnMut(E),
    ) -> Result<(), RequestError> {
        let mut response = self.post(path, body).await?;
        let mut lines = Lines::default();
        while let Some(bytes) = chunk(response.body_mut()).await? {
            for event in lines.events(&bytes)? {
                on_event(event);
            }
        }
        Ok(())
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
    fn events<E: DeserializeOwned>(&mut self, bytes: &[u8]) -> Result<Vec<E>, RequestError> {
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
        let stream =
            "data: {\"content\":\"ñ\"}\n\n: comment\r\ndata: {\"n\":2}\n\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let events: Vec<Value> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| lines.events(chunk).ok().unwrap())
                .collect();
            assert_eq!(events.len(), 2, "chunks of {size} bytes");
            assert_eq!((&events[0]["content"], &events[1]["n"]), (&"ñ".into(), &2.into()));
        }
    }
}
