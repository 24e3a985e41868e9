//! The endpoints `/v1/messages` and `/v1/messages/count_tokens`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::domain::{Code, Prompt, TextQuery, TextReply};
use crate::protocol::JsonSlice;
use crate::server::budget::Charge;
use crate::server::json_fields::{InvalidField, JsonFields};
use crate::server::openai::ApiError;
use crate::server::openai::body::{ParsedBody, read_json};
use crate::server::openai::call::{ApiAnswer, ApiCall, serve};
use crate::server::openai::client::ApiClient;
use crate::server::openai::generation::{Generation, GenerationEvent, NewGeneration};
use crate::server::openai::parts::new_id;
use crate::server::openai::responses::name_unused;
use crate::server::openai::sse::{EventSource, named_event};
use crate::server::shared::Shared;

use super::error::{error_body, error_response};
use super::request::MessagesRequest;
use super::stream::{MessageEvent, MessageStream};

/// The routes of this API.
pub(in crate::server) fn routes() -> Router<Arc<Shared>> {
    Router::new().route(MESSAGES, post(create)).route(COUNT_TOKENS, post(count))
}

/// Whether errors on `path` have the form of this API.
pub(in crate::server) fn is_path(path: &str) -> bool {
    path.strip_prefix(MESSAGES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let answer = async |call| {
        let answer = create_message(call).await;
        Ok(answer.unwrap_or_else(|error| error_response(&error).into()))
    };
    serve(shared, request, answer).await
}

async fn count(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let answer = async |call| {
        let answer = count_tokens(call).await;
        Ok(answer.unwrap_or_else(|error| error_response(&error).into()))
    };
    serve(shared, request, answer).await
}

/// The body of a `POST`: a request, or why it is none. Lines about billing stay in it, or not.
#[derive(Debug)]
struct MessagesBody<const KEEPS_ATTRIBUTION: bool>(Result<MessagesRequest, InvalidField>);

impl<'de, const KEEPS_ATTRIBUTION: bool> Deserialize<'de> for MessagesBody<KEEPS_ATTRIBUTION> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let sent = JsonSlice::validate(raw.get()).map_err(D::Error::custom)?;
        let fields = JsonFields::of("", sent);
        Ok(Self(fields.and_then(|fields| MessagesRequest::read(fields, KEEPS_ATTRIBUTION))))
    }
}

/// Reads a body, as the options say.
async fn read_message(
    client: &Arc<ApiClient>,
    headers: &HeaderMap,
    body: Body,
) -> Result<ReadMessage, ApiError> {
    match client.shared.options.keeps_attribution {
        true => read::<true>(client, headers, body).await,
        false => read::<false>(client, headers, body).await,
    }
}

/// Reads a body.
async fn read<const KEEPS_ATTRIBUTION: bool>(
    client: &Arc<ApiClient>,
    headers: &HeaderMap,
    body: Body,
) -> Result<ReadMessage, ApiError> {
    let body = read_json::<MessagesBody<KEEPS_ATTRIBUTION>>(client, headers, body).await?;
    let ParsedBody { value: MessagesBody(request), n_bytes, charge, .. } = body;
    let request = request.map_err(|error| {
        let error = ApiError::new(Code::InvalidParams, error.to_string()).about(&error.path);
        client.refused(&error);
        error
    })?;
    Ok(ReadMessage { request, n_bytes, charge })
}

/// A request, with the bytes of its body and what these are charged.
struct ReadMessage {
    request: MessagesRequest,
    n_bytes: usize,
    charge: Charge,
}

/// Counts the tokens that the prompt of a message would have.
async fn count_tokens(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, .. } = call;
    let read = read_message(&client, &headers, body).await?;
    let ReadMessage { request, n_bytes, charge: _charge } = read;
    let query = TextQuery::Tokenize(Prompt::Chat(Box::new(request.conversation)));
    let n_tokens = match client.ask(n_bytes, query).await? {
        TextReply::Tokens(tokens) => tokens.len(),
        TextReply::Text(_) => 0,
    };
    let mut answer = ApiAnswer::json(json!({"input_tokens": n_tokens}).to_string());
    name_unused(&request.ignored, answer.response_mut());
    Ok(answer)
}

