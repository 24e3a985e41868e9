//! Places in a JSON schema, and the schemas within a schema.

use std::fmt;

use serde_json::{Map, Value};

/// A place in a schema, which is written as a JSON pointer: `#/properties/a/type`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SchemaPath(pub(super) Vec<String>);

impl SchemaPath {
    /// The place of `name` at this place.
    pub(super) fn with(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    /// Calls `call` with the place of `name` at this place. The path stays there if that fails.
    pub(super) fn enter<T, E>(
        &mut self,
        name: impl Into<String>,
        call: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.push(name.into());
        let result = call(self)?;
        self.0.pop();
        Ok(result)
    }

    /// What is at this place in `schema`.
    pub(super) fn find_in<'a>(&self, schema: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(schema, |value, name| match value {
            Value::Object(members) => members.get(name),
            Value::Array(items) => items.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// What is at this place in `schema`, to change it.
    pub(super) fn find_in_mut<'a>(&self, schema: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(schema, |value, name| match value {
            Value::Object(members) => members.get_mut(name),
            Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl fmt::Display for SchemaPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("#")?;
        self.0.iter().try_for_each(|name| {
            let name: String =
                name.chars().filter(|char| !char.is_control()).take(MAX_NAME_CHARS).collect();
            write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))
        })
    }
}

/// How the value of a keyword contains schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subschemas {
    /// It is one.
    One,
    /// It is a list of some.
    List,
    /// Its members are, and their names mean something else.
    Members,
}

impl Subschemas {
    /// How the value of `keyword` contains schemas; `None` if it does not.
    pub(super) fn of(keyword: &str, value: &Value) -> Option<Self> {
        match (keyword, value) {
            ("items" | "allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(_)) => {
                Some(Self::List)
            }
            (
                "items"
                | "additionalItems"
                | "additionalProperties"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "propertyNames"
                | "contains"
                | "not"
                | "if"
                | "then"
                | "else",
                _,
            ) => Some(Self::One),
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(_),
            ) => Some(Self::Members),
            _ => None,
        }
    }
}

/// Looks at, or changes, a schema that is an object.
pub(super) type SchemaVisitor<'a, E> =
    dyn FnMut(&mut Map<String, Value>, &SchemaPath) -> Result<(), E> + 'a;

/// Calls `call` with each schema in `schema` that is an object, outer ones first, and its place.
///
/// # Errors
/// The first of `call`.
pub(super) fn visit<E>(
    schema: &mut Value,
    path: &mut SchemaPath,
    call: &mut SchemaVisitor<'_, E>,
) -> Result<(), E> {
    let Value::Object(members) = schema else { return Ok(()) };
    call(members, path)?;
    for (keyword, value) in members {
        let Some(form) = Subschemas::of(keyword, value) else { continue };
        path.enter(keyword, |path| match (form, value) {
            (Subschemas::List, Value::Array(items)) => {
                let mut items = items.iter_mut().enumerate();
                items.try_for_each(|(i, item)| {
                    path.enter(i.to_string(), |path| visit(item, path, call))
                })
            }
            (Subschemas::Members, Value::Object(members)) => {
                let mut members = members.iter_mut();
                members
                    .try_for_each(|(name, item)| path.enter(name, |path| visit(item, path, call)))
            }
            (_, value) => visit(value, path, call),
        })?;
    }
    Ok(())
}

/// Longest name in a path, in characters.
const MAX_NAME_CHARS: usize = 40;
