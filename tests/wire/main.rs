//! The daemon as its clients see it: every frame, every error and every page, over real sockets
//! and on the paper model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]

#[path = "../common/mod.rs"]
mod common;

mod admission;
mod backpressure;
mod bad_input;
mod cancellation;
mod documentation;
mod http_routes;
mod liveness;
mod metrics_frames;
mod origin_host;
mod prometheus;
mod shutdown;
mod streaming;
