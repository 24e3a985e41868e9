//! The endpoints `/v1/messages` and `/v1/messages/count_tokens`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::timeout;

use crate::domain::Prompt;
use crate::server::budget::Charge;
use crate::server::ids::new_id;
use crate::server::openai::ApiError;
use crate::server::openai::body::{ParsedBody, read_json};
use crate::server::openai::call::{ApiAnswer, ApiCall, serve};
use crate::server::openai::client::ApiClient;
use crate::server::openai::field_names::FieldNames;
use crate::server::openai::generation::{Generation, GenerationEvent, NewGeneration};
use crate::server::openai::parts::to_json;
use crate::server::openai::sse::{EventSource, named_event};
use crate::server::openapi::{DescribedRoutes, Operation};
use crate::server::shared::Shared;

use super::error::{MessageErrorBody, error_body, error_response};
use super::request::{MessagesBody, MessagesRequest};
use super::stream::{MessageEvent, MessageStream, WholeMessage};

/// The routes of this API.
pub(in crate::server) fn routes() -> DescribedRoutes {
    let create = Operation::post(create, "Answers a conversation")
        .reads::<MessagesBody>(&[])
        .answers::<WholeMessage<'_>>()
        .answers_text(&["text/event-stream"])
        .of_api::<MessageErrorBody<'_>>();
    let count = Operation::post(count, "Counts the tokens of a conversation")
        .reads::<MessagesBody>(&[])
        .answers::<TokenCount>()
        .of_api::<MessageErrorBody<'_>>();
    DescribedRoutes::default().route(MESSAGES, [create]).route(COUNT_TOKENS, [count])
}

/// The number of tokens of a conversation.
#[derive(Debug, Serialize, JsonSchema)]
struct TokenCount {
    input_tokens: usize,
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

/// Reads a body, as the options say.
async fn read_message(
    client: &Arc<ApiClient>,
    headers: &HeaderMap,
    body: Body,
) -> Result<ReadMessage, ApiError> {
    let body = read_json::<MessagesBody>(client, headers, body).await?;
    let ParsedBody { value, ignored, n_bytes, charge } = body;
    let keeps_attribution = client.shared.options.keeps_attribution;
    let request = MessagesRequest::new(value, ignored, keeps_attribution).map_err(|field| {
        let error = ApiError::from(field);
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
    let input_tokens = client.count_tokens(n_bytes, request.conversation).await?;
    let mut answer = ApiAnswer::json(to_json(&TokenCount { input_tokens }));
    request.ignored.add_to(answer.response_mut());
    Ok(answer)
}

/// Generates a message, and sends it as a whole or as it comes.
async fn create_message(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, received } = call;
    let ReadMessage { request, n_bytes, charge } = read_message(&client, &headers, body).await?;
    let MessagesRequest { conversation, params, is_stream, ignored } = request;
    let prompt = Prompt::Chat(Box::new(conversation));
    let is_streamed = is_stream;
    let new = NewGeneration {
        prompt,
        params,
        names: NAMES,
        is_streamed,
        n_bytes,
        charge,
        received,
        is_first: true,
    };
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
    ignored.add_to(answer.response_mut());
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

/// What clients of this API call fields.
const NAMES: FieldNames =
    FieldNames { max_tokens: "max_tokens", messages: "messages", parameters: "input_schema" };

/// How long a streamed message waits for the runner before it begins.
const ACCEPT_WAIT: Duration = Duration::from_secs(1);

/// Time between signs of life while the model is silent. Shorter than the second after which the
/// response would get a comment.
const PING_INTERVAL: Duration = Duration::from_millis(900);
