//! One answer of the model for a client of an HTTP API, from the request to the model to its end.
//!
//! [`Generation`] turns what the runner delivers into events, which every API writes in its own
//! form. It logs and counts the end of the request exactly once. Dropping it cancels the request,
//! and what the request used still counts for its account.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::Instrument;

use crate::answer::{AllowedCalls, AnswerEvent, AnswerParser};
use crate::domain::{
    AnswerStart, Code, Delivery, FinishReason, Outcome, Params, Prompt, Request, TokenLogprobs,
    Usage,
};
use crate::protocol::EndStats;
use crate::runner::Ticket;
use crate::server::access::{AccountRequest, SETTLE_DEADLINE};
use crate::server::budget::Charge;
use crate::server::options::REQUEST_BYTES;

use super::client::ApiClient;
use super::error::ApiError;
use super::field_names::FieldNames;

/// What an API asks the model for.
#[derive(Debug)]
pub(in crate::server) struct NewGeneration {
    /// The conversation to answer, or the text to continue.
    pub(in crate::server) prompt: Prompt,
    pub(in crate::server) params: Params,
    /// Whether the client gets the answer as it comes. If not, no call is told that may break.
    pub(in crate::server) is_streamed: bool,
    /// What the client calls the fields of its request.
    pub(in crate::server) names: FieldNames,
    /// Bytes of the message that asked for it.
    pub(in crate::server) n_bytes: usize,
    /// For the memory of the message, which is not charged otherwise any more.
    pub(in crate::server) charge: Charge,
    /// When the message was received.
    pub(in crate::server) received: Instant,
    /// Whether the client has no other request in flight.
    pub(in crate::server) is_first: bool,
}

/// What happens to a request. The last event is [`Self::Ended`] or [`Self::Failed`].
#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) enum GenerationEvent {
    /// It waits for a slot, at this position, counted from 1.
    Queued(usize),
    /// More of the answer, without warnings.
    Answer {
        /// The parts of new text.
        events: Vec<AnswerEvent>,
        /// The log probabilities of new tokens, if the request asked for them.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The answer is complete.
    Ended(GenerationEnd),
    /// There is no complete answer.
    Failed(ApiError),
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) struct GenerationEnd {
    pub(in crate::server) reason: FinishReason,
    /// The stop string that ended it, if one did.
    pub(in crate::server) stop: Option<String>,
    pub(in crate::server) usage: Usage,
    /// What could not be read in the answer.
    pub(in crate::server) warnings: Vec<String>,
}

/// A request that was handed to the runner.
pub(in crate::server) struct Generation {
    client: Arc<ApiClient>,
    /// What remains to be settled; `None` once it is.
    work: Option<GenerationWork>,
    deliveries: Arc<Notify>,
    /// Resolves once the runner has accepted or refused the request.
    settled: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Takes the answer to a conversation apart; `None` before its first text, and for raw text.
    parser: Option<AnswerParser>,
    /// Whether the answer is one to a conversation, and is taken apart.
    is_chat: bool,
    /// The calls that the model may write.
    allowed: Option<AllowedCalls>,
    start: AnswerStart,
    names: FieldNames,
    pending: VecDeque<GenerationEvent>,
    warnings: Vec<String>,
    received: Instant,
    /// From the receipt of the request until its first text was taken.
    ttft: Option<Duration>,
}

/// What a request holds until it has ended, and its account knows what it used.
struct GenerationWork {
    ticket: Ticket,
    account_request: AccountRequest,
    charge: Charge,
}

impl Generation {
    /// Hands a request to the runner.
    ///
    /// # Errors
    /// A limit of the client is reached, or no runner can be expected to serve the request soon.
    pub(in crate::server) fn start(
        client: &Arc<ApiClient>,
        request: NewGeneration,
    ) -> Result<Self, ApiError> {
        let result = Self::submit(client, request);
        if let Err(error) = &result {
            client.refused(error);
        }
        result
    }

