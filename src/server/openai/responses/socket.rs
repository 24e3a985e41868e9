//! The Responses API over a WebSocket: `response.create` messages in, events out.
//!
//! One task reads and writes. Each response has a task of its own, which hands its events over
//! through a bounded channel: while the client does not read, no text is taken from the runner.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{self, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tracing::Instrument;

use crate::domain::Code;
use crate::pool::Task;
use crate::server::access::{Caller, Session};
use crate::server::budget::Charge;
use crate::server::connections::ConnectionPermit;
use crate::server::http::Arrival;
use crate::server::listing::Surface;
use crate::server::openai::client::ApiClient;
use crate::server::openai::error::ApiError;
use crate::server::shared::Shared;
use crate::server::websockets::WebSocketPermit;
use crate::server::ws::{ApiMessage, ApiSocket, ApiSocketEnd, CloseReason};

use super::errors::{error_event, lane_error, message_error, too_old, unknown_response};
use super::lanes::{LaneName, Lanes};
use super::message::{ClientMessage, MessageError};
use super::request::ResponsesRequest;
use super::run::{NewResponse, ResponseRun, RunStep, reader_of};

/// Who opened a WebSocket.
pub(in crate::server) struct ResponsesClient {
    pub(in crate::server) arrival: Arrival,
    pub(in crate::server) caller: Caller,
}

/// Takes the connection over from HTTP and serves it until it ends. Without a `permit` it closes
/// the WebSocket at once: too many are open.
pub(in crate::server) async fn serve_responses(
    upgrade: OnUpgrade,
    connection: ConnectionPermit,
    permit: Option<WebSocketPermit>,
    opened: ResponsesClient,
    shared: Arc<Shared>,
) {
    let ResponsesClient { arrival, caller } = opened;
    let peer = arrival.peer;
    let client = Arc::new(ApiClient::new(shared.clone(), caller.clone(), Surface::Responses, peer));
    let key = client.caller.key_name();
    let span = tracing::info_span!("responses", id = client.connection.0, %peer, key);
    let serving = async {
        let Some(mut socket) = ApiSocket::open(upgrade, &shared, &client.share).await else {
            return tracing::debug!("the client disconnected during the upgrade");
        };
        let session = Session::new(shared.access.clone(), peer.address());
        let end = match permit {
            None => ApiSocketEnd::Refused(CloseReason::TooManyConnections, None),
            Some(_) if session.begin(caller).is_err() => {
                ApiSocketEnd::Refused(CloseReason::TooManyOfAccount, None)
            }
            Some(permit) => {
                tracing::debug!("open");
                ResponsesSocket::new(&client, permit).run(&mut socket).await
            }
        };
        shared.responses.store.forget(client.account(), client.connection);
        if matches!(&end, ApiSocketEnd::Refused(..)) {
            connection.give_back();
        }
        socket.close(end).await;
        tracing::debug!("closed");
    };
    serving.instrument(span).await;
}

/// The state of a connection.
struct ResponsesSocket {
    client: Arc<ApiClient>,
    permit: WebSocketPermit,
    lanes: Lanes<WaitingRequest>,
    /// The tasks of the responses. Dropping them cancels the responses.
    tasks: JoinSet<()>,
    sender: mpsc::Sender<LaneOutput>,
    output: mpsc::Receiver<LaneOutput>,
    /// When the connection closes because of its age.
    too_old: time::Instant,
}

/// A request that waits in its lane.
struct WaitingRequest {
    request: ResponsesRequest,
    n_bytes: usize,
    charge: Charge,
    received: Instant,
}

/// What the task of a response has for the client.
struct LaneOutput {
    lane: LaneName,
    texts: Vec<String>,
    /// Whether the response has ended.
    is_last: bool,
}

/// Why the connection wakes.
enum Wake {
    Message(ApiMessage),
    Output(LaneOutput),
    Interrupted(ApiError),
    TooOld,
    ServerClosing,
    /// The responses had enough time to end.
    CloseDeadline,
}

impl ResponsesSocket {
    fn new(client: &Arc<ApiClient>, permit: WebSocketPermit) -> Self {
        let (sender, output) = mpsc::channel(MAX_UNSENT);
        Self {
            client: client.clone(),
            permit,
            lanes: Lanes::new(),
            tasks: JoinSet::new(),
            sender,
            output,
            too_old: time::Instant::now() + MAX_CONNECTION_AGE,
        }
    }

