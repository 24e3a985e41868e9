//! Finds schemas that only a text without end fits, because they contain themselves.
//!
//! llguidance compiles these, and an answer would go on until a limit is reached.

use std::collections::HashMap;
use std::ptr;

use serde_json::{Map, Value};

use super::schema_path::{SchemaPath, Subschemas};

/// Makes nothing fit the schemas in `schema` that only a text without end fits, so that optional
/// parts with such a schema are left out.
///
/// # Errors
/// The place of what makes the whole schema endless.
pub(super) fn forbid_endless(schema: &mut Value) -> Result<(), String> {
    let mut found = Vec::new();
    collect(schema, &mut SchemaPath::default(), &mut found);
    let mut endings = Endings {
        root: schema,
        ends: found.iter().map(|&(_, schema)| (ptr::from_ref(schema), false)).collect(),
    };
    // Each round finds what ends given what is known to end. Inner schemas come last.
    loop {
        found.reverse();
        let mut is_changed = false;
        for &(_, schema) in &found {
            if !endings.end(schema) && endings.endless_part(schema).is_none() {
                endings.ends.insert(ptr::from_ref(schema), true);
                is_changed = true;
            }
        }
        if !is_changed {
            break;
        }
    }
    if let Some(part) = endings.endless_part(schema) {
        let place = SchemaPath(part);
        return Err(format!("at {place}: it contains itself, and only a text without end fits it"));
    }
    let endless: Vec<SchemaPath> =
        found.iter().filter(|(_, schema)| !endings.end(schema)).map(|(p, _)| p.clone()).collect();
    for path in endless {
        if let Some(endless) = path.find_in_mut(schema) {
            *endless = Value::Bool(false);
        }
    }
    Ok(())
}

/// Collects the schemas in `schema` that are objects, with their places.
fn collect<'a>(schema: &'a Value, path: &mut SchemaPath, found: &mut Vec<(SchemaPath, &'a Value)>) {
    let Value::Object(members) = schema else { return };
    found.push((path.clone(), schema));
    for (keyword, value) in members {
        let Some(form) = Subschemas::of(keyword, value) else { continue };
        path.0.push(keyword.clone());
        let mut inner = |name: String, value: &'a Value| {
            path.0.push(name);
            collect(value, path, found);
            path.0.pop();
        };
        match (form, value) {
            (Subschemas::List, Value::Array(items)) => {
                items.iter().enumerate().for_each(|(i, item)| inner(i.to_string(), item));
            }
            (Subschemas::Members, Value::Object(members)) => {
                members.iter().for_each(|(name, item)| inner(name.clone(), item));
            }
            (_, value) => collect(value, path, found),
        }
        path.0.pop();
    }
}

/// Which schemas a text with an end can fit.
struct Endings<'a> {
    root: &'a Value,
    /// Whether each schema that is an object is known to end, by its address.
    ends: HashMap<*const Value, bool>,
}

impl Endings<'_> {
    /// Whether `schema` is known to end. What is no object contains no schemas.
    fn end(&self, schema: &Value) -> bool {
        self.ends.get(&ptr::from_ref(schema)).copied().unwrap_or(true)
    }

    /// The part of `schema` that keeps it from ending, as far as is known.
    fn endless_part(&self, schema: &Value) -> Option<Vec<String>> {
        let Value::Object(members) = schema else { return None };
        if members.contains_key("const") || members.contains_key("enum") {
            return None;
        }
        let path = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        if let Some(Value::String(target)) = members.get("$ref") {
            let names = target.trim_start_matches('#').split('/').skip(1).map(str::to_owned);
            let target = SchemaPath(names.collect());
            if target.find_in(self.root).is_some_and(|target| !self.end(target)) {
                return path(&["$ref"]);
            }
        }
        let list = |keyword| members.get(keyword).and_then(Value::as_array);
        if let Some(i) = list("allOf").and_then(|all| all.iter().position(|one| !self.end(one))) {
            return path(&["allOf", &i.to_string()]);
        }
        for keyword in ["anyOf", "oneOf"] {
            if list(keyword).is_some_and(|any| !any.iter().any(|one| self.end(one))) {
                return path(&[keyword]);
            }
        }
        let types = match members.get("type") {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let parts = types.into_iter().map(|name| match name {
            "array" => self.endless_item(members),
            "object" => self.endless_member(members),
            _ => None,
        });
        // One type suffices.
        parts.collect::<Option<Vec<_>>>()?.into_iter().next()
    }

    /// The items that an array must have, and that do not end.
    fn endless_item(&self, schema: &Map<String, Value>) -> Option<Vec<String>> {
        let least = schema.get("minItems").and_then(Value::as_f64).unwrap_or(0.0);
        let (first, rest) = match (schema.get("items"), schema.get("prefixItems")) {
            (Some(Value::Array(_)), _) => ("items", "additionalItems"),
            _ => ("prefixItems", "items"),
        };
        let items = schema.get(first).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let required = items.iter().enumerate().take_while(|&(i, _)| (i as f64) < least);
        if let Some((i, _)) = required.into_iter().find(|(_, item)| !self.end(item)) {
            return Some(vec![first.to_owned(), i.to_string()]);
        }
        let is_endless = schema.get(rest).is_some_and(|rest| !self.end(rest));
        (is_endless && least > items.len() as f64).then(|| vec![rest.to_owned()])
    }

    /// The member that an object must have, and that does not end.
    fn endless_member(&self, schema: &Map<String, Value>) -> Option<Vec<String>> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array)?;
        required.iter().filter_map(Value::as_str).find_map(|name| {
            let member = properties.and_then(|properties| properties.get(name))?;
            (!self.end(member)).then(|| vec!["properties".to_owned(), name.to_owned()])
        })
    }
}
