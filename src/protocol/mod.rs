//! The WebSocket wire format: every frame a client may send and every frame the server sends.
//!
//! [`ClientFrame::parse`] turns a message into a fully validated frame or into the [`ErrorFrame`]
//! to reply with. [`ServerFrame::text`] is the only way to write a frame. This module owns field
//! names, nesting, types and ranges; `docs/PROTOCOL.md` is its contract. `names` lists the fields
//! of requests, and `warnings` says what is wrong with others. This module knows nothing of
//! sockets, of the engine or of the order of frames: the server decides who may send what when.

mod client;
mod conversation;
mod escapes;
mod fields;
mod format;
mod id;
mod json;
mod names;
mod params;
mod tools;
mod warnings;

mod error;
mod gpu;
mod hello;
mod logprobs;
mod metrics;
mod server;
mod stats;

pub use client::{ClientFrame, Infer};
pub use error::{Code, ErrorFrame};
pub use escapes::without_lone_surrogates;
pub use gpu::throttle_name;
pub use hello::{Build, Hello, ServingInfo};
pub use id::RequestId;
pub use json::{JsonArray, JsonObject, JsonSlice, Quoted};
pub use metrics::{Inference, InferenceState, Metrics, PhaseTimes};
pub use server::{EndLimit, EndReason, ServerFrame};
pub use stats::EndStats;
pub use warnings::Warnings;

#[cfg(test)]
mod tests;
