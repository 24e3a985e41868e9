//! The metrics of the server and the engine, in two forms.
//!
//! `prometheus` writes the `/metrics` page for each scrape, and `plain_text` converts it for
//! programs that want the older text format. `broadcast` publishes the `metrics` frame, which all
//! subscribed WebSockets send, at a fixed interval. `requests` counts the ends of requests.

mod broadcast;
mod plain_text;
mod prometheus;
mod requests;

pub(super) use broadcast::broadcast;
pub(super) use prometheus::page;
pub(super) use requests::RequestCounts;
