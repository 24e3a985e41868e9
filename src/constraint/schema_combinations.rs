//! Bounds how many alternatives a JSON schema combines.
//!
//! llguidance limits the size of what it compiles, but not how often it combines alternatives:
//! `allOf` of several `anyOf` is their product.

use serde_json::{Map, Value};

use super::fault::GrammarFault;
use super::schema_path::SchemaPath;

/// Refuses a schema that combines too many alternatives.
pub(super) fn check_combinations(schema: &Value) -> Result<(), GrammarFault> {
    Combinations { root: schema, n_visited: 0, n_objects: 0 }.check(schema)
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
                    let names = path.trim_start_matches("#").split('/').skip(1);
                    let target = SchemaPath(names.map(str::to_owned).collect());
                    target.find_in(self.root).map_or(1, |target| self.of(target, depth + 1))
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

/// Whether a schema has several parts that are combined with each other.
fn is_combined(schema: &Map<String, Value>) -> bool {
    let n_parts = |(key, value): (&String, &Value)| match key.as_str() {
        "allOf" => value.as_array().map_or(0, Vec::len),
        "anyOf" | "oneOf" | "$ref" | "enum" | "properties" | "items" => 1,
        _ => 0,
    };
    schema.iter().map(n_parts).sum::<usize>() > 1
}

/// Most combinations of alternatives.
const MAX_COMBINATIONS: u64 = 2_000;

/// Most objects that a schema consists of.
const MAX_OBJECTS: usize = 5_000;

/// Most schemas that are visited to count combinations.
const MAX_VISITED: u64 = 200_000;

/// Most references that are followed within each other to count combinations.
const MAX_REFS: usize = 16;