    fn submit(client: &Arc<ApiClient>, request: NewGeneration) -> Result<Self, ApiError> {
        let NewGeneration {
            prompt, params, names, is_streamed, n_bytes, received, is_first, ..
        } = request;
        let mut charge = request.charge;
        if let Some(error) = client.interruption() {
            return Err(error);
        }
        let mut account_request = client.caller.admit(n_bytes)?;
        charge.set(n_bytes + REQUEST_BYTES);
        let (is_chat, allowed) = match &prompt {
            Prompt::Text(_) | Prompt::Tokens(_) => (false, None),
            Prompt::Chat(conversation) => (true, AllowedCalls::of(conversation)),
        };
        let allowed = match is_streamed {
            true => allowed,
            false => allowed.map(AllowedCalls::only_whole),
        };
        let (connection, account) = (client.connection, client.account());
        let request = Request { connection, account, prompt, params };
        let deliveries = Arc::new(Notify::new());
        let model = &client.shared.model;
        let mut ticket = model
            .submit(request, received, deliveries.clone(), is_first)
            .map_err(|refusal| names.rename(refusal))?;
        let list = &client.shared.requests;
        let record = list.begin(client.source.clone(), received, ticket.canceller());
        account_request.submitted(record);
        let settled: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(ticket.settled());
        let work = GenerationWork { ticket, account_request, charge };
        Ok(Self {
            client: client.clone(),
            work: Some(work),
            deliveries,
            settled: Some(settled),
            parser: None,
            is_chat,
            allowed,
            start: AnswerStart::default(),
            names,
            pending: VecDeque::new(),
            warnings: Vec::new(),
            received,
            ttft: None,
        })
    }

