//! A request that computes, from its head to the end of its response.
//!
//! The thread of the pages only moves bytes: it hands the request to a task on the runtime of the
//! WebSockets, which reads the body, asks the model and writes the response. The task ends at once
//! when the client disconnects, and the requests to the model with it. While a request computes,
//! its connection counts as an open WebSocket does, and new connections do not replace it.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::domain::Code;
use crate::server::access::Caller;
use crate::server::connections::ConnectionPermit;
use crate::server::listing::Surface;
use crate::server::peer::Peer;
use crate::server::shared::Shared;
use crate::server::websockets::WebSocketPermit;

use super::client::ApiClient;
use super::error::ApiError;
use super::sse::{EventSource, send_events};

/// A request to serve.
pub(in crate::server) struct ApiCall {
    pub(in crate::server) client: Arc<ApiClient>,
    pub(in crate::server) headers: HeaderMap,
    pub(in crate::server) body: Body,
    /// When the head of the request was received.
    pub(in crate::server) received: Instant,
}

/// The response to a request.
pub(in crate::server) struct ApiAnswer {
    response: Response,
    /// Sends the events that follow the head of the response.
    events: Option<EventsTask>,
}

/// Sends the events of a response to the channel.
type EventsTask = Box<dyn FnOnce(mpsc::Sender<Bytes>) -> BoxFuture<'static, ()> + Send>;

/// Where a response goes, with the channel of the events that follow.
type Respond = oneshot::Sender<(Response, Option<mpsc::Receiver<Bytes>>)>;

impl ApiAnswer {
    /// A complete response with a JSON body.
    pub(in crate::server) fn json(body: String) -> Self {
        ([(CONTENT_TYPE, "application/json")], body + "\n").into_response().into()
    }

    /// A response of server-sent events to `client`.
    pub(in crate::server) fn events(client: &Arc<ApiClient>, source: impl EventSource) -> Self {
        let grace = client.shared.options.write_grace;
        let headers = [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-cache"),
            // Keeps nginx from collecting the events.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        let events: EventsTask = Box::new(move |sender| {
            Box::pin(async move { send_events(source, &sender, grace).await })
        });
        Self { response: headers.into_response(), events: Some(events) }
    }

    /// The head of the response, to add headers.
    pub(in crate::server) fn response_mut(&mut self) -> &mut Response {
        &mut self.response
    }
}

impl From<Response> for ApiAnswer {
    fn from(response: Response) -> Self {
        Self { response, events: None }
    }
}

/// Serves `request` by calling `endpoint` on the runtime of the WebSockets. The request must have
/// passed `http`, which adds the connection and the caller to it. An endpoint counts its errors.
pub(in crate::server) async fn serve<E, F>(
    shared: Arc<Shared>,
    mut request: Request,
    endpoint: E,
) -> Response
where
    E: FnOnce(ApiCall) -> F + Send + 'static,
    F: Future<Output = Result<ApiAnswer, ApiError>> + Send + 'static,
{
    let received = Instant::now();
    let connection = request.extensions_mut().remove::<ConnectionPermit>();
    let caller = request.extensions_mut().remove::<Caller>();
    let (Some(connection), Some(caller)) = (connection, caller) else {
        let message = "the connection is not known";
        return ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR, message).into_response();
    };
    // Behind a proxy it is not the peer of the connection.
    let peer = request.extensions_mut().remove::<Peer>().unwrap_or(connection.peer);
    let surface = Surface::of_path(request.uri().path());
    let Some(permit) = ComputingPermit::new(&shared, connection, &caller) else {
        shared.counts.ended(Code::Busy);
        let message = "the server has its most connections: try again later";
        return ApiError::new(Code::Busy, message).into_response();
    };
    let client = Arc::new(ApiClient::new(shared.clone(), caller, surface, peer));
    let key = client.caller.key_name();
    let span = tracing::info_span!("http", id = client.connection.0, %peer, key);
    let (parts, body) = request.into_parts();
    let call = ApiCall { client: client.clone(), headers: parts.headers, body, received };
    let (respond, response) = oneshot::channel();
    let serving = run(endpoint, call, permit, respond);
    let disconnected = CancellationToken::new();
    let guard = disconnected.clone().drop_guard();
    let serving = disconnected.run_until_cancelled_owned(serving.instrument(span));
    shared.tasks.spawn_on(serving, &shared.websocket_runtime);
    match response.await {
        Ok((response, None)) => response,
        Ok((response, Some(receiver))) => with_body(response, receiver, guard),
        Err(_) => {
            let message = "the request could not be served";
            ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

/// Calls `endpoint` and hands its response over, then sends the events that follow.
async fn run<E, F>(endpoint: E, call: ApiCall, permit: ComputingPermit, respond: Respond)
where
    E: FnOnce(ApiCall) -> F,
    F: Future<Output = Result<ApiAnswer, ApiError>>,
{
    let client = call.client.clone();
    let answered = async {
        let answer = endpoint(call).await;
        answer.unwrap_or_else(|error| error.into_response().into())
    };
    let ApiAnswer { response, events } = tokio::select! {
        answer = answered => answer,
        () = client.watch(&permit.websocket) => return,
    };
    let Some(events) = events else {
        // Before the response: the client may send the next request as soon as it has that.
        drop(permit);
        // Fails if the client has disconnected.
        let _ = respond.send((response, None));
        return;
    };
    let (sender, receiver) = mpsc::channel(MAX_UNSENT);
    if respond.send((response, Some(receiver))).is_ok() {
        tokio::select! {
            () = events(sender.clone()) => {}
            () = client.watch(&permit.websocket) => {}
        }
    }
    drop(permit);
    drop(sender);
}

/// `response` with what comes through the channel as its body. Dropping the body drops `guard`.
fn with_body(
    response: Response,
    mut receiver: mpsc::Receiver<Bytes>,
    guard: DropGuard,
) -> Response {
    let chunks = stream::poll_fn(move |cx| {
        let _held = &guard;
        match receiver.poll_recv(cx) {
            Poll::Ready(chunk) => Poll::Ready(chunk.map(Ok::<_, io::Error>)),
            Poll::Pending => Poll::Pending,
        }
    });
    let (parts, _) = response.into_parts();
    Response::from_parts(parts, Body::from_stream(chunks))
}

/// Keeps the connection of a request while it computes.
struct ComputingPermit {
    connection: ConnectionPermit,
    websocket: WebSocketPermit,
}

impl ComputingPermit {
    /// `None` if too many connections are in use, or this one is being closed.
    fn new(shared: &Shared, connection: ConnectionPermit, caller: &Caller) -> Option<Self> {
        let websocket = shared.websocket_permit(&connection, Some(caller.account_id()))?;
        websocket.set_busy(true);
        Some(Self { connection, websocket })
    }
}

impl Drop for ComputingPermit {
    fn drop(&mut self) {
        self.connection.release();
    }
}

/// Parts of a response that wait for the socket. While there are more, the text stays with the
/// runner, whose credit limits it.
const MAX_UNSENT: usize = 4;
