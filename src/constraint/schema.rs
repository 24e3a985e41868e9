//! What is refused in a JSON schema before it is compiled, and where a fault is.
//!
//! llguidance limits the size of what it compiles, but not how often it combines alternatives. The
//! number of combinations is bounded here.

use serde_json::{Map, Value, json};

use crate::domain::JsonText;

use super::fault::{GrammarFault, MAX_BYTES, MAX_DEPTH, check_repetitions};

/// Reads a schema.
///
/// # Errors
/// It is too large or too deep, is no JSON, or combines too many alternatives.
pub(super) fn parse(schema: &JsonText) -> Result<Value, GrammarFault> {
    let JsonText(text) = schema;
    if text.len() > MAX_BYTES {
        return Err(GrammarFault::TooLong { n_bytes: text.len() });
    }
    if depth(text) > MAX_DEPTH {
        return Err(GrammarFault::TooDeep);
    }
    let schema: Value =
        serde_json::from_str(text).map_err(|error| GrammarFault::Invalid(error.to_string()))?;
    check(&schema)?;
    Ok(schema)
}

/// The schema with what makes its JSON compact: one space after commas and colons, and no other
/// white space between tokens. A small model would else write white space without end.
///
/// # Errors
/// The schema is neither an object nor `true`.
pub(super) fn compact(schema: Value) -> Result<Value, GrammarFault> {
    let schema = match schema {
        Value::Bool(true) => Map::new(),
        Value::Object(schema) => schema,
        _ => return Err(GrammarFault::Invalid("a schema is an object".to_owned())),
    };
    let mut schema = Value::Object(schema);
    if !has_merged_objects(&schema) {
        close_objects(&mut schema);
    }
    let separators =
        json!({"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false});
    schema[OPTIONS] = separators;
    Ok(schema)
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
    match schema {
        Value::Object(schema) => {
            let names = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array);
            let is_known = |names: &Map<String, Value>| {
                let known =
                    |name: &Value| name.as_str().is_some_and(|name| names.contains_key(name));
                required.is_none_or(|required| required.iter().all(known))
            };
            let says_nothing = !ABOUT_OTHERS.iter().any(|key| schema.contains_key(*key));
            if says_nothing && names.is_some_and(is_known) {
                schema.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            let is_data = |key: &String| DATA.contains(&key.as_str());
            let members = schema.iter_mut().filter(|(key, _)| !is_data(key));
            members.for_each(|(key, value)| match value.as_object_mut() {
                // The names are not keywords.
                Some(named) if NAMES.contains(&key.as_str()) => {
                    named.values_mut().for_each(close_objects);
                }
                _ => close_objects(value),
            });
        }
        Value::Array(values) => values.iter_mut().for_each(close_objects),
        _ => {}
    }
}

/// The reason why `schema` is refused, with the path of the keyword if llguidance names it.
pub(super) fn located(reason: &str, schema: &JsonText) -> String {
    let Some((_, keys)) = reason.split_once("Unimplemented keys: ") else {
        return reason.to_owned();
    };
    let named = keys.split('"').nth(1).unwrap_or_default();
    let path = serde_json::from_str(&schema.0)
        .ok()
        .and_then(|schema: Value| path_of(&schema, named, false));
    match path {
        Some(path) => format!("the keyword {named} at {path} is not supported"),
        None => format!("the keyword {named} is not supported"),
    }
}

/// The path of the first member `key` of an object that is a schema, as a JSON pointer. The keys
/// of `has_names` are names of properties and not keywords.
fn path_of(value: &Value, key: &str, has_names: bool) -> Option<String> {
    match value {
        Value::Object(members) if !has_names && members.contains_key(key) => {
            Some(format!("#/{}", escaped(key)))
        }
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| has_names || !DATA.contains(&name.as_str()))
            .find_map(|(name, value)| {
                let has_names = !has_names && NAMES.contains(&name.as_str());
                let path = path_of(value, key, has_names)?;
                Some(format!("#/{}{}", escaped(name), &path[1..]))
            }),
        Value::Array(items) => items.iter().enumerate().find_map(|(i, item)| {
            path_of(item, key, false).map(|path| format!("#/{i}{}", &path[1..]))
        }),
        _ => None,
    }
}

/// A name in a JSON pointer, shortened.
fn escaped(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect::<String>().replace('~', "~0").replace('/', "~1")
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

/// Refuses a schema that combines too many alternatives, or that sets options of llguidance.
fn check(schema: &Value) -> Result<(), GrammarFault> {
    if schema.get(OPTIONS).is_some() {
        let reason = format!("the keyword {OPTIONS} at #/{OPTIONS} is not supported");
        return Err(GrammarFault::Invalid(reason));
    }
    let mut combinations = Combinations { root: schema, n_visited: 0, n_objects: 0 };
    combinations.check(schema)
}

/// Counts the combinations of alternatives that compiling a schema can make.
struct Combinations<'a> {
    root: &'a Value,
    /// Number of schemas visited so far to count combinations.
    n_visited: u64,
    /// Number of objects that were checked.
    n_objects: usize,
}

impl Combinations<'_> {
    /// Refuses `value` and what is in it if a schema combines too many alternatives.
    fn check(&mut self, value: &Value) -> Result<(), GrammarFault> {
        match value {
            Value::Object(members) => {
                self.n_objects += 1;
                if self.n_objects > MAX_OBJECTS {
                    let reason = format!("it consists of more than {MAX_OBJECTS} objects");
                    return Err(GrammarFault::Invalid(reason));
                }
                check_alternatives(members)?;
                if let Some(Value::String(pattern)) = members.get("pattern") {
                    check_repetitions(pattern)?;
                }
                if is_combined(members) && self.of(value, 0) > MAX_COMBINATIONS {
                    return Err(GrammarFault::Invalid(format!(
                        "it combines more than {MAX_COMBINATIONS} alternatives of allOf, anyOf, \
                         oneOf and $ref"
                    )));
                }
                members.values().try_for_each(|value| self.check(value))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.check(item)),
            _ => Ok(()),
        }
    }

    /// The number of combinations that `schema` can make with itself and what is in it. Larger than
    /// any limit if it takes long to count.
    fn of(&mut self, schema: &Value, depth: usize) -> u64 {
        self.n_visited += 1;
        if self.n_visited > MAX_VISITED {
            return u64::MAX;
        }
        let Value::Object(members) = schema else { return 1 };
        let mut n: u64 = 1;
        for (key, value) in members {
            let factor = match (key.as_str(), value) {
                ("anyOf" | "oneOf", Value::Array(items)) => items
                    .iter()
                    .map(|item| self.of(item, depth))
                    .fold(0, u64::saturating_add)
                    .max(1),
                ("allOf", Value::Array(items)) => {
                    items.iter().map(|item| self.of(item, depth)).fold(1, u64::saturating_mul)
                }
                ("enum" | "type", Value::Array(items)) => items.len().max(1) as u64,
                ("$ref", Value::String(path)) if depth < MAX_REFS => {
                    let root = self.root;
                    let target = path.strip_prefix('#').and_then(|path| root.pointer(path));
                    target.map_or(1, |target| self.of(target, depth + 1))
                }
                ("properties" | "patternProperties", Value::Object(properties)) => {
                    properties.values().map(|value| self.of(value, depth)).max().unwrap_or(1)
                }
                ("items" | "additionalProperties", value) => self.of(value, depth),
                _ => 1,
            };
            n = n.saturating_mul(factor);
        }
        n
    }
}

