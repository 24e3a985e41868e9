//! One response from its request to its end, whatever it is sent through.
//!
//! The conversation is that of the earlier responses and of the request. When the response has
//! ended, it is stored before the client learns its end, so that the client can continue it at
//! once.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;

use crate::domain::{Conversation, FinishReason, Prompt, Usage};
use crate::protocol::Quoted;
use crate::server::budget::Charge;
use crate::server::ids::new_id;
use crate::server::json::InvalidField;
use crate::server::openai::client::ApiClient;
use crate::server::openai::error::ApiError;
use crate::server::openai::field_names::FieldNames;
use crate::server::openai::generation::{
    Generation, GenerationEnd, GenerationEvent, NewGeneration,
};
use crate::server::openai::parts::now;

use super::events::ResponseEvent;
use super::input::InputItem;
use super::items::ResponseItem;
use super::object::ResponseFacts;
use super::registry::{RunningGuard, ShownResponse};
use super::request::ResponsesRequest;
use super::store::{ResponseOwner, StoredResponse, StoredTurn};
use super::stream::ResponseStream;

/// A request for a response.
#[derive(Debug)]
pub(super) struct NewResponse {
    pub(super) request: ResponsesRequest,
    /// The lane, and whether the response is kept for the connection if the client does not want
    /// it stored.
    pub(super) lane: Option<Option<String>>,
    /// Bytes of the message that asked for it.
    pub(super) n_bytes: usize,
    pub(super) charge: Charge,
    /// When the message was received.
    pub(super) received: Instant,
    /// Whether the client has no other request in flight.
    pub(super) is_first: bool,
}

/// A response that is being generated.
pub(super) struct ResponseRun {
    client: Arc<ApiClient>,
    generation: Generation,
    stream: ResponseStream,
    running: RunningGuard,
    record: Option<ResponseRecord>,
    is_warm_up: bool,
}

/// What is stored with a response.
struct ResponseRecord {
    owner: Option<ResponseOwner>,
    turns: Vec<Arc<StoredTurn>>,
    input: Arc<Vec<ResponseItem>>,
}

/// What a wait for a response has brought.
#[derive(Debug)]
pub(super) enum RunStep {
    /// Events, and more to come.
    More,
    /// The last events.
    Ended,
    /// The response failed; the last events say so.
    Failed(ApiError),
}

impl ResponseRun {
    /// Hands a request to the model.
    ///
    /// # Errors
    /// The request cannot be used, a limit is reached, or no runner can be expected to serve it.
    pub(super) fn start(client: &Arc<ApiClient>, new: NewResponse) -> Result<Self, ApiError> {
        let NewResponse { mut request, lane, n_bytes, charge, received, is_first } = new;
        let reader = reader_of(client);
        let owner = match (request.settings.store, &lane) {
            (true, _) => Some(ResponseOwner { connection: None, ..reader }),
            (false, Some(_)) => Some(reader),
            (false, None) => None,
        };
        let AskedConversation { conversation, turns, input } = asked(client, &mut request)?;
        let id = new_id("resp_");
        let is_warm_up = !request.generates;
        let is_streamed = request.is_stream || lane.is_some();
        let n_bytes = n_bytes + conversation.n_bytes();
        let generation = Generation::start(
            client,
            NewGeneration {
                prompt: Prompt::Chat(Box::new(conversation)),
                params: request.params,
                is_streamed,
                names: NAMES,
                n_bytes,
                charge,
                received,
                is_first,
            },
        );
        let generation = generation.inspect_err(|_| {
            forget_previous(client, request.settings.previous_response_id.as_deref(), reader);
        })?;
        let facts = Arc::new(ResponseFacts {
            id: id.clone(),
            created_at: now(),
            model: client.shared.planned().model_name().to_owned(),
            settings: request.settings,
            warnings: request.ignored.names().to_vec(),
        });
        let input = Arc::new(input);
        let shown = owner.filter(|owner| owner.connection.is_none()).map(|_| ShownResponse {
            facts: facts.clone(),
            turns: turns.clone(),
            input: input.clone(),
        });
        Ok(Self {
            client: client.clone(),
            generation,
            stream: ResponseStream::new(facts, request.names, lane.flatten()),
            running: client.shared.responses.begin(&id, client.account(), shown),
            record: Some(ResponseRecord { owner, turns, input }),
            is_warm_up,
        })
    }

    /// Waits until the runner has accepted the request.
    ///
    /// # Errors
    /// The request was refused.
    pub(super) async fn accepted(&mut self) -> Result<(), ApiError> {
        self.generation.accepted().await.inspect_err(|_| {
            let client = &self.client;
            forget_previous(client, self.stream.previous_id(), reader_of(client));
        })
    }

    /// The first events.
    pub(super) fn begin(&mut self, events: &mut Vec<ResponseEvent>) {
        self.stream.begin(events);
    }

