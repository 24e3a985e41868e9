//! The network side of the daemon: HTTP pages and WebSockets on one port.
//!
//! [`Server`] accepts TCP connections. Each starts as HTTP: `http` checks the `Host` and `Origin`
//! of every request, serves `/metrics`, `/healthz` and `/readyz`, and hands requests for a
//! WebSocket to `ws`, which serves the connection from then on. `refusals` counts and logs foreign
//! pages and hosts. `metrics` produces the `/metrics` page and the `metrics` frames.
//!
//! This module promises that the memory a client can occupy is bounded, that every wait for a
//! client has a deadline, that HTTP pages are served however many connections there are
//! (`connections`), and that a connection's requests are cancelled however the connection ends. It
//! leaves the wire format to `protocol` and inference to `engine`.

mod connections;
mod options;
mod refusals;
#[allow(clippy::module_inception, reason = "it holds the type `Server`")]
mod server;
mod shared;

mod http;
mod metrics;
mod ws;

pub use options::{About, Options};
pub use server::Server;
