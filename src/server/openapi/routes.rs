//! Routes that are described.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::MethodRouter;

use crate::server::shared::Shared;

use super::document::document;
use super::operation::{DescribedPath, Operation};

/// Routes, each with its description.
#[derive(Default)]
pub(in crate::server) struct DescribedRoutes {
    router: Router<Arc<Shared>>,
    paths: Vec<DescribedPath>,
}

impl DescribedRoutes {
    /// Adds the `operations` on `path`.
    pub(in crate::server) fn route<const N: usize>(
        mut self,
        path: &'static str,
        operations: [Operation; N],
    ) -> Self {
        let mut handlers = MethodRouter::new();
        let mut texts = Vec::with_capacity(N);
        for Operation { handlers: more, description } in operations {
            handlers = handlers.merge(more);
            texts.push(description);
        }
        self.router = self.router.route(path, handlers);
        self.paths.push(DescribedPath { path, operations: texts });
        self
    }

    /// Adds all routes of `other`.
    pub(in crate::server) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.paths.extend(other.paths);
        self
    }

    /// The routes, and `/openapi.json` which describes them.
    pub(in crate::server) fn into_router(self) -> Router<Arc<Shared>> {
        let text = Arc::new(OnceLock::<Bytes>::new());
        let paths = Arc::new(OnceLock::<Vec<DescribedPath>>::new());
        let described = paths.clone();
        let handler = async move || {
            // Made when the first client asks: most servers are never asked.
            let make = || document(described.get().map_or(&[][..], Vec::as_slice)).into();
            let body = text.get_or_init(make).clone();
            ([(CONTENT_TYPE, "application/json")], body)
        };
        let operation = Operation::get(handler, "This description").answers::<serde_json::Value>();
        let Self { router, paths: all } = self.route("/openapi.json", [operation]);
        // It was empty until now.
        let _ = paths.set(all);
        router
    }
}