/// Generates a message, and sends it as a whole or as it comes.
async fn create_message(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, received } = call;
    let ReadMessage { request, n_bytes, charge } = read_message(&client, &headers, body).await?;
    let MessagesRequest { conversation, params, is_stream, ignored } = request;
    let prompt = Prompt::Chat(Box::new(conversation));
    let is_streamed = is_stream;
    let is_first = true;
    let new = NewGeneration { prompt, params, is_streamed, n_bytes, charge, received, is_first };
    let mut generation = Generation::start(&client, new)?;
    let model = client.shared.planned().model_name().to_owned();
    let stream = MessageStream::new(new_id("msg_"), model);
    let mut answer = if is_stream {
        // A refusal that comes at once has a status of its own.
        if let Ok(accepted) = timeout(ACCEPT_WAIT, generation.accepted()).await {
            accepted?;
        }
        let stage = MessageStage::Begins;
        ApiAnswer::events(&client, MessageEvents { generation, stream, stage })
    } else {
        ApiAnswer::json(whole_message(generation, stream).await?)
    };
    name_unused(&ignored, answer.response_mut());
    Ok(answer)
}

/// Waits for the whole answer.
async fn whole_message(
    mut generation: Generation,
    mut stream: MessageStream,
) -> Result<String, ApiError> {
    let mut events = Vec::new();
    loop {
        match generation.next().await {
            GenerationEvent::Queued(_) => {}
            GenerationEvent::Answer { events: parts, .. } => {
                for part in parts {
                    stream.push(part, &mut events);
                }
                events.clear();
            }
            GenerationEvent::Ended(end) => {
                return Ok(stream.message(&end));
            }
            GenerationEvent::Failed(error) => return Err(error),
        }
    }
}

/// The server-sent events of a message.
struct MessageEvents {
    generation: Generation,
    stream: MessageStream,
    stage: MessageStage,
}

/// How far the events of a response have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageStage {
    /// Nothing was sent.
    Begins,
    Runs,
    /// The last event was sent.
    Ended,
}

impl EventSource for MessageEvents {
    async fn next(&mut self) -> Option<String> {
        let mut events = Vec::new();
        match self.stage {
            MessageStage::Begins => {
                self.stage = MessageStage::Runs;
                self.stream.begin(&mut events);
                events.push(MessageEvent::ping());
                return Some(texts(&events));
            }
            MessageStage::Ended => return None,
            MessageStage::Runs => {}
        }
        while events.is_empty() {
            // Clients of this API wait for pings, not for comments.
            let Ok(event) = timeout(PING_INTERVAL, self.generation.next()).await else {
                events.push(MessageEvent::ping());
                break;
            };
            match event {
                GenerationEvent::Queued(_) => {}
                GenerationEvent::Answer { events: parts, .. } => {
                    for part in parts {
                        self.stream.push(part, &mut events);
                    }
                }
                GenerationEvent::Ended(end) => {
                    self.stage = MessageStage::Ended;
                    self.stream.finish(&end, &mut events);
                }
                GenerationEvent::Failed(error) => {
                    self.stage = MessageStage::Ended;
                    return Some(named_event("error", &error_body(&error)));
                }
            }
        }
        Some(texts(&events))
    }
}

fn texts(events: &[MessageEvent]) -> String {
    events.iter().map(|event| named_event(event.name, &event.json)).collect()
}

/// The path of messages.
const MESSAGES: &str = "/v1/messages";

/// The path of the number of tokens of a message.
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

/// How long a streamed message waits for the runner before it begins.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// Time between signs of life while the model is silent. Shorter than the second after which the
/// response would get a comment.
const PING_INTERVAL: Duration = Duration::from_millis(900);
