//! Limits the size and depth of a template's values.
//!
//! minijinja counts a template's steps and the bytes it creates, but two things escape its count.
//! Writing a value out visits all of its parts, a repeated part each time, and recurses into nested
//! parts, which can take unlimited time and stack. And some of Python's string methods create long
//! texts from short arguments. Every such filter and method is wrapped here: the wrapper first
//! measures the arguments, and fails if they are too large or nested too deeply.

use minijinja::value::{Kwargs, StringInput, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use minijinja_contrib::pycompat;

/// Installs the limits.
pub(super) fn apply(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", string);
    environment.add_filter("pprint", pprint);
    environment.add_filter("join", join);
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|out, state, value| {
        check(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
}

// Replacements of minijinja's filters, which first check the value to write.

fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    check(state, value)?;
    filters::tojson(value, indent, kwargs)
}

fn string(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    check(state, value)?;
    filters::string(state, value)
}

fn pprint(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    check(state, value)?;
    Ok(filters::pprint(value))
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    check(state, value)?;
    filters::join(state, value, joiner, attribute, kwargs)
}

/// Calls one of Python's methods, which create texts without using fuel.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    for argument in arguments {
        check(state, argument)?;
    }
    if let Some(text) = value.as_str()
        && max_result_bytes(text, name, arguments).is_none_or(|n| n > MAX_TEXT_BYTES)
    {
        return Err(too_large());
    }
    pycompat::unknown_method_callback(state, value, name, arguments)
}

/// Maximum number of bytes that the method `name` of `text` can return; `None` if the number
/// overflows or the format asks for a very wide field.
fn max_result_bytes(text: &str, name: &str, arguments: &[Value]) -> Option<usize> {
    let first = arguments.first();
    match name {
        "replace" => {
            let old = first.and_then(Value::as_str).unwrap_or_default();
            let new = arguments.get(1).and_then(Value::as_str).unwrap_or_default();
            text.matches(old).count().checked_mul(new.len())?.checked_add(text.len())
        }
        "join" => {
            let n = first.and_then(Value::len).unwrap_or(0);
            n.checked_mul(text.len())?.checked_add(text.len())
        }
        "format" => {
            let mut numbers = text.split(|c: char| !c.is_ascii_digit());
            let has_wide_field = numbers.any(|n| n.len() > MAX_WIDTH_DIGITS);
            let n_fields = text.matches('{').count();
            let units: usize = arguments.iter().map(units).sum();
            let field_bytes = units
                .checked_mul(BYTES_PER_UNIT)?
                .checked_add(10usize.pow(MAX_WIDTH_DIGITS as u32))?;
            (!has_wide_field).then(|| n_fields.checked_mul(field_bytes))?
        }
        _ => Some(text.len()),
    }
}

/// Size of a value in units, at most [`MAX_UNITS`].
fn units(value: &Value) -> usize {
    let mut remaining = MAX_UNITS;
    let _ = walk(value, 0, &mut remaining);
    MAX_UNITS - remaining
}

/// Checks that `value` may be written out.
fn check(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    // Texts and numbers used fuel when they were created.
    if value.as_object().is_none() { Ok(()) } else { measure(state, value) }
}

/// Checks the size and depth of `value`, and uses fuel for the work.
fn measure(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    let mut remaining = MAX_UNITS;
    let result = walk(value, 0, &mut remaining);
    state.consume_fuel(((MAX_UNITS - remaining) / UNITS_PER_FUEL) as u64)?;
    result
}

/// Subtracts the units of `value` from `remaining`. A part that occurs several times counts each
/// time, because it is written each time.
fn walk(value: &Value, depth: usize, remaining: &mut usize) -> Result<(), Error> {
    let n = 1 + value.as_str().map_or(0, str::len) / BYTES_PER_UNIT;
    *remaining = remaining.checked_sub(n).ok_or_else(too_large)?;
    if value.as_object().is_none() {
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Err(invalid("a value is nested too deeply"));
    }
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(());
    }
    for part in value.try_iter()? {
        if is_map {
            walk(&value.get_item(&part)?, depth + 1, remaining)?;
        }
        walk(&part, depth + 1, remaining)?;
    }
    Ok(())
}

fn too_large() -> Error {
    invalid("a value is too large")
}

fn invalid(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

/// Maximum depth of a value's nesting (ADR-0017).
const MAX_DEPTH: usize = 64;
/// Maximum size of a value in units: one for each part, and one for every [`BYTES_PER_UNIT`] of
/// text.
const MAX_UNITS: usize = 1 << 19;
/// Bytes of text that count as one unit.
const BYTES_PER_UNIT: usize = 32;
/// Units that are measured for one unit of fuel.
const UNITS_PER_FUEL: usize = 4;
/// Longest text that a method may return, in bytes.
const MAX_TEXT_BYTES: usize = MAX_UNITS * BYTES_PER_UNIT;
/// Maximum number of digits in the width of a formatted field.
const MAX_WIDTH_DIGITS: usize = 4;