    /// Waits for the next part of the answer and adds its events. Cancelling the wait loses none.
    pub(super) async fn next(&mut self, events: &mut Vec<ResponseEvent>) -> RunStep {
        let event = tokio::select! {
            event = self.generation.next() => Some(event),
            () = self.running.cancelled() => None,
        };
        match event {
            Some(GenerationEvent::Queued(_)) => RunStep::More,
            Some(GenerationEvent::Answer { events: parts, .. }) => {
                for part in parts {
                    self.stream.push(part, events);
                }
                RunStep::More
            }
            Some(GenerationEvent::Ended(GenerationEnd { reason, usage, warnings, .. })) => {
                self.stream.warn(warnings);
                let is_whole = self.is_warm_up && reason == FinishReason::MaxTokens;
                let reason = if is_whole { FinishReason::Stop } else { reason };
                self.stream.finish(reason, &usage, events);
                self.keep();
                RunStep::Ended
            }
            Some(GenerationEvent::Failed(error)) => {
                self.stream.fail(error.name(), error.message.clone(), events);
                RunStep::Failed(error)
            }
            None => {
                self.stream.finish(FinishReason::Abort, &Usage::default(), events);
                self.keep();
                RunStep::Ended
            }
        }
    }

    /// The response in JSON, as far as it has come.
    pub(super) fn json(&self) -> String {
        self.stream.json()
    }

    /// Stores the response, which has ended.
    fn keep(&mut self) {
        let json: Arc<str> = self.stream.json().into();
        self.running.ended(json.clone());
        let Some(ResponseRecord { owner: Some(owner), mut turns, input }) = self.record.take()
        else {
            return;
        };
        let output = self.stream.items();
        turns.push(Arc::new(StoredTurn { input, output }));
        let response = StoredResponse { json, turns };
        let store = &self.client.shared.responses.store;
        store.insert(self.stream.id(), owner, response, Instant::now());
    }
}

/// Counts the tokens of the prompt that a request would have.
///
/// # Errors
/// The request cannot be used, a limit is reached, or no runner can answer.
pub(super) async fn count_tokens(
    client: &Arc<ApiClient>,
    mut request: ResponsesRequest,
    n_bytes: usize,
) -> Result<usize, ApiError> {
    let AskedConversation { conversation, .. } = asked(client, &mut request)?;
    let n_bytes = n_bytes + conversation.n_bytes();
    client.count_tokens(n_bytes, conversation).await
}

/// The conversation that a request asks to go on with, and its parts.
struct AskedConversation {
    conversation: Conversation,
    /// The turns before the request.
    turns: Vec<Arc<StoredTurn>>,
    input: Vec<ResponseItem>,
}

/// Finds the conversation that a request asks to go on with. A request that cannot be used
/// is counted.
fn asked(
    client: &ApiClient,
    request: &mut ResponsesRequest,
) -> Result<AskedConversation, ApiError> {
    let found = gather(client, request, reader_of(client)).and_then(|(turns, input)| {
        let earlier = turns.iter().flat_map(|turn| turn.items());
        let conversation = request.conversation(earlier.chain(&input));
        let conversation = conversation.map_err(ApiError::from)?;
        Ok(AskedConversation { conversation, turns, input })
    });
    found.inspect_err(|error| client.refused(error))
}

/// The responses that a client may use.
pub(super) fn reader_of(client: &ApiClient) -> ResponseOwner {
    ResponseOwner { account: client.account(), connection: Some(client.connection) }
}

/// The turns before the request, and the items of its input.
type Gathered = (Vec<Arc<StoredTurn>>, Vec<ResponseItem>);

/// Finds what the request refers to.
fn gather(
    client: &ApiClient,
    request: &mut ResponsesRequest,
    reader: ResponseOwner,
) -> Result<Gathered, ApiError> {
    let store = &client.shared.responses.store;
    let turns = match &request.settings.previous_response_id {
        None => Vec::new(),
        Some(id) => {
            let previous = store.get(id, reader, Instant::now());
            let previous = previous.ok_or_else(|| {
                let quoted = Quoted(id);
                let message = format!(
                    "there is no response {quoted}: it is of another key or connection, or was \
                     dropped; send the whole conversation instead"
                );
                ApiError::named(StatusCode::BAD_REQUEST, PREVIOUS_NOT_FOUND, message)
                    .about("previous_response_id")
            })?;
            previous.turns
        }
    };
    let mut input = Vec::with_capacity(request.input.len());
    for item in std::mem::take(&mut request.input) {
        match item {
            InputItem::Given(item) => input.push(item),
            InputItem::Reference { id, path } => {
                let item = store.item(&id, reader).ok_or_else(|| {
                    let reason = format!("there is no item {}: send the item itself", Quoted(&id));
                    ApiError::from(InvalidField::new(path, reason))
                })?;
                input.push(item);
            }
        }
    }
    Ok((turns, input))
}

/// Drops a response of this connection whose continuation was refused: the client sends the whole
/// conversation next, and does not use it again.
fn forget_previous(client: &ApiClient, id: Option<&str>, reader: ResponseOwner) {
    if let Some(id) = id {
        client.shared.responses.store.remove_local(id, reader);
    }
}

/// The code of a response that is not there, for which clients look.
const PREVIOUS_NOT_FOUND: &str = "previous_response_not_found";

/// What clients of responses call fields.
const NAMES: FieldNames =
    FieldNames { max_tokens: "max_output_tokens", messages: "input", parameters: "parameters" };