/// Refuses a schema with too many alternatives.
fn check_alternatives(schema: &Map<String, Value>) -> Result<(), GrammarFault> {
    for key in ["anyOf", "oneOf", "allOf", "enum"] {
        let n = schema.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        if n > MAX_ALTERNATIVES {
            let reason = format!("{key} has {n} alternatives: send at most {MAX_ALTERNATIVES}");
            return Err(GrammarFault::Invalid(reason));
        }
    }
    // The same name may be written twice, and the members then count as one.
    let least = schema.get("minProperties").and_then(Value::as_f64).unwrap_or(0.0);
    let n_required = schema.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    if least > n_required.max(1) as f64 {
        let reason = format!(
            "minProperties {least} cannot be enforced for names that are not required: name them \
             in required"
        );
        return Err(GrammarFault::Invalid(reason));
    }
    Ok(())
}

/// Whether a schema has several parts that are combined with each other.
fn is_combined(schema: &Map<String, Value>) -> bool {
    let n_parts = |(key, value): (&String, &Value)| match key.as_str() {
        "allOf" => value.as_array().map_or(0, Vec::len),
        "anyOf" | "oneOf" | "$ref" | "enum" | "properties" | "items" => 1,
        _ => 0,
    };
    schema.iter().map(n_parts).sum::<usize>() > 1
}