    /// Waits until the runner has accepted the request, or has no time to decide at the moment.
    ///
    /// # Errors
    /// The request was refused, or has failed already.
    pub(in crate::server) async fn accepted(&mut self) -> Result<(), ApiError> {
        if let Some(settled) = &mut self.settled {
            let client = self.client.clone();
            tokio::select! {
                () = settled => {}
                _ = client.interrupted() => {}
            }
            self.settled = None;
        }
        if self.pending.is_empty() {
            self.receive();
        }
        match self.pending.back() {
            Some(GenerationEvent::Failed(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Waits for the next event. Cancelling the wait loses none. To be called until the last event.
    pub(in crate::server) async fn next(&mut self) -> GenerationEvent {
        let client = self.client.clone();
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            tokio::select! {
                () = self.deliveries.notified() => {}
                _ = client.interrupted() => {}
            }
        }
    }

    /// The next event if there is one.
    pub(in crate::server) fn take(&mut self) -> Option<GenerationEvent> {
        if self.pending.is_empty() {
            self.receive();
        }
        self.pending.pop_front()
    }

    /// Adds what the runner has delivered to the pending events.
    fn receive(&mut self) {
        if self.work.is_none() {
            return;
        }
        if let Some(error) = self.client.interruption() {
            self.cancel();
            return self.pending.push_back(GenerationEvent::Failed(error));
        }
        let Some(work) = &mut self.work else { return };
        let Delivery { queued, answer_start, text, logprobs, outcome, .. } = work.take();
        if let Some(position) = queued {
            self.pending.push_back(GenerationEvent::Queued(position));
        }
        if let Some(start) = answer_start {
            self.start = start;
        }
        self.answer(text, logprobs, outcome.is_some());
        let is_over = self.is_over();
        match (outcome, &self.work) {
            (Some(outcome), _) if is_over => self.end(outcome.ended_by_call()),
            (Some(outcome), _) => self.end(outcome),
            (None, Some(work)) if is_over => work.ticket.canceller().cancel(),
            (None, _) => {}
        }
    }

    /// Whether the answer ends with a call that is complete, whatever the runner does.
    fn is_over(&self) -> bool {
        self.parser.as_ref().is_some_and(AnswerParser::is_over)
    }

    /// Adds the events of new text.
    fn answer(&mut self, text: String, logprobs: Vec<TokenLogprobs>, is_last: bool) {
        if !text.is_empty() && self.ttft.is_none() {
            let ttft = self.received.elapsed();
            self.ttft = Some(ttft);
            self.client.shared.counts.first_text(ttft);
        }
        if self.is_over() {
            return;
        }
        let mut events = Vec::new();
        match self.is_chat {
            false if text.is_empty() => {}
            false => events.push(AnswerEvent::Text(text)),
            true => {
                if self.parser.is_none() && !text.is_empty() {
                    let style = self.client.shared.model.answer_style();
                    let parser = AnswerParser::new(&style, self.start, self.allowed.take());
                    self.parser = Some(parser);
                }
                if let Some(parser) = &mut self.parser {
                    parser.push(&text, &mut events);
                    if is_last {
                        parser.finish(&mut events);
                    }
                    if let Some(work) = &mut self.work {
                        // A call that is held back can be long.
                        work.charge.set(REQUEST_BYTES + parser.held_bytes());
                    }
                }
            }
        }
        let warnings = &mut self.warnings;
        events.retain(|event| match event {
            AnswerEvent::Warning(text) => {
                warnings.push(text.clone());
                false
            }
            _ => true,
        });
        if !events.is_empty() || !logprobs.is_empty() {
            self.pending.push_back(GenerationEvent::Answer { events, logprobs });
        }
    }

    /// Settles, counts and logs the end of the request, and adds its event.
    fn end(&mut self, outcome: Outcome) {
        if let Some(work) = self.work.take() {
            work.account_request.ended(&outcome);
        }
        let code = outcome.code();
        self.client.shared.counts.ended(code);
        let event = match outcome {
            // The client does not wait for the end of a request that it gives up itself.
            Outcome::Finished { reason: FinishReason::Abort, .. } => {
                tracing::info!("ended: {}", code.as_str());
                let message = "the request was aborted at the server: send it again if you need it";
                GenerationEvent::Failed(ApiError::named(StatusCode::CONFLICT, "aborted", message))
            }
            Outcome::Finished { reason, stop, usage } => {
                let stats = EndStats::new(&usage, self.ttft);
                let stats = serde_json::to_string(&stats).unwrap_or_default();
                tracing::info!("ended: {} {stats}", code.as_str());
                let warnings = std::mem::take(&mut self.warnings);
                GenerationEvent::Ended(GenerationEnd { reason, stop, usage, warnings })
            }
            Outcome::Failed(failure) => {
                tracing::info!("ended: {}", code.as_str());
                GenerationEvent::Failed(failure.into())
            }
            Outcome::Refused(refusal) => {
                tracing::info!("refused: {}", code.as_str());
                GenerationEvent::Failed(self.names.rename(refusal).into())
            }
        };
        self.pending.push_back(event);
    }

    /// Cancels the request, unless it has ended. What it used is added to its account later.
    fn cancel(&mut self) {
        let Some(work) = self.work.take() else { return };
        let shared = &self.client.shared;
        shared.counts.ended(Code::Abort);
        tracing::info!("cancelled: client disconnected or interrupted");
        work.ticket.canceller().cancel();
        let settling = work.settle(self.deliveries.clone()).in_current_span();
        shared.tasks.spawn_on(settling, &shared.websocket_runtime);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl GenerationWork {
    /// Takes what the runner has delivered.
    fn take(&mut self) -> Delivery {
        let delivery = self.ticket.take();
        self.account_request.delivered(&delivery);
        if !delivery.text.is_empty() {
            // The prompt is freed with the first text.
            self.charge.set(REQUEST_BYTES);
        }
        delivery
    }

    /// Waits until the cancelled request has ended, so that what it used counts for its account.
    async fn settle(mut self, deliveries: Arc<Notify>) {
        let settled = async {
            loop {
                if let Some(outcome) = self.take().outcome {
                    return self.account_request.ended(&outcome);
                }
                deliveries.notified().await;
            }
        };
        // What a runner uses that takes longer is not known.
        let _ = timeout(SETTLE_DEADLINE, settled).await;
    }
}

impl ApiClient {
    /// Counts and logs a request that was refused, without the message, which may quote the client.
    pub(in crate::server) fn refused(&self, error: &ApiError) {
        self.shared.counts.ended(error.code);
        tracing::info!("refused: {}", error.code.as_str());
    }
}
