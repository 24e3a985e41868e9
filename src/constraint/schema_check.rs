//! Keywords of JSON schemas that llguidance would not enforce as the standard says.

use serde_json::{Map, Number, Value};

use super::fault::check_repetitions;
use super::regex::{RegexScope, translate};
use super::regex_class::is_writable;
use super::schema_path::{SchemaPath, visit};

/// Refuses keywords of `schema` that cannot be enforced, and changes those that llguidance
/// understands in another way.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn check_keywords(schema: &mut Value) -> Result<(), String> {
    if schema.get(OPTIONS).is_some() {
        return Err(format!("the keyword {OPTIONS} at #/{OPTIONS} is not supported"));
    }
    let mut factors = Vec::new();
    visit(schema, &mut SchemaPath::default(), &mut |members, path| {
        // All drafts are read alike. llguidance would ignore keywords that are newer than a draft.
        members.shift_remove("$schema");
        members.retain(|keyword, value| !says_nothing(keyword, value));
        if let Some(keyword) = members.keys().find(|key| UNSUPPORTED.contains(&key.as_str())) {
            let place = path.with(keyword);
            return Err(format!("the keyword {keyword} at {place} is not supported"));
        }
        check_types(members, path)?;
        check_lists(members, path)?;
        check_least_members(members, path)?;
        check_numbers(members, path)?;
        check_texts(members, path)?;
        check_factor(members, path, &mut factors)?;
        check_format(members, path)?;
        translate_patterns(members, path)
    })
}

/// Whether a keyword that llguidance does not know has a value that everything fits.
fn says_nothing(keyword: &str, value: &Value) -> bool {
    match keyword {
        "uniqueItems" => *value == Value::Bool(false),
        "unevaluatedProperties" | "unevaluatedItems" | "propertyNames" => {
            *value == Value::Bool(true) || value.as_object().is_some_and(Map::is_empty)
        }
        "$dynamicAnchor" | "$recursiveAnchor" => true,
        _ => false,
    }
}

/// Refuses types that do not exist.
fn check_types(schema: &Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    let is_type = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
    let is_valid = match schema.get("type") {
        None => true,
        Some(Value::Array(names)) => !names.is_empty() && names.iter().all(is_type),
        Some(name) => is_type(name),
    };
    if is_valid {
        return Ok(());
    }
    let place = path.with("type");
    Err(format!("at {place}: a type is one of {}, or a list of these", TYPES.join(", ")))
}

/// Refuses lists of alternatives that are empty or too long, and objects with too many members.
fn check_lists(schema: &Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    let n_properties = schema.get("properties").and_then(Value::as_object).map_or(0, Map::len);
    if n_properties > MAX_PROPERTIES {
        let place = path.with("properties");
        return Err(format!(
            "at {place}: it has {n_properties} names: send at most {MAX_PROPERTIES}"
        ));
    }
    let lists = [
        ("anyOf", MAX_SCHEMAS),
        ("oneOf", MAX_SCHEMAS),
        ("allOf", MAX_SCHEMAS),
        ("enum", MAX_ENUM),
    ];
    for (keyword, most) in lists {
        let Some(Value::Array(list)) = schema.get(keyword) else { continue };
        if list.is_empty() || list.len() > most {
            return Err(format!(
                "at {}: {keyword} has {} alternatives: send 1 to {most}",
                path.with(keyword),
                list.len()
            ));
        }
    }
    Ok(())
}

/// Refuses a least number of members beyond the required ones: the same name may be written twice,
/// and the members then count as one.
fn check_least_members(schema: &Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    let least = schema.get("minProperties").and_then(Value::as_f64).unwrap_or(0.0);
    let n_required = schema.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    if least > n_required.max(1) as f64 {
        return Err(format!(
            "at {}: minProperties {least} cannot be enforced for names that are not required: \
             name them in required",
            path.with("minProperties")
        ));
    }
    Ok(())
}

/// Refuses numbers that llguidance would round.
fn check_numbers(schema: &Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "const", "enum"] {
        let number = schema.get(keyword).and_then(inexact_number);
        if let Some(number) = number {
            return Err(format!(
                "at {}: {number} cannot be enforced exactly: numbers are at most ±{MAX_NUMBER}",
                path.with(keyword),
            ));
        }
    }
    Ok(())
}

/// Refuses values with characters that llguidance would leave out.
fn check_texts(schema: &Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    for keyword in ["const", "enum"] {
        if let Some(char) = schema.get(keyword).and_then(unwritable_char) {
            return Err(format!(
                "at {}: the control character U+{:04X} cannot be in an answer",
                path.with(keyword),
                u32::from(char)
            ));
        }
    }
    Ok(())
}

