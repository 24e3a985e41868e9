//! The HTTP endpoints of responses.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::protocol::Quoted;
use crate::server::access::Caller;
use crate::server::budget::Charge;
use crate::server::openai::body::{ParsedBody, read_json};
use crate::server::openai::call::{ApiAnswer, ApiCall, serve};
use crate::server::openai::client::ApiClient;
use crate::server::openai::error::{ApiError, ErrorBody};
use crate::server::openai::parts::to_json;
use crate::server::openai::sse::{EventSource, event, named_event};
use crate::server::openapi::{DescribedRoutes, Operation};
use crate::server::shared::Shared;

use super::body::ResponsesBody;
use super::events::ResponseEvent;
use super::listing::{InputItems, ListRequest};
use super::object::ResponseObject;
use super::registry::ShownResponse;
use super::request::ResponsesRequest;
use super::run::{NewResponse, ResponseRun, RunStep, count_tokens};
use super::store::{ResponseOwner, StoredResponse};

/// The routes of responses.
pub(in crate::server) fn routes() -> DescribedRoutes {
    let create = Operation::post(create, "Answers a conversation of items")
        .reads::<ResponsesBody>(&[])
        .answers::<ResponseObject<'_>>()
        .answers_text(&["text/event-stream"])
        .of_api::<ErrorBody<'_>>();
    let retrieve = Operation::get(retrieve, "A response that is stored or runs")
        .takes(&["stream"])
        .answers::<ResponseObject<'_>>()
        .of_api::<ErrorBody<'_>>();
    let remove = Operation::delete(remove, "Forgets a stored response")
        .answers::<DeletedResponse>()
        .of_api::<ErrorBody<'_>>();
    let cancel = Operation::post(cancel, "Ends a response that is being generated")
        .answers::<ResponseObject<'_>>()
        .of_api::<ErrorBody<'_>>();
    let input_items = Operation::get(input_items, "What the model got for a response")
        .takes(&["limit", "order", "after"])
        .answers::<InputItems>()
        .of_api::<ErrorBody<'_>>();
    let input_tokens = Operation::post(input_tokens, "Counts the tokens of a request")
        .reads::<ResponsesBody>(&[])
        .answers::<InputTokens>()
        .of_api::<ErrorBody<'_>>();
    DescribedRoutes::default()
        .route("/v1/responses", [create])
        .route("/v1/responses/{id}", [retrieve, remove])
        .route("/v1/responses/{id}/cancel", [cancel])
        .route("/v1/responses/{id}/input_items", [input_items])
        .route("/v1/responses/input_tokens", [input_tokens])
}

/// A response that was forgotten.
#[derive(Debug, Serialize, JsonSchema)]
struct DeletedResponse {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// The number of tokens that a request would have as its prompt.
#[derive(Debug, Serialize, JsonSchema)]
struct InputTokens {
    object: &'static str,
    input_tokens: usize,
}

async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, create_response).await
}

/// Generates a response, and sends it as a whole or as it comes.
async fn create_response(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, received } = call;
    let ReadResponse { request, n_bytes, charge } = read_request(&client, &headers, body).await?;
    let is_stream = request.is_stream;
    let ignored = request.ignored.clone();
    let new = NewResponse { request, lane: None, n_bytes, charge, received, is_first: true };
    let mut run = ResponseRun::start(&client, new)?;
    let mut answer = if is_stream {
        // A refusal that comes at once has a status of its own.
        if let Ok(accepted) = timeout(ACCEPT_WAIT, run.accepted()).await {
            accepted?;
        }
        ApiAnswer::events(&client, ResponseEvents { run, stage: ResponseStage::Begins })
    } else {
        let mut events = Vec::new();
        loop {
            events.clear();
            match run.next(&mut events).await {
                RunStep::More => {}
                RunStep::Ended => break ApiAnswer::json(run.json()),
                RunStep::Failed(error) => return Err(error),
            }
        }
    };
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

/// A request, with the bytes of its body and what these are charged.
struct ReadResponse {
    request: ResponsesRequest,
    n_bytes: usize,
    charge: Charge,
}

/// Reads a body.
async fn read_request(
    client: &Arc<ApiClient>,
    headers: &HeaderMap,
    body: Body,
) -> Result<ReadResponse, ApiError> {
    let body = read_json::<ResponsesBody>(client, headers, body).await?;
    let ParsedBody { value, ignored, n_bytes, charge } = body;
    let request = ResponsesRequest::new(value, ignored).map_err(|field| {
        let error = ApiError::from(field);
        client.refused(&error);
        error
    })?;
    Ok(ReadResponse { request, n_bytes, charge })
}

/// The server-sent events of a response.
struct ResponseEvents {
    run: ResponseRun,
    stage: ResponseStage,
}

enum ResponseStage {
    /// Nothing was sent.
    Begins,
    Runs,
    /// The last event was sent.
    Ended,
}

