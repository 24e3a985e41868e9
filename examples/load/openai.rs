//! Client of `POST /v1/chat/completions`, as a stream, of the daemon or of llama-server.

use hyper::Uri;
use serde::Deserialize;
use serde_json::json;

use crate::http::HttpConnection;
use crate::report::{Answer, RequestError, Sample};
use crate::workload::{Settings, Work};

/// A connection to a server with OpenAI's API. [`prepare`](Self::prepare) renews it before each
/// request.
pub(crate) struct Connection {
    http: HttpConnection,
}

/// One event of the stream. The last one before `[DONE]` has `usage`.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: u64,
    prompt_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: u64,
}

impl Connection {
    /// Connects to the host and port of `uri`.
    pub(crate) async fn open(uri: &Uri) -> anyhow::Result<Self> {
        Ok(Self { http: HttpConnection::open(uri).await? })
    }

    /// Opens a new connection, which is not part of the measured time.
    pub(crate) async fn prepare(&mut self) -> Result<(), RequestError> {
        self.http.renew().await
    }

    /// Sends one request and records when each of its texts arrives.
    pub(crate) async fn ask(
        &mut self,
        work: &Work,
        settings: Settings,
        sample: &mut Sample,
    ) -> Result<Answer, RequestError> {
        let body = json!({
            "messages": [{"role": "user", "content": work.prompt}],
            "max_tokens": work.max_tokens,
            "temperature": settings.temp,
            "cache_prompt": settings.cache_prompt,
            "ignore_eos": settings.ignore_eos,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        let mut answer = None;
        let on_event = |chunk: Chunk| {
            let deltas = chunk.choices.into_iter().filter_map(|choice| choice.delta.content);
            for content in deltas.filter(|content| !content.is_empty()) {
                sample.text(content, None);
            }
            if let Some(usage) = chunk.usage {
                answer = Some(Answer {
                    tokens: usage.completion_tokens,
                    prompt_tokens: usage.prompt_tokens,
                    cached_tokens: usage.prompt_tokens_details.cached_tokens,
                });
            }
        };
        self.http.stream("/v1/chat/completions", &body, on_event).await?;
        answer.ok_or_else(|| RequestError::Broken("stream ended early".into()))
    }
}