/// The member of a schema that has options of llguidance.
const OPTIONS: &str = "x-guidance";

/// Keywords whose members are named by the schema's author.
const NAMES: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Keywords whose values are data and no schemas.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "required"];

/// Keywords about members that `properties` does not name.
const ABOUT_OTHERS: [&str; 5] = [
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "minProperties",
];

/// Most combinations of alternatives.
const MAX_COMBINATIONS: u64 = 2_000;

/// Most alternatives in one place.
const MAX_ALTERNATIVES: usize = 500;

/// Most objects that a schema consists of.
const MAX_OBJECTS: usize = 5_000;

/// Most schemas that are visited to count combinations.
const MAX_VISITED: u64 = 200_000;

/// Most references that are followed within each other to count combinations.
const MAX_REFS: usize = 16;

/// Longest name in a path, in characters.
const MAX_NAME_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(schema: &Value) -> Result<Value, GrammarFault> {
        parse(&JsonText(schema.to_string()))
    }

    #[test]
    fn path_names_the_keyword_and_not_a_property_of_its_name() {
        let schema = json!({
            "properties": {
                "not": {"const": {"not": 1}},
                "a/b": {"items": [true, {"not": {"type": "null"}}]},
            },
        });
        let reason = "Unimplemented keys: [\"not\"]";
        assert_eq!(
            located(reason, &JsonText(schema.to_string())),
            "the keyword not at #/properties/a~1b/items/1/not is not supported"
        );
        assert_eq!(located("Invalid type: x", &JsonText(String::new())), "Invalid type: x");
    }

    #[test]
    fn objects_have_no_other_members_unless_the_schema_speaks_of_them() {
        let open = json!({"properties": {"a": {"properties": {}}}, "required": ["a"]});
        let closed = compact(open.clone()).unwrap();
        assert_eq!(closed["additionalProperties"], false);
        assert_eq!(closed["properties"]["a"]["additionalProperties"], false);
        assert_eq!(closed["properties"].get("additionalProperties"), None);
        for schema in [
            json!({"properties": {"a": {}}, "additionalProperties": true}),
            json!({"properties": {"a": {}}, "required": ["b"]}),
            json!({"allOf": [open.clone(), {"properties": {"b": {}}}]}),
            json!({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}]}),
        ] {
            let closed = compact(schema.clone()).unwrap();
            assert!(!closed.to_string().contains("\"additionalProperties\":false"), "{schema}");
        }
    }

    #[test]
    fn least_number_of_members_is_refused_beyond_the_required_ones() {
        let schema = |least, required: &[&str]| {
            let names = json!({"^x": {"type": "integer"}});
            parsed(
                &json!({"patternProperties": names, "minProperties": least, "required": required}),
            )
        };
        assert!(schema(1, &[]).is_ok() && schema(2, &["a", "b"]).is_ok());
        assert!(schema(2, &[]).unwrap_err().to_string().contains("minProperties 2"));
        assert!(schema(3, &["a", "b"]).is_err());
    }

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        assert_eq!(depth(r#"{"[[[\"{": [1, {"a": []}]}"#), 4);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(parse(&JsonText(deep)), Err(GrammarFault::TooDeep));
    }

    #[test]
    fn alternatives_may_be_many_but_not_multiply() {
        let any_of = |n: usize| json!({"anyOf": vec![json!({"type": "string"}); n]});
        assert!(parsed(&any_of(500)).is_ok());
        assert!(matches!(parsed(&any_of(501)), Err(GrammarFault::Invalid(_))));
        assert!(parsed(&json!({"allOf": [any_of(10), any_of(10)]})).is_ok());
        let all_of = json!({"allOf": vec![any_of(2); 40]});
        assert!(matches!(parsed(&all_of), Err(GrammarFault::Invalid(_))));
        let levels = (0..30).map(|i| {
            let next = json!({"$ref": format!("#/$defs/l{}", i + 1)});
            (format!("l{i}"), json!({"allOf": [next.clone(), next, any_of(2)]}))
        });
        let schema = json!({"$ref": "#/$defs/l0", "$defs": Map::from_iter(levels)});
        assert!(matches!(parsed(&schema), Err(GrammarFault::Invalid(_))));
    }
}
