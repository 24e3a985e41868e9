//! The server as clients see it: every frame, error and page, over real sockets, with the scripted
//! model.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot continue")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod admission;
mod anthropic;
mod api_headers;
mod backpressure;
mod bad_input;
mod calls;
mod cancellation;
mod connections;
mod divided;
mod documentation;
mod frames;
mod http_routes;
mod key_changes;
mod key_limits;
mod listeners;
mod liveness;
mod message_memory;
mod metrics_frames;
mod openai;
mod openai_limits;
mod openapi;
mod origin_host;
mod planning;
mod prometheus;
mod proxies;
mod request_list;
mod responses;
mod responses_socket;
mod runner_ends;
mod shutdown;
mod streaming;
mod tls;
mod tls_client;
mod web_page;
