//! `/openapi.json`: what the HTTP pages and APIs read and write.
//!
//! A route cannot be added without its description: [`DescribedRoutes`] takes an [`Operation`],
//! which has the handler and says what it reads and answers. The bodies are described by the types
//! that they are read into and written from, so ranges and limits are those of the checks
//! (ADR-0051).

mod document;
mod operation;
mod routes;

pub(super) use self::operation::Operation;
pub(super) use self::routes::DescribedRoutes;
