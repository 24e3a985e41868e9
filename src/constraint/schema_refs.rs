//! References within a JSON schema, written as llguidance reads them.
//!
//! llguidance follows `#/…` name by name, without the escapes of JSON pointers and URLs.

use serde_json::{Map, Value};

use super::schema_path::{SchemaPath, visit};

/// Rewrites the references in `schema`.
///
/// # Errors
/// One that cannot be followed, and where it is. Nothing is ever fetched.
pub(super) fn resolve(schema: &mut Value) -> Result<(), String> {
    let original = schema.clone();
    let mut aliases: Vec<SchemaPath> = Vec::new();
    let mut rewrite = |members: &mut Map<String, Value>, path: &SchemaPath| {
        if !path.0.is_empty() && members.get("$id").is_some_and(Value::is_string) {
            let place = path.with("$id");
            return Err(format!("at {place}: only the whole schema can have an $id"));
        }
        let Some(Value::String(reference)) = members.get_mut("$ref") else { return Ok(()) };
        let fault = |reason: String| format!("at {}: {reason}", path.with("$ref"));
        let target = target_of(reference).map_err(fault)?;
        match target.find_in(&original) {
            Some(Value::Object(_) | Value::Bool(_)) => {}
            _ => return Err(fault(format!("there is no schema at {target}"))),
        }
        let is_plain = |name: &String| !name.contains('/');
        *reference = if target.0.is_empty() {
            "#".to_owned()
        } else if target.0.iter().all(is_plain) && target.0 != [""] {
            format!("#/{}", target.0.join("/"))
        } else {
            let known = aliases.iter().position(|alias| *alias == target);
            let alias = known.unwrap_or(aliases.len());
            if known.is_none() {
                aliases.push(target);
            }
            if aliases.len() > MAX_ALIASES {
                let reason = format!("more than {MAX_ALIASES} references have names with /");
                return Err(fault(reason));
            }
            format!("#/{}", alias_name(alias))
        };
        Ok(())
    };
    visit(schema, &mut SchemaPath::default(), &mut rewrite)?;
    for (i, target) in aliases.iter().enumerate() {
        let copy = target.find_in(schema).cloned();
        if let (Some(copy), Value::Object(members)) = (copy, &mut *schema) {
            members.insert(alias_name(i), copy);
        }
    }
    Ok(())
}

/// The name of a copy of a schema, in the outermost one.
fn alias_name(i: usize) -> String {
    format!("x-ref-{i}")
}

/// The place that `reference` is about.
fn target_of(reference: &str) -> Result<SchemaPath, String> {
    let shown: String = reference.chars().filter(|char| !char.is_control()).take(60).collect();
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(format!(
            "{shown} is another document, which is not fetched: put the schema into $defs"
        ));
    };
    if fragment.is_empty() {
        return Ok(SchemaPath::default());
    }
    let pointer = decoded(fragment).ok_or_else(|| format!("{shown} is no reference"))?;
    let Some(pointer) = pointer.strip_prefix('/') else {
        return Err(format!("{shown} is a name: refer to a place such as #/$defs/name"));
    };
    Ok(SchemaPath(
        pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect(),
    ))
}

/// `text` without percent escapes; `None` if one is wrong.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Most schemas with an unusual name that are referred to. Each is copied.
const MAX_ALIASES: usize = 16;
