//! Reads the body of a request: bounded, charged to the message budget, within a deadline, and into
//! a type whose fields bound what parsing takes (`json`).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::domain::Code;
use crate::pool::Task;
use crate::protocol::Quoted;
use crate::server::budget::Charge;
use crate::server::json::{IgnoredFields, read_body};
use crate::server::options::RECEIVE_FACTOR;

use super::client::ApiClient;
use super::error::ApiError;

/// A body that was read.
#[derive(Debug)]
pub(in crate::server) struct ParsedBody<T> {
    pub(in crate::server) value: T,
    /// The fields that `T` does not have.
    pub(in crate::server) ignored: IgnoredFields,
    /// Length of the body in bytes.
    pub(in crate::server) n_bytes: usize,
    /// For the memory of the body and of what was read from it.
    pub(in crate::server) charge: Charge,
}

/// Reads `body` as JSON of type `T`.
///
/// # Errors
/// The body is too long, not complete in time, not JSON or not a `T`, or the client was
/// interrupted. The error has been counted.
pub(in crate::server) async fn read_json<T: DeserializeOwned + Send + 'static>(
    client: &Arc<ApiClient>,
    headers: &HeaderMap,
    body: Body,
) -> Result<ParsedBody<T>, ApiError> {
    let read = async {
        let (bytes, charge) = read_bytes(client, headers, body).await?;
        parse_charged(client, bytes, charge).await
    };
    let result = tokio::select! {
        result = read => result,
        error = client.interrupted() => Err(error),
    };
    result.inspect_err(|error| client.refused(error))
}

/// Reads the whole body.
async fn read_bytes(
    client: &ApiClient,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, Charge), ApiError> {
    let options = &client.shared.options;
    let max = options.max_message_bytes;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let mut charge = client.share.empty();
    let mut bytes = Vec::new();
    let mut waited = Duration::ZERO;
    let mut body = body.into_data_stream();
    check_encoding(headers)?;
    if announced.and_then(|text| text.parse().ok()).is_some_and(|n: u64| n > max as u64) {
        // A client that asks before it sends gets the answer at once, and sends nothing.
        return Err(match headers.contains_key(EXPECT) {
            true => too_long(max),
            false => discard_too_long(max, &mut body).await,
        });
    }
    loop {
        let earned = Duration::from_secs(bytes.len() as u64 / MIN_BYTES_PER_SECOND);
        let limit = (options.message_deadline + earned).saturating_sub(waited);
        let since = Instant::now();
        let Ok(chunk) = timeout(limit, next_chunk(&mut body)).await else {
            client.shared.n_overdue.fetch_add(1, Relaxed);
            return Err(ApiError::of_status(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "the body was not complete in time: the server waits {} s for its parts, and \
                     a second more for each 64 KiB",
                    options.message_deadline.as_secs()
                ),
            ));
        };
        waited += since.elapsed();
        let Some(chunk) = chunk? else { return Ok((bytes, charge)) };
        if bytes.len() + chunk.len() > max {
            return Err(discard_too_long(max, &mut body).await);
        }
        let wanted = (bytes.len() + chunk.len()) * RECEIVE_FACTOR;
        let more = wanted.saturating_sub(charge.bytes());
        poll_fn(|cx| charge.poll_grow(cx, more)).await;
        bytes.extend_from_slice(&chunk);
    }
}

/// Refuses a body that is compressed.
fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match headers.get_all(CONTENT_ENCODING).iter().find(|value| !is_plain(value)) {
        None => Ok(()),
        Some(value) => {
            let sent = String::from_utf8_lossy(value.as_bytes());
            let sent: String = sent.chars().take(MAX_QUOTED_CHARS).collect();
            let message = format!(
                "Content-Encoding {} is not supported: send the body without compression",
                Quoted(&sent)
            );
            Err(ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    }
}

/// The next part of the body; `None` at its end.
async fn next_chunk(body: &mut BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    let chunk = body.next().await.transpose();
    chunk.map_err(|_| ApiError::new(Code::BadFrame, "the body is not complete"))
}

/// The error for a body of more than `max` bytes. Discards the rest for a moment: a client that is
/// still sending when the connection closes may not see the response.
async fn discard_too_long(max: usize, body: &mut BodyDataStream) -> ApiError {
    let discard = async {
        let mut n_bytes = 0;
        while n_bytes < MAX_DISCARDED_BYTES
            && let Ok(Some(chunk)) = next_chunk(body).await
        {
            n_bytes += chunk.len();
        }
    };
    // The response is the same if there is more.
    let _ = timeout(DISCARD_DEADLINE, discard).await;
    too_long(max)
}

/// The error for a body of more than `max` bytes.
fn too_long(max: usize) -> ApiError {
    let message = format!("the body is longer than the limit of {max} bytes: send a shorter one");
    ApiError::of_status(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// Parses a body, and frees it. A long one is parsed on the threads for that, since it would block
/// all connections of this runtime.
async fn parse_charged<T: DeserializeOwned + Send + 'static>(
    client: &ApiClient,
    bytes: Vec<u8>,
    charge: Charge,
) -> Result<ParsedBody<T>, ApiError> {
    let n_bytes = bytes.len();
    if n_bytes <= SHORT_BODY_BYTES {
        let (value, ignored) = parse(&bytes)?;
        return Ok(ParsedBody { value, ignored, n_bytes, charge });
    }
    let task = Task {
        key: client.shared.next_message(),
        account: client.account(),
        connection: client.connection,
        cost: n_bytes,
    };
    let (parsed, result) = oneshot::channel();
    // The thread goes on if the client disconnects, so it owns the charge.
    let work = move || {
        let result = parse(&bytes);
        drop(bytes);
        // Fails if the client has disconnected.
        let _ = parsed.send((result, charge));
    };
    client.shared.parsing.submit(task, work).map_err(|full| {
        let message =
            format!("{} long messages wait to be parsed: try again later", full.n_waiting);
        ApiError::new(Code::Busy, message)
    })?;
    let (result, charge) = result.await.map_err(|_| {
        ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR, "parsing the body failed")
    })?;
    let (value, ignored) = result?;
    Ok(ParsedBody { value, ignored, n_bytes, charge })
}

/// Parses a body.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, IgnoredFields), ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::new(Code::BadJson, format!("the body is not UTF-8: {error}")))?;
    Ok(read_body(text)?)
}

/// Most characters of a header that an error quotes.
const MAX_QUOTED_CHARS: usize = 40;

/// Longest body that is parsed on the thread of the connections, in bytes (ADR-0013).
const SHORT_BODY_BYTES: usize = 16 * 1024;

/// A long body gets a second more for each of these bytes that were received (ADR-0040).
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Most bytes of a body that is too long that are discarded before its response.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;

/// How long a body that is too long is discarded before its response.
const DISCARD_DEADLINE: Duration = Duration::from_secs(1);
