//! The network side of the daemon: HTTP pages and WebSockets on one port.
//!
//! [`Server`] accepts connections from its listeners ([`Listener`]): TCP, with or without TLS
//! (`tls`), and Unix sockets. Each connection starts as HTTP, on the thread that serves the pages
//! of all connections: `http` checks the `Host` and `Origin` of every request, serves `/metrics`,
//! `/healthz` and `/readyz`, and hands requests for a WebSocket to `ws`, which serves the
//! connection from then on.
//! `openai` and `anthropic` serve the HTTP APIs on the runtime of the WebSockets. `json` reads what
//! clients send to them. `ids` makes ids. `openapi`
//! describes them.
//! `access` has the API keys and the limits of their owners. `refusals` counts and logs foreign
//! pages and hosts. `metrics` produces the `/metrics` page and the `metrics` frames, `listing` the
//! list of requests, and `planning` the plans. `web` has the web page.
//!
//! This module promises that the memory that all clients can occupy is bounded (`budget`), that
//! every wait for a client has a deadline, that HTTP pages are served however many connections
//! there are (`connections`), that connections without requests keep no client out (`websockets`),
//! and that a connection's requests are cancelled however the connection ends. It leaves the wire
//! format to `protocol` and inference to `engine`.

mod access;
mod bounded_file;
mod budget;
mod connections;
mod ids;
mod listener;
mod listing;
mod options;
mod own_hosts;
mod peer;
mod planning;
mod refusals;
#[allow(clippy::module_inception, reason = "it holds the type `Server`")]
mod server;
mod shared;
mod socket;
mod websockets;

mod anthropic;
mod http;
mod json;
mod metrics;
mod openai;
mod openapi;
mod tls;
mod web;
mod ws;

#[cfg(feature = "fuzzing")]
pub use access::rewrite_key_file;
pub use access::{Keys, KeysError, NewKey, NewKeyError};
pub use listener::Listener;
pub use options::{About, Options};
pub use planning::Planner;
pub use server::Server;
pub use tls::{Tls, TlsError, TlsFiles};
