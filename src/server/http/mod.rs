//! HTTP: the first protocol of every connection.
//!
//! `connection` serves HTTP/1.1 on one TCP connection, with deadlines. `routes` checks every
//! request and dispatches it: to a page, or to `ws` if it asks for a WebSocket. `arrival` finds out
//! from where a request came, also through proxies. `origin` decides which host names and web pages
//! are accepted, `cors` tells browsers about the latter, and `authorize` decides which API keys.
//! `health` has the pages about the health of the server, and `respond` helpers for short
//! responses.

mod arrival;
mod authorize;
mod connection;
mod cors;
mod health;
mod origin;
mod respond;
mod routes;

pub(super) use arrival::Arrival;
pub(super) use connection::serve;
pub(super) use respond::{json, plain};
pub(super) use routes::routes;
