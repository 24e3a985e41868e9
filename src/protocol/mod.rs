//! The whole wire on one page: what a client may say, what the server answers.
//!
//! Text comes in through [`ClientFrame::parse`], which yields either something that is valid to
//! the last field or an [`ErrorFrame`] to send back; [`ServerFrame::text`] is the only way out.
//! The room knows names, nesting, types and ranges. It knows no socket, no engine and no order of
//! frames: who may say what when is decided by the server.

mod client;
mod error;
mod fields;
mod gpu;
mod hello;
mod id;
mod logprobs;
mod metrics;
mod params;
mod sent;
mod server;
mod stats;

pub use client::{ClientFrame, Infer};
pub use error::{Code, ErrorFrame};
pub use gpu::throttle_name;
pub use hello::{Build, Hello, Placement};
pub use id::RequestId;
pub use metrics::{Inference, Metrics, State};
pub use server::ServerFrame;
pub use stats::EndStats;

#[cfg(test)]
mod tests;
