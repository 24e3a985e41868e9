//! Routes HTTP requests to pages and upgrades to WebSockets.
//!
//! Every request first passes [`check_request`]. Requests for a WebSocket are accepted or refused
//! there, whatever their path; all others continue to the page of their path. Every response gets
//! the headers that tell browsers what they may do with a page.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use hyper::upgrade;

use super::arrival::Arrival;
use super::authorize::Credentials;
use super::cors;
use super::health::{HealthBody, ReadyBody, healthz, readyz};
use super::origin::check_origin;
use super::respond::{add_request_id, plain, with_page_headers};
use crate::domain::Right;
use crate::server::access::Caller;
use crate::server::anthropic;
use crate::server::connections::ConnectionPermit;
use crate::server::json::IgnoredFields;
use crate::server::listing::{RequestRows, abort_request, list_requests};
use crate::server::metrics;
use crate::server::openai::responses::{ResponsesClient, serve_responses};
use crate::server::openai::{self, ApiError, ErrorBody, is_api_path};
use crate::server::openapi::{DescribedRoutes, Operation};
use crate::server::planning::{PLAN_PARAMETERS, plan_page};
use crate::server::refusals::ForeignHeader;
use crate::server::shared::Shared;
use crate::server::web;
use crate::server::ws;

/// All routes of the server.
pub(in crate::server) fn routes(shared: Arc<Shared>) -> Router {
    let health = || {
        Operation::get(healthz, "Whether requests can be expected to finish")
            .answers::<HealthBody>()
            .unavailable::<HealthBody>()
    };
    let ready = Operation::get(readyz, "Whether requests are computed now")
        .answers::<ReadyBody>()
        .unavailable::<ReadyBody>();
    let metrics = Operation::get(metrics_page, "All metrics, for Prometheus")
        .answers_text(&["text/plain", "application/openmetrics-text"]);
    let plan = Operation::get(plan_page, "How the model uses memory, also with other options")
        .takes(PLAN_PARAMETERS)
        .answers::<serde_json::Value>()
        .of_api::<ErrorBody<'_>>();
    let requests = Operation::get(list_requests, "What runs, what waits, and what has ended")
        .answers::<RequestRows<'_>>()
        .of_api::<ErrorBody<'_>>();
    let abort = Operation::delete(abort_request, "Aborts a request of the list")
        .answers_nothing()
        .of_api::<ErrorBody<'_>>();
    let described = DescribedRoutes::default()
        .route("/healthz", [health()])
        .route("/health", [health()])
        .route("/readyz", [ready])
        .route(METRICS, [metrics])
        .route(PLAN, [plan])
        .route(REQUESTS, [requests])
        .route("/requests/{id}", [abort])
        .merge(openai::routes())
        .merge(anthropic::routes())
        .into_router();
    let routes = if shared.options.has_web { described.merge(web::routes()) } else { described };
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(shared.clone(), check_request))
        .layer(map_response(with_page_headers))
        .with_state(shared)
}

/// Refuses requests that name a foreign host or come from a foreign page, and handles requests for
/// a WebSocket.
async fn check_request(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let is_api = is_api_path(request.uri().path());
    let Some(permit) = request.extensions().get::<ConnectionPermit>().cloned() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the connection is not known");
    };
    let checked = arrival_of(&request, &permit, &shared).and_then(|arrival| {
        if needs_origin(&request) {
            let allowed = &shared.options.allowed_origins;
            check_origin(request.headers(), &arrival.host, arrival.is_secure, allowed)?;
        }
        Ok(arrival)
    });
    let arrival = match checked {
        Ok(arrival) => arrival,
        Err(foreign) => return forbidden(&shared, &foreign, request.uri()),
    };
    // An allowed page, also for a method that is not refused otherwise. It may read whatever it may
    // ask for.
    let allowed = &shared.options.allowed_origins;
    let is_allowed =
        check_origin(request.headers(), &arrival.host, arrival.is_secure, allowed).is_ok();
    let page = request.headers().get(ORIGIN).cloned();
    let page = page.filter(|_| is_allowed && (is_api || !ws::is_upgrade(&request)));
    if let Some(page) = &page
        && let Some(response) = cors::preflight(&request, page)
    {
        return response;
    }
    let mut response = check_access(&shared, permit, arrival, request, next).await;
    if is_api {
        add_request_id(&mut response);
    }
    if let Some(page) = &page {
        cors::allow(&mut response, page);
    }
    response
}

