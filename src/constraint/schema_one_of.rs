//! Turns `oneOf` into `anyOf` where at most one alternative can fit anyway.
//!
//! llguidance enforces `oneOf` only where it sees that itself, and it does not follow references.
//! Schemas of unions with a tag, which many libraries make, have both.

use std::collections::BTreeSet;
use std::convert::Infallible;

use serde_json::{Map, Value};

use super::schema_path::{SchemaPath, visit};

/// Replaces each `oneOf` in `schema` whose alternatives exclude each other.
pub(super) fn replace_one_of(schema: &mut Value) {
    let original = schema.clone();
    let mut n_pairs = MAX_PAIRS;
    let mut replace = |members: &mut Map<String, Value>, _: &SchemaPath| {
        let Some(Value::Array(items)) = members.get("oneOf") else {
            return Ok::<_, Infallible>(());
        };
        let cost = items.len() * items.len() / 2;
        if cost > n_pairs || members.contains_key("anyOf") {
            return Ok(());
        }
        n_pairs -= cost;
        let exclude = |(i, a): (usize, &Value)| {
            items[i + 1..].iter().all(|b| exclude_each_other(a, b, &original, MAX_LEVELS))
        };
        if items.iter().enumerate().all(exclude) {
            let renamed = std::mem::take(members).into_iter().map(|(keyword, value)| {
                (if keyword == "oneOf" { "anyOf".to_owned() } else { keyword }, value)
            });
            *members = renamed.collect();
        }
        Ok(())
    };
    let Ok(()) = visit(schema, &mut SchemaPath::default(), &mut replace);
}

/// Whether no value fits both schemas. They are in `root`.
fn exclude_each_other(a: &Value, b: &Value, root: &Value, n_levels: usize) -> bool {
    let (Some(a), Some(b)) = (target(a, root), target(b, root)) else { return false };
    if let (Some(a), Some(b)) = (values(a), values(b)) {
        return !a.iter().any(|value| b.iter().any(|other| is_same(value, other)));
    }
    let (Some(types_a), Some(types_b)) = (types(a), types(b)) else { return false };
    if types_a.is_disjoint(&types_b) {
        return true;
    }
    let is_object = |types: &BTreeSet<&str>| types.len() == 1 && types.contains("object");
    if n_levels == 0 || !is_object(&types_a) || !is_object(&types_b) {
        return false;
    }
    let member = |schema: &'_ Map<String, Value>, name: &str| {
        schema.get("properties").and_then(|properties| properties.get(name)).cloned()
    };
    required(a).chain(required(b)).any(|name| match (member(a, name), member(b, name)) {
        (Some(a), Some(b)) => exclude_each_other(&a, &b, root, n_levels - 1),
        _ => false,
    })
}

/// The schema itself, or the one that it refers to.
fn target<'a>(mut schema: &'a Value, root: &'a Value) -> Option<&'a Map<String, Value>> {
    for _ in 0..MAX_LEVELS {
        let members = schema.as_object()?;
        let Some(Value::String(reference)) = members.get("$ref") else { return Some(members) };
        let names = reference.strip_prefix('#')?.split('/').skip(1).map(str::to_owned);
        schema = SchemaPath(names.collect()).find_in(root)?;
    }
    None
}

/// The values that fit `schema` at most; `None` if it does not list them.
fn values(schema: &Map<String, Value>) -> Option<&[Value]> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(std::slice::from_ref(value)),
        (None, Some(Value::Array(values))) => Some(values),
        _ => None,
    }
}

/// The types of the values that fit `schema`; `None` if it does not say. Integers are numbers.
fn types(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    let name = |name| if name == "integer" { "number" } else { name };
    match (schema.get("type"), values(schema)) {
        (Some(Value::String(of)), _) => Some([name(of.as_str())].into()),
        (Some(Value::Array(of)), _) => of.iter().map(|of| of.as_str().map(name)).collect(),
        (_, Some(values)) => Some(values.iter().map(type_of).collect()),
        _ => None,
    }
}

/// The type of a value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether two values may be the same to the standard, to which 1 and 1.0 are.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => true,
        (a, b) => a == b,
    }
}

/// The names of the members that an object needs to fit `schema`.
fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// Most pairs of alternatives that are compared.
const MAX_PAIRS: usize = 200_000;

/// Most levels of objects, and of references, that are looked into.
const MAX_LEVELS: usize = 4;
