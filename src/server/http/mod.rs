//! HTTP: the first protocol of every connection.
//!
//! `connection` serves HTTP/1.1 on one TCP connection, with deadlines. `routes` checks every
//! request and dispatches it: to a page, or to `ws` if it asks for a WebSocket. `origin` decides
//! which host names and web pages are accepted. `respond` has helpers for short responses.

mod connection;
mod origin;
mod respond;
mod routes;

pub(super) use connection::serve;
pub(super) use respond::plain;
pub(super) use routes::routes;
