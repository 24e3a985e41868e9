//! The list of requests at `/requests`.
//!
//! `list` is the table of the requests that run, wait or ended last, over all interfaces. Every
//! request has a record in it, which its account's guard keeps ([`crate::server::access`]). `page`
//! shows it and aborts requests.

mod list;
mod page;

pub(super) use list::{RequestList, RequestRecord, RequestSource, Surface};
pub(super) use page::{RequestRows, abort_request, list_requests};
