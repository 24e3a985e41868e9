//! The wire, frame by frame, against the contract.

mod client;
mod properties;
mod sent;
mod server;