    /// Serves the connection. Returns how it ends.
    async fn run(mut self, socket: &mut ApiSocket) -> ApiSocketEnd {
        let mut close_deadline = None;
        loop {
            if close_deadline.is_some() && self.lanes.n_running() == 0 {
                return ApiSocketEnd::Refused(CloseReason::ShuttingDown, None);
            }
            let handled = match self.wake(socket, close_deadline).await {
                Wake::Message(ApiMessage::Text(text, charge)) => {
                    self.handle_message(text, charge, socket).await
                }
                Wake::Message(ApiMessage::End(end)) => Err(end),
                Wake::Output(output) => self.handle_output(output, socket).await,
                Wake::Interrupted(error) => {
                    let text = error_event(&error, None);
                    Err(ApiSocketEnd::Refused(self.interruption_reason(&error), Some(text)))
                }
                Wake::TooOld => {
                    let text = error_event(&too_old(), None);
                    Err(ApiSocketEnd::Refused(CloseReason::TooOld, Some(text)))
                }
                Wake::ServerClosing => {
                    close_deadline = Some(time::Instant::now() + LAST_EVENTS_DEADLINE);
                    Ok(())
                }
                Wake::CloseDeadline => Err(ApiSocketEnd::Refused(CloseReason::ShuttingDown, None)),
            };
            if let Err(end) = handled {
                return self.end(end, socket).await;
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Waits for what is next.
    async fn wake(
        &mut self,
        socket: &mut ApiSocket,
        close_deadline: Option<time::Instant>,
    ) -> Wake {
        let client = self.client.clone();
        let overdue = async {
            match close_deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(output) = self.output.recv() => Wake::Output(output),
            message = socket.next() => Wake::Message(message),
            error = client.interrupted() => Wake::Interrupted(error),
            // Never ends by itself, but interrupts the client.
            () = client.watch(&self.permit) => Wake::CloseDeadline,
            () = sleep_until(self.too_old) => Wake::TooOld,
            () = client.shared.closing.cancelled(), if close_deadline.is_none() => {
                Wake::ServerClosing
            }
            () = overdue => Wake::CloseDeadline,
        }
    }

    /// Why the connection closes after an interruption of its client by `error`.
    fn interruption_reason(&self, error: &ApiError) -> CloseReason {
        if error.code == Code::Unauthorized {
            CloseReason::KeyRevoked
        } else if self.client.share.evicted().now_or_never().is_some() {
            CloseReason::MessageBudget
        } else if self.lanes.n_running() == 0 {
            CloseReason::Idle
        } else {
            CloseReason::MostConnections
        }
    }

    /// Ends the connection: tells the client why, if that helps.
    async fn end(mut self, end: ApiSocketEnd, socket: &mut ApiSocket) -> ApiSocketEnd {
        self.tasks.abort_all();
        if let ApiSocketEnd::Refused(_, Some(message)) = &end {
            let text = match message.starts_with('{') {
                true => message.clone(),
                false => error_event(&ApiError::new(Code::BadFrame, message.as_str()), None),
            };
            // Fails if the client has disconnected, which is the end anyway.
            if socket.send(text).await.is_ok() {
                let _ = socket.flush().await;
            }
        }
        end
    }

    /// Handles a message of the client.
    async fn handle_message(
        &mut self,
        text: Utf8Bytes,
        charge: Charge,
        socket: &mut ApiSocket,
    ) -> Result<(), ApiSocketEnd> {
        let (message, charge) = self.parse(text, charge).await?;
        let error = match message {
            Ok(ClientMessage::Cancel { response_id }) => match self.cancel(&response_id) {
                Ok(()) => return Ok(()),
                Err(error) => (error, None),
            },
            Ok(ClientMessage::Create { request, stream_id, n_bytes, received }) => {
                let waiting = WaitingRequest { request: *request, n_bytes, charge, received };
                match self.lanes.add(stream_id.clone(), waiting) {
                    Ok(()) => {
                        self.start_waiting();
                        return Ok(());
                    }
                    Err(error) => (lane_error(error), stream_id),
                }
            }
            Err(error) => message_error(error),
        };
        let (error, stream_id) = error;
        self.client.refused(&error);
        socket.send(error_event(&error, stream_id.as_deref())).await?;
        socket.flush().await
    }

    /// Cancels a response. One that has ended needs no cancelling.
    fn cancel(&self, id: &str) -> Result<(), ApiError> {
        let responses = &self.client.shared.responses;
        let is_running = responses.cancel(id, self.client.account()).is_some();
        let reader = reader_of(&self.client);
        if is_running || responses.store.get(id, reader, Instant::now()).is_some() {
            return Ok(());
        }
        Err(unknown_response(id))
    }

    /// Parses a message. A long one is parsed on the threads for that.
    async fn parse(
        &self,
        text: Utf8Bytes,
        charge: Charge,
    ) -> Result<(Result<ClientMessage, MessageError>, Charge), ApiSocketEnd> {
        let received = Instant::now();
        if text.len() <= SHORT_MESSAGE_BYTES {
            return Ok((ClientMessage::read(&text, received), charge));
        }
        let task = Task {
            key: self.client.shared.next_message(),
            account: self.client.account(),
            connection: self.client.connection,
            cost: text.len(),
        };
        let (parsed, result) = oneshot::channel();
        // The thread goes on if the connection closes, so it owns the charge.
        let parse = move || {
            let message = ClientMessage::read(&text, received);
            drop(text);
            // Fails if the connection has closed.
            let _ = parsed.send((message, charge));
        };
        let submitted = self.client.shared.parsing.submit(task, parse);
        submitted.map_err(|_| ApiSocketEnd::Lost)?;
        result.await.map_err(|_| ApiSocketEnd::Lost)
    }

    /// Starts the requests that may run.
    fn start_waiting(&mut self) {
        while let Some((lane, waiting)) = self.lanes.start_next() {
            let WaitingRequest { request, n_bytes, charge, received } = waiting;
            let is_first = self.lanes.n_running() == 1;
            let new = NewResponse {
                request,
                lane: Some(lane.clone()),
                n_bytes,
                charge,
                received,
                is_first,
            };
            let answering = answer(self.client.clone(), new, lane, self.sender.clone());
            self.tasks.spawn(answering.in_current_span());
        }
        self.permit.set_busy(self.lanes.n_running() > 0);
    }

    /// Sends what a response has for the client.
    async fn handle_output(
        &mut self,
        output: LaneOutput,
        socket: &mut ApiSocket,
    ) -> Result<(), ApiSocketEnd> {
        let LaneOutput { lane, texts, is_last } = output;
        if is_last {
            // Before the last event: the client may send the next request as soon as it has that.
            self.lanes.ended(&lane);
            self.start_waiting();
        }
        for text in texts {
            socket.send(text).await?;
        }
        socket.flush().await
    }
}

/// Generates one response, and sends its events to `sender`.
async fn answer(
    client: Arc<ApiClient>,
    new: NewResponse,
    lane: LaneName,
    sender: mpsc::Sender<LaneOutput>,
) {
    let send = async |texts, is_last| {
        let output = LaneOutput { lane: lane.clone(), texts, is_last };
        sender.send(output).await.is_ok()
    };
    let started = async {
        let mut run = ResponseRun::start(&client, new)?;
        run.accepted().await?;
        Ok(run)
    };
    let mut run = match started.await {
        Ok(run) => run,
        Err(error) => {
            // Fails if the connection has closed.
            let _ = send(vec![error_event(&error, lane.as_deref())], true).await;
            return;
        }
    };
    let mut events = Vec::new();
    run.begin(&mut events);
    loop {
        let texts = events.drain(..).map(|event| event.json).collect::<Vec<_>>();
        if !texts.is_empty() && !send(texts, false).await {
            return;
        }
        match run.next(&mut events).await {
            RunStep::More => {}
            RunStep::Ended | RunStep::Failed(_) => break,
        }
    }
    drop(run);
    let texts = events.into_iter().map(|event| event.json).collect();
    // Fails if the connection has closed.
    let _ = send(texts, true).await;
}

/// How old a connection may become, as with OpenAI.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);

/// How long the connection waits for the last events of its responses when the server closes.
const LAST_EVENTS_DEADLINE: Duration = Duration::from_secs(2);

/// Longest message that is parsed on the thread of the connections, in bytes (ADR-0013).
const SHORT_MESSAGE_BYTES: usize = 16 * 1024;

/// Outputs of responses that wait for the socket. While there are more, the text stays with the
/// runner, whose credit limits it.
const MAX_UNSENT: usize = 4;