impl EventSource for ResponseEvents {
    async fn next(&mut self) -> Option<String> {
        let mut events = Vec::new();
        match self.stage {
            ResponseStage::Begins => {
                self.stage = ResponseStage::Runs;
                self.run.begin(&mut events);
                return Some(texts(&events));
            }
            ResponseStage::Ended => return None,
            ResponseStage::Runs => {}
        }
        loop {
            match self.run.next(&mut events).await {
                RunStep::More if events.is_empty() => {}
                RunStep::More => return Some(texts(&events)),
                RunStep::Ended | RunStep::Failed(_) => {
                    self.stage = ResponseStage::Ended;
                    // As the open standard ends a stream.
                    return Some(texts(&events) + &event("[DONE]"));
                }
            }
        }
    }
}

fn texts(events: &[ResponseEvent]) -> String {
    events.iter().map(|event| named_event(event.name, &event.json)).collect()
}

async fn retrieve(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    // A client that waits for events would take a response in JSON for a stream without any.
    if query.unwrap_or_default().split('&').any(|pair| pair == "stream=true") {
        let reason = "is for new responses: leave it out, and ask again until the status is not \
                      in_progress";
        return ApiError::invalid("stream", reason).into_response();
    }
    json_of(&shared, &caller, id)
}

/// The response with this id, as it is now.
fn json_of(shared: &Shared, caller: &Caller, id: Result<Path<String>, PathRejection>) -> Response {
    let id = text_of(id);
    let json = match find(shared, caller, &id) {
        Some(FoundResponse::Ended(response)) => response.json.to_string(),
        Some(FoundResponse::Running(response)) => response.facts.json_in_progress(),
        None => return not_found(&id).into_response(),
    };
    json_response(json)
}

/// The items that the model got for a response, those of earlier turns first.
async fn input_items(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Response {
    let id = text_of(id);
    let Some(found) = find(&shared, &caller, &id) else {
        return not_found(&id).into_response();
    };
    let (turns, input) = match found {
        FoundResponse::Running(ShownResponse { turns, input, .. }) => (turns, input),
        FoundResponse::Ended(StoredResponse { mut turns, .. }) => {
            let input = turns.pop().map_or_else(Arc::default, |own| own.input.clone());
            (turns, input)
        }
    };
    let listed = ListRequest::read(query.as_deref().unwrap_or_default())
        .and_then(|request| request.list(&id, &turns, &input));
    match listed {
        Ok(items) => json_response(to_json(&items)),
        Err(error) => error.into_response(),
    }
}

/// A response that its account can retrieve.
enum FoundResponse {
    Running(ShownResponse),
    Ended(StoredResponse),
}

fn find(shared: &Shared, caller: &Caller, id: &str) -> Option<FoundResponse> {
    let now = Instant::now().into_std();
    let ended = || shared.responses.store.get(id, reader(caller), now).map(FoundResponse::Ended);
    let running = || shared.responses.running(id, caller.account_id()).map(FoundResponse::Running);
    // It may end between the first two.
    ended().or_else(running).or_else(ended)
}

async fn input_tokens(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, count_input_tokens).await
}

async fn count_input_tokens(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, .. } = call;
    let ReadResponse { request, n_bytes, charge: _charge } =
        read_request(&client, &headers, body).await?;
    let ignored = request.ignored.clone();
    let n_tokens = count_tokens(&client, request, n_bytes).await?;
    let body = InputTokens { object: "response.input_tokens", input_tokens: n_tokens };
    let mut answer = ApiAnswer::json(to_json(&body));
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let id = text_of(id);
    if shared.responses.store.remove(&id, reader(&caller)) {
        return json_response(to_json(&DeletedResponse { id, object: "response", deleted: true }));
    }
    not_found(&id).into_response()
}

/// Cancels a response that is being generated. One that has ended stays as it is.
async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let id = text_of(id);
    let Some(ended) = shared.responses.cancel(&id, caller.account_id()) else {
        return json_of(&shared, &caller, Ok(Path(id)));
    };
    match timeout(CANCEL_WAIT, ended).await {
        Ok(json) => json_response(json.to_string()),
        Err(_) => {
            let message = "the response has not ended yet: try again";
            ApiError::of_status(StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}

/// The id in a path. One that is not UTF-8 is none.
fn text_of(id: Result<Path<String>, PathRejection>) -> String {
    id.map_or_else(|_| "\u{fffd}".to_owned(), |Path(id)| id)
}

/// Which stored responses a request may use: those of its account.
fn reader(caller: &Caller) -> ResponseOwner {
    ResponseOwner { account: caller.account_id(), connection: None }
}

fn json_response(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

fn not_found(id: &str) -> ApiError {
    let message = format!("there is no response {} of this client", Quoted(id));
    ApiError::of_status(StatusCode::NOT_FOUND, message)
}

/// How long a streamed response waits for the runner before it begins.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// How long a cancelled response may take to end. It ends as soon as its task runs.
const CANCEL_WAIT: Duration = Duration::from_secs(10);
