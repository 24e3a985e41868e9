//! `/requests`: shows the table of requests to those who may see it, and aborts requests.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{AccountId, Right};
use crate::protocol::EndStats;
use crate::server::access::{Access, Caller};
use crate::server::http::json;
use crate::server::openai::ApiError;
use crate::server::shared::Shared;

use super::list::{Abortion, FinishedRequest, RequestSource, RunningRequest};

/// The response to `GET /requests`.
pub(in crate::server) async fn list_requests(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let view = View::of(&shared.access, &caller);
    let model = shared.planned().model_name();
    let (running, finished) = shared.requests.entries(|source| view.shows(source));
    let rows = RequestRows {
        running: running
            .iter()
            .map(|request| RunningRow::new(request, model, view.may_abort(&request.source)))
            .collect(),
        finished: finished.iter().map(|request| FinishedRow::new(request, model)).collect(),
    };
    json(StatusCode::OK, serde_json::to_string(&rows).expect("the rows have string keys"))
}

/// The response to `DELETE /requests/{id}`.
pub(in crate::server) async fn abort_request(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Response {
    let view = View::of(&shared.access, &caller);
    let number = id.strip_prefix(ID_PREFIX).and_then(|digits| digits.parse().ok());
    let abortion = number.map_or(Abortion::Unknown, |number| {
        match shared.requests.abort(number, |source| view.may_abort(source)) {
            // A key that does not see a request does not learn that there is one.
            Abortion::Forbidden if !view.sees_all => Abortion::Unknown,
            abortion => abortion,
        }
    });
    match abortion {
        Abortion::Aborted => StatusCode::NO_CONTENT.into_response(),
        Abortion::Forbidden => {
            let message = "this API key may only abort its own requests: use one with the right \
                           admin";
            ApiError::of_status(StatusCode::FORBIDDEN, message).into_response()
        }
        Abortion::Unknown => {
            let message = "no request with this id is running or waiting";
            ApiError::of_status(StatusCode::NOT_FOUND, message).into_response()
        }
    }
}

/// What a client may see and do.
struct View {
    account: AccountId,
    sees_all: bool,
    aborts_own: bool,
    aborts_all: bool,
}

impl View {
    fn of(access: &Access, caller: &Caller) -> Self {
        let rights = access.rights(caller).unwrap_or_default();
        Self {
            account: caller.account_id(),
            sees_all: rights.has(Right::Metrics) || rights.has(Right::Admin),
            aborts_own: rights.has(Right::Infer),
            aborts_all: rights.has(Right::Admin),
        }
    }

    fn shows(&self, source: &RequestSource) -> bool {
        self.sees_all || source.account == self.account
    }

    fn may_abort(&self, source: &RequestSource) -> bool {
        self.aborts_all || self.aborts_own && source.account == self.account
    }
}

/// The body of `GET /requests`, as docs/PROTOCOL.md describes it.
#[derive(Serialize, JsonSchema)]
pub(in crate::server) struct RequestRows<'a> {
    running: Vec<RunningRow<'a>>,
    finished: Vec<FinishedRow<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct RunningRow<'a> {
    #[serde(flatten)]
    source: SourceFields<'a>,
    state: &'static str,
    age_ms: u64,
    queued_ms: u64,
    prompt_tokens: Option<usize>,
    cached_tokens: Option<usize>,
    completion_tokens: usize,
    can_abort: bool,
}

#[derive(Serialize, JsonSchema)]
struct FinishedRow<'a> {
    #[serde(flatten)]
    source: SourceFields<'a>,
    finish_reason: &'static str,
    error: Option<&'static str>,
    /// Unix time in seconds.
    ended_at: f64,
    queued_ms: u64,
    ttft_ms: Option<u64>,
    duration_ms: u64,
    prompt_tokens: Option<usize>,
    cached_tokens: Option<usize>,
    completion_tokens: usize,
    tokens_per_second: Option<f64>,
}

/// The fields that both kinds of rows have.
#[derive(Serialize, JsonSchema)]
struct SourceFields<'a> {
    id: String,
    surface: &'static str,
    client: String,
    key: Option<&'a str>,
    model: &'a str,
}

impl<'a> SourceFields<'a> {
    fn new(number: u64, source: &'a RequestSource, model: &'a str) -> Self {
        Self {
            id: format!("{ID_PREFIX}{number}"),
            surface: source.surface.name(),
            client: source.peer.to_string(),
            key: source.key.as_deref(),
            model,
        }
    }
}

impl<'a> RunningRow<'a> {
    fn new(request: &'a RunningRequest, model: &'a str, can_abort: bool) -> Self {
        Self {
            source: SourceFields::new(request.number, &request.source, model),
            state: match (request.started, request.ttft) {
                (None, _) => "queued",
                (Some(_), None) => "prefill",
                (Some(_), Some(_)) => "decode",
            },
            age_ms: millis(request.received.elapsed()),
            queued_ms: millis(request.queued()),
            prompt_tokens: request.prompt.map(|(n_prompt, _)| n_prompt),
            cached_tokens: request.prompt.map(|(_, n_cached)| n_cached),
            completion_tokens: request.n_tokens,
            can_abort,
        }
    }
}

impl<'a> FinishedRow<'a> {
    fn new(request: &'a FinishedRequest, model: &'a str) -> Self {
        let usage = &request.usage;
        Self {
            source: SourceFields::new(request.number, &request.source, model),
            finish_reason: request.finish_reason,
            error: request.error,
            ended_at: millis(request.ended_at) as f64 / 1e3,
            queued_ms: millis(usage.queued),
            ttft_ms: request.ttft.map(millis),
            duration_ms: millis(request.duration),
            prompt_tokens: request.prompt.map(|(n_prompt, _)| n_prompt),
            cached_tokens: request.prompt.map(|(_, n_cached)| n_cached),
            completion_tokens: usage.tokens,
            tokens_per_second: EndStats::new(usage, request.ttft).tps(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the ids of requests begin with here.
const ID_PREFIX: &str = "r-";
