//! JSON schemas: what is refused before llguidance compiles them, and what is changed for it.
//!
//! A keyword is either enforced, or the schema is refused with the place of the keyword. llguidance
//! refuses the keywords that it does not know. What it would enforce in another way than the
//! standard says is changed or refused here (`schema_check`, `schema_refs`, `schema_one_of`), and
//! so is what would take it too much time (`schema_combinations`).

use serde_json::{Map, Value, json};

use crate::domain::JsonText;

use super::fault::{GrammarFault, MAX_BYTES, MAX_DEPTH};
use super::reason::TOO_LARGE;
use super::schema_check::{OPTIONS, check_keywords};
use super::schema_combinations::check_combinations;
use super::schema_endless::forbid_endless;
use super::schema_fault::locate;
use super::schema_one_of::replace_one_of;
use super::schema_path::{SchemaPath, visit};
use super::schema_refs::resolve;
use super::schema_text::read;

/// Reads a schema, and changes it for llguidance.
///
/// # Errors
/// It is too large or too deep, is no JSON, or has a fault that is found without compiling it.
pub(super) fn prepare(schema: &JsonText) -> Result<Value, GrammarFault> {
    changed(Value::Object(members_of(schema)?))
}

/// The same for a schema that only objects are to fit.
///
/// # Errors
/// Those of [`prepare`], and the schema says that something else than an object fits.
pub(super) fn prepare_object(schema: &JsonText) -> Result<Value, GrammarFault> {
    let mut members = members_of(schema)?;
    let is_object = match members.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        Some(name) => name == "object",
    };
    if !is_object {
        let reason = "at #/type: it must be object, because arguments are members of an object";
        return Err(GrammarFault::Invalid(reason.to_owned()));
    }
    members.insert("type".to_owned(), Value::from("object"));
    changed(Value::Object(members))
}

/// The members of a schema.
fn members_of(schema: &JsonText) -> Result<Map<String, Value>, GrammarFault> {
    let JsonText(text) = schema;
    if text.len() > MAX_BYTES {
        return Err(GrammarFault::TooLong { n_bytes: text.len() });
    }
    if depth(text) > MAX_DEPTH {
        return Err(GrammarFault::TooDeep);
    }
    match read(text).map_err(GrammarFault::Invalid)? {
        Value::Bool(true) => Ok(Map::new()),
        Value::Object(members) => Ok(members),
        Value::Bool(false) => {
            Err(GrammarFault::Invalid("nothing fits the schema false".to_owned()))
        }
        _ => Err(GrammarFault::Invalid("a schema is an object".to_owned())),
    }
}

/// Checks a schema, and changes it for llguidance.
fn changed(mut schema: Value) -> Result<Value, GrammarFault> {
    let checked = check_keywords(&mut schema).and_then(|()| resolve(&mut schema));
    checked.map_err(GrammarFault::Invalid)?;
    replace_one_of(&mut schema);
    check_combinations(&schema)?;
    forbid_endless(&mut schema).map_err(GrammarFault::Invalid)?;
    Ok(compact(schema))
}

/// The schema of any JSON object, for llguidance.
pub(super) fn any_object() -> Value {
    compact(json!({"type": "object"}))
}

/// The schema with what makes its JSON compact: one space after commas and colons, and no other
/// white space between tokens. A small model would else write white space without end.
fn compact(mut schema: Value) -> Value {
    if !has_merged_objects(&schema) {
        close_objects(&mut schema);
    }
    schema[OPTIONS] = json!({
        "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false,
        // Without \u, so that a name is always written in the same way.
        "json_allowed_escapes": "nrbtf\\\"",
    });
    schema
}

/// The reason why llguidance refuses `schema`, with the place of the fault. `compile` compiles a
/// schema, and returns why it is refused.
pub(super) fn located(
    reason: &str,
    schema: &Value,
    compile: &dyn Fn(Value) -> Option<String>,
) -> String {
    // No single place is at fault then.
    if reason.starts_with(TOO_LARGE) {
        return reason.to_owned();
    }
    format!("at {}: {reason}", locate(schema, compile))
}

/// Whether some objects have to fit several schemas at once, so that one of these must not forbid
/// the members of the others.
fn has_merged_objects(schema: &Value) -> bool {
    match schema {
        Value::Object(schema) => {
            let has = |key: &str| schema.contains_key(key);
            let combines =
                ["allOf", "anyOf", "oneOf", "$ref", "if"].into_iter().filter(|key| has(key));
            let n = combines.count() + usize::from(has("properties"));
            has("allOf") || n > 1 || schema.values().any(has_merged_objects)
        }
        Value::Array(values) => values.iter().any(has_merged_objects),
        _ => false,
    }
}

/// Forbids members that have no schema, in objects whose schema says nothing about them. A small
/// model would else write members without end, also the same one again.
fn close_objects(schema: &mut Value) {
    let mut close = |schema: &mut Map<String, Value>, _: &SchemaPath| {
        let names = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        let is_known = |names: &Map<String, Value>| {
            let known = |name: &Value| name.as_str().is_some_and(|name| names.contains_key(name));
            required.is_none_or(|required| required.iter().all(known))
        };
        let says_nothing = !ABOUT_OTHERS.iter().any(|key| schema.contains_key(*key));
        if says_nothing && names.is_some_and(is_known) {
            schema.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        Ok::<(), std::convert::Infallible>(())
    };
    let Ok(()) = visit(schema, &mut SchemaPath::default(), &mut close);
}

/// Deepest nesting of brackets outside of strings.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut is_string, mut is_escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => depth += 1,
            b'}' | b']' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Keywords about members that `properties` does not name.
const ABOUT_OTHERS: [&str; 5] = [
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "minProperties",
];

#[cfg(test)]
mod tests;
