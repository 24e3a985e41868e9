//! The socket side: who may connect, what is said to whom, and how a connection ends.
//!
//! One port serves WebSockets and a few pages. A connection is two tasks: a reader, which parses
//! frames and hands requests to the engine, and a writer, the only one that writes. A slow socket
//! stops its writer, which leaves its requests' text with the engine, which parks their slots;
//! nobody else notices. The room promises that everything a client can make it hold is bounded,
//! that every wait has a deadline, and that a connection that ends, however it ends, stops its
//! requests. It leaves the wire format to `protocol` and the work to `engine`.

mod broadcast;
mod connection;
mod handshake;
mod http;
mod in_flight;
mod options;
mod origin;
mod outlet;
mod pages;
mod prometheus;
mod reader;
mod serve;
mod shared;
mod submission;
mod writer;

pub use options::{About, Options};
pub use origin::{InvalidOrigin, Origin};
pub use serve::Server;
