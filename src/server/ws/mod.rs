//! One WebSocket connection from its upgrade to its end.
//!
//! **Upgrade.** `http` receives a `GET` with `Upgrade: websocket` and lets [`accept_upgrade`] check
//! it and write the 101 response. [`serve`] then takes the TCP stream over from HTTP. If too many
//! WebSockets are open, an idle one has to close, or if all are busy, this one (code 1013).
//!
//! **Access.** The `Session` of the connection says who uses it and what it may do. If a key is
//! needed and the upgrade had none, the first frame has to be `auth`, within 10 s.
//!
//! **Hello.** `connection` splits the socket and runs two tasks, which share the table of requests
//! in flight (`in_flight`). The first frame out is `hello`.
//!
//! **Incoming bytes.** `incoming` wraps the TCP stream. It charges long messages to the budget of
//! the daemon before tungstenite stores them, and ends the stream if a message takes too long.
//!
//! **Reader.** `reader` takes frames one by one and never writes to the socket. What it has to send
//! goes to the writer as a `reply`, through a bounded channel. It enters each `infer` in the table,
//! and a `submission` hands the request to the runner, which tokenizes the prompt. A connection has
//! one long prompt or chat that is not tokenized: at the next one the reader waits and receives no
//! `abort` meanwhile. An `abort` cancels the request through the table.
//!
//! **Writer.** `writer` is the only task that writes to the socket. It wakes for `events`: a reply,
//! a delivery for a request, a new `metrics` frame, a due ping or the shutdown of the server. It
//! then sends everything that is ready and flushes once. One `Notify` for all requests of the
//! connection wakes the writer when the runner has delivered something. A request (`request`)
//! leaves the table just before its terminal frame is sent, so that the client can use the id again
//! as soon as it has read that frame.
//!
//! A request with tools or `reasoning` has its answer divided: the frames of thinking, text and
//! calls are made in `divided`.
//!
//! **Back-pressure.** While the socket is full, the writer waits and takes neither text nor
//! replies. The requests then get no more credit, the text stays in the runner, and the engine
//! pauses the slot and, after its grace for slow clients, ends the request with `slow_client`.
//! Replies fill their channel, which stops the reader, so a client that sends without reading
//! blocks itself. A frame that the socket does not take within the write grace ends the connection
//! (`sink`). ADR-0013 has the reasons.
//!
//! **Close.** There are five ways:
//! - The client closes or is lost. The writer is stopped at once. Its requests are cancelled, and
//!   count for their account once they have ended.
//! - The server shuts down. The writer waits for the terminal frames of the running requests, then
//!   sends close code 1001.
//! - The client violates the protocol. The reader ends; the writer sends the `error` frame, aborts
//!   the requests, waits for their `end` frames and sends the close code.
//! - The connection has to give way: it is idle and a new one needs its permit, or the message
//!   budget is used up and its account holds most. It is closed like after a violation, within a
//!   deadline.
//! - The session ends, because the key was revoked or none came. This is treated as a violation.
//!
//! `closing` then completes the closing handshake within a deadline.
//!
//! **HTTP APIs.** `api_socket` is a WebSocket whose messages belong to an HTTP API.

mod api_socket;
mod close_reason;
mod connection;
mod incoming;
mod kind;
mod socket;
mod upgrade;

mod in_flight;
mod reader;
mod submission;

mod divided;
mod events;
mod reply;
mod request;
mod sink;
mod writer;

mod closing;
mod log;

use std::time::Duration;

use crate::domain::AccountId;

pub(super) use api_socket::{ApiMessage, ApiSocket, ApiSocketEnd};
pub(super) use close_reason::CloseReason;
pub(super) use connection::{Arrived, serve};
pub(super) use kind::{ConnectionKind, wants_metrics};
pub(super) use upgrade::{accept_upgrade, is_upgrade};

/// Time between two pings. Short enough that routers on the way do not forget an idle connection.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Time for HTTP to send the 101 response and hand the connection over.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(10);

/// Longest message that is parsed on the reader's task, and submitted without waiting until it is
/// tokenized, in bytes (ADR-0013).
const SHORT_MESSAGE_BYTES: usize = 16 * 1024;

/// Size of the read buffers, allocated for the life of a connection. Small, because most
/// connections only receive (ADR-0013).
const READ_BUFFER_BYTES: usize = 1024;

/// Bytes that tungstenite collects before it writes to the socket. Most frames are smaller.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Whom the messages of clients count for that have to send a key: all of them together.
const UNAUTHENTICATED: AccountId = AccountId(0);