/// Checks the key of a request and handles requests for a WebSocket.
async fn check_access(
    shared: &Arc<Shared>,
    permit: ConnectionPermit,
    arrival: Arrival,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = is_api_path(request.uri().path());
    if ws::is_upgrade(&request) && !is_api {
        return open_websocket(shared, permit, arrival, request).await;
    }
    let credentials = Credentials::of(&request, arrival.peer.address());
    if is_api {
        return match credentials.require(&shared.access, Right::Infer).await {
            Ok(caller) if ws::is_upgrade(&request) => {
                open_api_websocket(shared, permit, ResponsesClient { arrival, caller }, request)
            }
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(arrival.peer);
                let mut ignored = IgnoredFields::default();
                let query = request.uri().query().unwrap_or_default();
                ignored.add_query(query, openai::known_parameters(request.uri().path()));
                let mut response = next.run(request).await;
                ignored.extend(&mut response);
                response
            }
            Err(refusal) => {
                let (status, line) = refusal.status_and_line();
                api_error(request.uri(), ApiError::of_status(status, line))
            }
        };
    }
    if let Err(refusal) = credentials.check_address(&shared.access) {
        return refusal.into_response();
    }
    let Some((right, others)) = needed_rights(request.uri().path(), shared) else {
        return next.run(request).await;
    };
    match credentials.require_any(&shared.access, right, others).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) if has_json_errors(request.uri().path()) => {
            let (status, line) = refusal.status_and_line();
            ApiError::of_status(status, line).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// The rights of which a client needs one for the page at `path`; `None` if everybody may see it.
fn needed_rights(path: &str, shared: &Shared) -> Option<(Right, &'static [Right])> {
    match path {
        METRICS => shared.access.protects_metrics().then_some((Right::Metrics, &[])),
        PLAN => Some((Right::Metrics, &[])),
        _ if path == REQUESTS || path.starts_with(REQUESTS_BELOW) => {
            Some((Right::Infer, &[Right::Metrics, Right::Admin]))
        }
        _ => None,
    }
}

/// From where the request came.
fn arrival_of(
    request: &Request,
    permit: &ConnectionPermit,
    shared: &Shared,
) -> Result<Arrival, ForeignHeader> {
    let message = (request.uri(), request.headers());
    let connection = (permit.peer, permit.is_tls);
    Arrival::of(message, connection, &shared.hosts, &shared.options.trusted_proxies)
}

/// Whether the `Origin` of a request is checked: if it asks for a WebSocket, has a method that does
/// more than read, or is for a page that is computed. Browsers let a page read the answer to a
/// `GET` only if the server permits that, which it does not.
fn needs_origin(request: &Request) -> bool {
    ws::is_upgrade(request)
        || ![Method::GET, Method::HEAD].contains(request.method())
        || is_json_page(request.uri().path())
}

/// Whether `path` is that of a page for programs, whose errors are JSON.
fn is_json_page(path: &str) -> bool {
    [PLAN, REQUESTS].contains(&path) || path.starts_with(REQUESTS_BELOW)
}

/// Whether the errors on `path` are JSON.
fn has_json_errors(path: &str) -> bool {
    is_api_path(path) || is_json_page(path)
}

/// Checks the key and the handshake of the request and starts a task that serves the WebSocket. The
/// task waits until the returned response has been sent. It ends early if the connection is
/// replaced.
async fn open_websocket(
    shared: &Arc<Shared>,
    permit: ConnectionPermit,
    arrival: Arrival,
    mut request: Request,
) -> Response {
    let response = match ws::accept_upgrade(&request) {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    let wants_metrics = match ws::wants_metrics(request.uri().query()) {
        Ok(wants_metrics) => wants_metrics,
        Err(reason) => return plain(StatusCode::BAD_REQUEST, &reason),
    };
    let credentials = Credentials::of(&request, arrival.peer.address());
    let caller = match credentials.caller(&shared.access).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    // The connection counts until the last clone of its permit is dropped.
    request.extensions_mut().remove::<ConnectionPermit>();
    let upgraded = upgrade::on(&mut request);
    let replaced = permit.replaced();
    let kind = ws::ConnectionKind::on_path(request.uri().path());
    // Before the response: a client that has it must not be replaced by other connections.
    let account = caller.as_ref().map(Caller::account_id);
    let websocket_permit = shared.websocket_permit(&permit, account);
    let client = ws::Arrived { arrival, caller, kind, wants_metrics };
    let serving = ws::serve(upgraded, permit, websocket_permit, client, shared.clone());
    let serving = replaced.run_until_cancelled_owned(serving);
    shared.tasks.spawn_on(serving, &shared.websocket_runtime);
    response
}

/// Starts a task that serves a WebSocket of an HTTP API, as [`open_websocket`] does.
fn open_api_websocket(
    shared: &Arc<Shared>,
    permit: ConnectionPermit,
    client: ResponsesClient,
    mut request: Request,
) -> Response {
    if request.uri().path() != RESPONSES {
        let message = "there is no WebSocket here: open one on /v1/responses for the Responses \
                       API, or on / for the protocol of this server";
        let error = ApiError::of_status(StatusCode::NOT_FOUND, message);
        return api_error(request.uri(), error);
    }
    let response = match ws::accept_upgrade(&request) {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().remove::<ConnectionPermit>();
    let upgraded = upgrade::on(&mut request);
    let replaced = permit.replaced();
    let account = client.caller.account_id();
    let websocket_permit = shared.websocket_permit(&permit, Some(account));
    let serving = serve_responses(upgraded, permit, websocket_permit, client, shared.clone());
    let serving = replaced.run_until_cancelled_owned(serving);
    shared.tasks.spawn_on(serving, &shared.websocket_runtime);
    response
}

/// The response for an error on the path of an HTTP API, in the form of that API.
fn api_error(uri: &Uri, error: ApiError) -> Response {
    if anthropic::is_path(uri.path()) {
        return anthropic::error_response(&error);
    }
    error.into_response()
}

/// Refuses a request because of a header. A browser hides the response from its page, so the reason
/// is also in the log and in the metrics.
fn forbidden(shared: &Shared, foreign: &ForeignHeader, uri: &Uri) -> Response {
    shared.refusals.record(foreign);
    match has_json_errors(uri.path()) {
        true => api_error(uri, ApiError::of_status(StatusCode::FORBIDDEN, foreign.reason())),
        false => plain(StatusCode::FORBIDDEN, foreign.reason()),
    }
}

/// All metrics, for Prometheus.
async fn metrics_page(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",");
    metrics::page(&shared, &accept)
        .await
        .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the metrics"))
}

/// The response to any other path, with the paths that exist.
async fn not_found(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    if has_json_errors(uri.path()) {
        return no_such_path(&uri);
    }
    let page = if shared.options.has_web { "open / in a browser, or " } else { "" };
    let line = format!(
        "not found: {page}open a WebSocket on this address, GET /healthz, /readyz, /metrics, \
         /requests, /plan or /openapi.json, or use the HTTP APIs below /v1"
    );
    plain(StatusCode::NOT_FOUND, &line)
}

/// The error for a path of an API that there is not.
fn no_such_path(uri: &Uri) -> Response {
    let message = format!(
        "there is no {}; there are POST /v1/chat/completions, /v1/completions, /v1/responses, \
         /v1/messages, /tokenize, /detokenize and /apply-template, and GET /v1/models; \
         /openapi.json describes all",
        uri.path()
    );
    api_error(uri, ApiError::of_status(StatusCode::NOT_FOUND, message))
}

/// The response to another method on a path that exists.
async fn method_not_allowed(uri: Uri, method: Method) -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    match has_json_errors(uri.path()) {
        // An action that OpenAI's server has. Here it looks like the id of a response.
        true if method == Method::POST && uri.path() == COMPACT => no_such_path(&uri),
        true => {
            let message = format!("{method} is not for {}", uri.path());
            api_error(&uri, ApiError::of_status(status, message))
        }
        false => plain(status, &format!("{method} is not for {}", uri.path())),
    }
}

/// The path of the WebSocket of the Responses API.
const RESPONSES: &str = "/v1/responses";

/// Where OpenAI's server shortens conversations.
const COMPACT: &str = "/v1/responses/compact";

/// The path of the plans.
const PLAN: &str = "/plan";

/// The path of the list of requests.
const REQUESTS: &str = "/requests";

/// What the paths of single requests begin with.
const REQUESTS_BELOW: &str = "/requests/";

/// The path of the metrics.
const METRICS: &str = "/metrics";
