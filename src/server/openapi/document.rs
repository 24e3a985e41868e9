//! The document: OpenAPI 3.1, whose schemas are those of JSON Schema 2020-12.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::operation::{BodyText, DescribedPath, OperationText, SchemaOf};

/// The description of `paths` in JSON.
pub(super) fn document(paths: &[DescribedPath]) -> String {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
        })
    };
    let mut writer = DocumentWriter {
        read: settings().for_deserialize().into_generator(),
        written: settings().for_serialize().into_generator(),
    };
    let mut described = Map::new();
    for DescribedPath { path, operations } in paths {
        let operations = operations
            .iter()
            .map(|operation| (operation.method.to_owned(), writer.operation(path, operation)));
        described.insert(path.replace("{*", "{"), Value::Object(operations.collect()));
    }
    let mut schemas = writer.read.take_definitions(true);
    schemas.extend(writer.written.take_definitions(true));
    schemas.values_mut().for_each(add_other_names);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "inference-core",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": described,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "x-api-key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "api-key": { "type": "apiKey", "in": "header", "name": "api-key" },
            },
        },
    });
    format!("{document}\n")
}

/// Collects the schemas of what is read and of what is written.
struct DocumentWriter {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl DocumentWriter {
    fn operation(&mut self, path: &str, text: &OperationText) -> Value {
        let mut operation = json!({
            "operationId": operation_id(path, text.method),
            "summary": text.summary,
            "parameters": parameters(path, text.query),
            "security": match text.needs_key {
                // Without keys the server needs none.
                true => json!([{ "bearer": [] }, { "x-api-key": [] }, { "api-key": [] }, {}]),
                false => json!([]),
            },
            "responses": self.responses(text),
        });
        if let Some(body) = text.body {
            operation["requestBody"] = json!({
                "required": true,
                "content": { "application/json": { "schema": self.body(body) } },
            });
        }
        operation
    }

    fn body(&mut self, body: BodyText) -> Value {
        let schema = (body.schema)(&mut self.read);
        match body.needs_one_of {
            [] => schema.to_value(),
            [name] => json!({ "allOf": [schema], "required": [name] }),
            names => {
                let one = names.iter().map(|name| json!({ "required": [name] }));
                json!({ "allOf": [schema], "anyOf": one.collect::<Vec<_>>() })
            }
        }
    }

    fn responses(&mut self, text: &OperationText) -> Value {
        let mut content = Map::new();
        if let Some(schema) = text.answer {
            content.insert("application/json".to_owned(), self.media(schema));
        }
        for media_type in text.media_types {
            // A schema of a stream would describe its events, which differ.
            let media = match *media_type {
                "text/event-stream" => json!({}),
                _ => json!({ "schema": { "type": "string" } }),
            };
            content.insert((*media_type).to_owned(), media);
        }
        let mut answer = json!({ "description": "The answer." });
        if !text.is_empty {
            answer["content"] = Value::Object(content);
        }
        if text.body.is_some() {
            answer["headers"] = json!({ "x-inference-core-ignored": {
                "description": "The fields of the request that had no effect.",
                "schema": { "type": "string" },
            } });
        }
        let error = match text.error {
            Some(schema) => json!({ "application/json": self.media(schema) }),
            None => json!({ "text/plain": { "schema": { "type": "string" } } }),
        };
        let success = if text.is_empty { "204" } else { "200" };
        let mut responses = json!({
            success: answer,
            "4XX": { "description": "The request is refused.", "content": error },
            "5XX": { "description": "The server cannot answer.", "content": error },
        });
        if let Some(schema) = text.unavailable {
            let content = json!({ "application/json": self.media(schema) });
            responses["503"] = json!({ "description": "Not now.", "content": content });
        }
        responses
    }

    fn media(&mut self, schema: SchemaOf) -> Value {
        let schema: Schema = schema(&mut self.written);
        json!({ "schema": schema })
    }
}

/// Names an operation, as in `post_v1_chat_completions`.
fn operation_id(path: &str, method: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

/// The parameters in `path`, and those in its `query`.
fn parameters(path: &str, query: &[&str]) -> Value {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str| {
        let name = name.trim_start_matches('*');
        let schema = json!({ "type": "string", "minLength": 1 });
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    let optional =
        |name: &&str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    names.map(parameter).chain(query.iter().map(optional)).collect()
}

/// Adds the other names of fields, which the type lists in `x-other-names`, as fields.
fn add_other_names(schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let mut others = Vec::new();
    for (name, property) in properties.iter_mut() {
        let Some(property) = property.as_object_mut() else { continue };
        let Some(Value::Array(names)) = property.remove("x-other-names") else { continue };
        let description = format!("Another name of `{name}`.");
        let mut other = property.clone();
        other.insert("description".to_owned(), description.into());
        let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
        others.extend(names.map(|name| (name, Value::Object(other.clone()))));
    }
    properties.extend(others);
}

/// Where the document has the schemas of types.
const SCHEMAS: &str = "/components/schemas";

/// What the document says about the whole.
const DESCRIPTION: &str = "A server for one local language model. Unknown fields of requests are \
    accepted and named in the header x-inference-core-ignored; null counts as absent. \
    GET /v1/responses with an upgrade opens a WebSocket of the Responses API, and any path outside \
    of the APIs one of the server's own protocol.";
