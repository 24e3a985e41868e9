//! Client of llama-server's `POST /completion`, which streams server-sent events.

use hyper::Uri;
use serde::Deserialize;
use serde_json::json;

use crate::http::HttpConnection;
use crate::report::{Answer, RequestError, Sample};
use crate::workload::{Settings, Work};

/// A connection to llama-server. [`prepare`](Self::prepare) renews it before each request.
pub(crate) struct Connection {
    http: HttpConnection,
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
        Ok(Self { http: HttpConnection::open(uri).await? })
    }

    /// Does the work that is not part of the measured time: opens a connection, and lets the server
    /// render a chat message.
    pub(crate) async fn prepare(
        &mut self,
        mut work: Work,
        settings: Settings,
    ) -> Result<Work, RequestError> {
        self.http.renew().await?;
        if settings.chat {
            let messages = json!([{"role": "user", "content": work.prompt}]);
            let rendered =
                self.http.call("/apply-template", &json!({"messages": messages})).await?;
            let prompt = rendered["prompt"].as_str();
            work.prompt =
                prompt.ok_or_else(|| RequestError::Broken("no chat template".into()))?.to_owned();
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
        let mut answer = None;
        let on_event = |event: Event| {
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
        };
        self.http.stream("/completion", &body, on_event).await?;
        answer.ok_or_else(|| RequestError::Broken("stream ended early".into()))
    }
}