/// A character in a string of `value` that an answer cannot have.
fn unwritable_char(value: &Value) -> Option<char> {
    match value {
        Value::String(text) => text.chars().find(|&char| !is_writable(char)),
        Value::Array(items) => items.iter().find_map(unwritable_char),
        Value::Object(members) => members.values().find_map(unwritable_char),
        _ => None,
    }
}

/// A number in `value` that llguidance would round.
fn inexact_number(value: &Value) -> Option<&Number> {
    match value {
        Value::Number(number) => {
            let is_exact = match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => whole.unsigned_abs() <= MAX_NUMBER,
                (None, Some(whole)) => whole <= MAX_NUMBER,
                (None, None) => number.as_f64().is_some_and(|n| n.abs() <= MAX_NUMBER as f64),
            };
            (!is_exact).then_some(number)
        }
        Value::Array(items) => items.iter().find_map(inexact_number),
        Value::Object(members) => members.values().find_map(inexact_number),
        _ => None,
    }
}

/// Refuses a factor whose least common multiple with one of those `before` would overflow in
/// llguidance.
fn check_factor(
    schema: &Map<String, Value>,
    path: &SchemaPath,
    before: &mut Vec<f64>,
) -> Result<(), String> {
    let Some(Value::Number(number)) = schema.get("multipleOf") else { return Ok(()) };
    let fault = |reason: &str| format!("at {}: {number} {reason}", path.with("multipleOf"));
    let factor = number.as_f64().unwrap_or(0.0);
    if factor <= 0.0 {
        return Err(fault("is no factor: it must be above 0"));
    }
    if (factor * MAX_FRACTION).fract() != 0.0 || factor > f64::from(u32::MAX) {
        return Err(fault("cannot be enforced exactly: send one with at most 3 decimal places"));
    }
    let overflows = |&other: &f64| {
        let is_whole = factor.fract() == 0.0 && other.fract() == 0.0;
        let scale = if is_whole { 1.0 } else { MAX_FRACTION };
        factor * scale * other * scale > f64::from(u32::MAX)
    };
    if !before.contains(&factor) {
        if before.iter().any(overflows) {
            return Err(fault("is too large beside another factor of the schema"));
        }
        before.push(factor);
    }
    Ok(())
}

/// Refuses a format of strings that llguidance does not know. The standard leaves formats of other
/// values to their readers.
fn check_format(schema: &Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    let is_of_string = match schema.get("type") {
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => names.iter().any(|name| name == "string"),
        _ => true,
    };
    match schema.get("format") {
        Some(Value::String(format)) if is_of_string && !FORMATS.contains(&format.as_str()) => {
            let shown: String = format.chars().filter(|char| !char.is_control()).take(40).collect();
            let place = path.with("format");
            let known = FORMATS.join(", ");
            Err(format!("at {place}: there is no format {shown}: leave it out, or send {known}"))
        }
        _ => Ok(()),
    }
}

/// Translates the regular expressions in a schema.
fn translate_patterns(schema: &mut Map<String, Value>, path: &SchemaPath) -> Result<(), String> {
    let translated = |pattern: &str, place: SchemaPath| {
        check_repetitions(pattern).map_err(|fault| format!("at {place}: {fault}"))?;
        translate(pattern, RegexScope::Part).map_err(|fault| format!("at {place}: {fault}"))
    };
    if let Some(Value::String(pattern)) = schema.get_mut("pattern") {
        *pattern = translated(pattern, path.with("pattern"))?;
    }
    if let Some(Value::Object(members)) = schema.get_mut("patternProperties") {
        let path = path.with("patternProperties");
        let mut changed = Map::new();
        for (pattern, schema) in std::mem::take(members) {
            let place = path.with(&pattern);
            if changed.insert(translated(&pattern, place.clone())?, schema).is_some() {
                return Err(format!("at {place}: the same names have a schema already"));
            }
        }
        *members = changed;
    }
    Ok(())
}

/// The member of a schema that has options of llguidance.
pub(super) const OPTIONS: &str = "x-guidance";

/// Keywords of any draft that are not enforced.
const UNSUPPORTED: [&str; 16] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
];

/// The types of JSON.
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Most schemas in `anyOf`, `oneOf` or `allOf`.
const MAX_SCHEMAS: usize = 500;

/// Most names in `properties`. The time to compile them grows with their square.
const MAX_PROPERTIES: usize = 1_000;

/// Most values in `enum`.
const MAX_ENUM: usize = 5_000;

/// Largest number, up to which all integers can be told apart.
const MAX_NUMBER: u64 = 1 << 53;

/// How many parts of 1 a factor can have.
const MAX_FRACTION: f64 = 1_000.0;

/// Formats of strings that llguidance enforces.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];
