//! The web page at `/`, which is a part of the program (ADR-0052).
//!
//! `files` has the files that the build has found in `web/dist`, with their compressed forms.
//! `encoding` chooses one of these forms for a client, and `serve` answers requests. Nothing is
//! read from disk or compressed while the server runs. The page holds no secrets, so it needs no
//! key; what it shows comes through the protocol and the other pages, which do.

mod encoding;
mod files;
mod serve;

use std::sync::Arc;

use axum::Router;

use super::shared::Shared;

/// The routes of the page and of its files; `/` explains what to do if the program has none.
pub(super) fn routes() -> Router<Arc<Shared>> {
    serve::routes_of(files::FILES)
}
