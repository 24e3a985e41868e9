//! Finds the place in a JSON schema that makes llguidance refuse it.
//!
//! llguidance rarely says where a fault is. It is found by leaving out parts of the schema: the
//! fault is where the refusal changes.

use serde_json::Value;

use super::schema_path::{SchemaPath, Subschemas};

/// The place in `schema` that makes `compile` fail as it does.
///
/// `compile` is called with changed schemas, and returns why one is refused.
pub(super) fn locate(schema: &Value, compile: &dyn Fn(Value) -> Option<String>) -> SchemaPath {
    let mut schema = schema.clone();
    let reason = compile(schema.clone());
    let n_bytes = schema.to_string().len().max(1);
    let mut n_tries = (MAX_BYTES_TRIED / n_bytes).min(MAX_TRIES);
    let mut path = SchemaPath::default();
    loop {
        let parts = parts_of(&schema, &path);
        let mut is_changed = |n: usize| {
            n_tries = n_tries.saturating_sub(1);
            let mut changed = schema.clone();
            parts[..n].iter().for_each(|part| part.leave_out(&mut changed));
            compile(changed) != reason
        };
        // The refusal is the same without the first `same` parts, and differs without `changed`.
        let (mut same, mut changed) = (0, parts.len());
        if parts.is_empty() || !is_changed(changed) {
            return path;
        }
        while changed - same > 1 {
            let middle = same.midpoint(changed);
            if is_changed(middle) {
                changed = middle;
            } else {
                same = middle;
            }
        }
        parts[..same].iter().for_each(|part| part.leave_out(&mut schema));
        let found = &parts[same];
        path = found.path.clone();
        if !found.is_schema || n_tries == 0 {
            return path;
        }
    }
}

/// A part of a schema.
struct SchemaPart {
    path: SchemaPath,
    /// Whether it is a schema, and not the value of a keyword that contains none.
    is_schema: bool,
}

impl SchemaPart {
    fn leave_out(&self, schema: &mut Value) {
        if self.is_schema {
            if let Some(part) = self.path.find_in_mut(schema) {
                *part = Value::Bool(true);
            }
        } else if let Some((keyword, outer)) = self.path.0.split_last()
            && let Some(Value::Object(members)) = SchemaPath(outer.to_vec()).find_in_mut(schema)
        {
            members.shift_remove(keyword);
        }
    }
}

/// The parts of the schema at `path`: first the schemas in it, then its keywords. Definitions come
/// before what refers to them.
fn parts_of(schema: &Value, path: &SchemaPath) -> Vec<SchemaPart> {
    let Some(Value::Object(members)) = path.find_in(schema) else { return Vec::new() };
    let mut keywords: Vec<&String> = members.keys().filter(|key| !key.starts_with("x-")).collect();
    keywords.sort_by_key(|keyword| match keyword.as_str() {
        "$defs" | "definitions" => 0,
        "$ref" => 2,
        "type" => 3,
        _ => 1,
    });
    let mut schemas = Vec::new();
    for &keyword in &keywords {
        let inner = path.with(keyword);
        match (Subschemas::of(keyword, &members[keyword]), &members[keyword]) {
            (Some(Subschemas::List), Value::Array(items)) => {
                schemas.extend((0..items.len()).map(|i| inner.with(&i.to_string())));
            }
            (Some(Subschemas::Members), Value::Object(named)) => {
                schemas.extend(named.keys().map(|name| inner.with(name)));
            }
            (Some(Subschemas::One), _) => schemas.push(inner),
            _ => {}
        }
    }
    let schemas = schemas.into_iter().map(|path| SchemaPart { path, is_schema: true });
    let keywords = keywords.into_iter().map(|keyword| path.with(keyword));
    schemas.chain(keywords.map(|path| SchemaPart { path, is_schema: false })).collect()
}

/// Most schemas that are compiled to find a fault.
const MAX_TRIES: usize = 100;

/// Most bytes of schemas that are compiled to find a fault.
const MAX_BYTES_TRIED: usize = 512 << 10;
