//! Tests of the wire format against the contract in docs/PROTOCOL.md.

mod client;
mod conversation;
mod format;
mod json;
mod properties;
mod server;
mod warnings;
