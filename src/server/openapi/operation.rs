//! A method on a path: its handler, and what it reads and answers.

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodRouter, delete, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::server::shared::Shared;

/// Describes a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A method on a path.
pub(in crate::server) struct Operation {
    pub(super) handlers: MethodRouter<Arc<Shared>>,
    pub(super) description: OperationText,
}

/// A path and the methods that it has.
pub(super) struct DescribedPath {
    /// As axum has it: `/v1/models/{*name}`.
    pub(super) path: &'static str,
    pub(super) operations: Vec<OperationText>,
}

/// What `/openapi.json` says about a method on a path.
pub(super) struct OperationText {
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    pub(super) needs_key: bool,
    /// The fields that the query of the address may have.
    pub(super) query: &'static [&'static str],
    pub(super) body: Option<BodyText>,
    /// Whether a success has status 204 and no body.
    pub(super) is_empty: bool,
    /// JSON that a response with status 200 has.
    pub(super) answer: Option<SchemaOf>,
    /// Other media types of such a response.
    pub(super) media_types: &'static [&'static str],
    /// JSON that a response with status 503 has, if it is not an error.
    pub(super) unavailable: Option<SchemaOf>,
    /// JSON that errors have; plain text otherwise.
    pub(super) error: Option<SchemaOf>,
}

/// What a method reads.
#[derive(Clone, Copy)]
pub(super) struct BodyText {
    pub(super) schema: SchemaOf,
    /// Fields of which a body needs one, beside those that its type requires.
    pub(super) needs_one_of: &'static [&'static str],
}

impl Operation {
    /// `GET`, served by `handler`.
    pub(in crate::server) fn get<H: Handler<T, Arc<Shared>>, T: 'static>(
        handler: H,
        summary: &'static str,
    ) -> Self {
        Self::new("get", get(handler), summary)
    }

    /// `POST`, served by `handler`.
    pub(in crate::server) fn post<H: Handler<T, Arc<Shared>>, T: 'static>(
        handler: H,
        summary: &'static str,
    ) -> Self {
        Self::new("post", post(handler), summary)
    }

    /// `DELETE`, served by `handler`.
    pub(in crate::server) fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(
        handler: H,
        summary: &'static str,
    ) -> Self {
        Self::new("delete", delete(handler), summary)
    }

    fn new(
        method: &'static str,
        handlers: MethodRouter<Arc<Shared>>,
        summary: &'static str,
    ) -> Self {
        let description = OperationText {
            method,
            summary,
            needs_key: false,
            query: &[],
            body: None,
            is_empty: false,
            answer: None,
            media_types: &[],
            unavailable: None,
            error: None,
        };
        Self { handlers, description }
    }

    /// It reads JSON of type `T`, which has to have one of the fields `needs_one_of`, if there are
    /// any.
    pub(in crate::server) fn reads<T: JsonSchema>(
        mut self,
        needs_one_of: &'static [&'static str],
    ) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.description.body = Some(BodyText { schema, needs_one_of });
        self
    }

    /// The query of its address may have the fields `query`.
    pub(in crate::server) fn takes(mut self, query: &'static [&'static str]) -> Self {
        self.description.query = query;
        self
    }

    /// It answers with status 204 and no body.
    pub(in crate::server) fn answers_nothing(mut self) -> Self {
        self.description.is_empty = true;
        self
    }

    /// It answers JSON of type `T`.
    pub(in crate::server) fn answers<T: JsonSchema>(mut self) -> Self {
        self.description.answer = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// It may also answer text of these types.
    pub(in crate::server) fn answers_text(mut self, media_types: &'static [&'static str]) -> Self {
        self.description.media_types = media_types;
        self
    }

    /// With status 503 it answers JSON of type `T`.
    pub(in crate::server) fn unavailable<T: JsonSchema>(mut self) -> Self {
        self.description.unavailable = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// It belongs to an API: it needs a key where the server has keys, and its errors are JSON of
    /// type `T`.
    pub(in crate::server) fn of_api<T: JsonSchema>(mut self) -> Self {
        self.description.needs_key = true;
        self.description.error = Some(SchemaGenerator::subschema_for::<T>);
        self
    }
}
