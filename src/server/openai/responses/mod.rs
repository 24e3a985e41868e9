//! The Responses API: `/v1/responses`, over HTTP (`endpoints`) and as a WebSocket (`socket`).
//!
//! `body` has the fields that a client sends, with `input` and `tools`, `request` is what they ask
//! for, and `message` reads a message of a WebSocket. `items` turns the items
//! of a conversation into messages. `run` asks the model, and `stream` turns its answer into the
//! events (`events`) of a response (`object`). `store` keeps responses that clients continue or
//! retrieve, `registry` knows those that run, and `listing` lists their input. `lanes` decides
//! which requests of a WebSocket run, and `errors` has its errors.

mod body;
mod endpoints;
mod errors;
mod events;
mod input;
mod items;
mod lanes;
mod listing;
mod message;
mod object;
mod registry;
mod request;
mod run;
mod socket;
mod store;
mod stream;
mod tools;

pub(in crate::server) use self::endpoints::routes;
pub(in crate::server) use self::registry::Responses;
pub(in crate::server) use self::socket::{ResponsesClient, serve_responses};
