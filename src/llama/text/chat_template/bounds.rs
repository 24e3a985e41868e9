//! Keeps the values of a template within bounds.
//!
//! Minijinja counts a template's steps and the bytes it makes, but follows a value to its ends
//! without counting when it writes it, and some of Python's methods make texts of any length from
//! short ones. Here are those places, each behind a look at what it is given.

use minijinja::value::{Kwargs, StringInput, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use minijinja_contrib::pycompat;

/// The filter that every value passes on its way into a namespace. Templates cannot define filters,
/// so none can replace it.
pub(super) const FILTER: &str = "within_bounds";

/// Deepest value: tools and their parameters nest about ten deep.
const MOST_DEPTH: usize = 64;
/// Most parts of a value, where so many bytes of text count as one.
const MOST_PARTS: usize = 1 << 19;
const BYTES: usize = 32;
/// Parts of a value that are looked at for a unit of fuel.
const PARTS_PER_FUEL: usize = 4;
/// Longest text that one call may make.
const MOST_TEXT: usize = MOST_PARTS * BYTES;
/// Digits of the longest width of a formatted number.
const MOST_DIGITS: usize = 4;

/// Puts the bounds around what writes values out.
pub(super) fn set(environment: &mut Environment<'_>) {
    environment.add_filter(FILTER, keep);
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

/// The value of a namespace's attribute. A namespace in it could come to hold itself.
fn keep(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    // An iterator may hold a namespace that it does not show.
    let value = match value.kind() {
        ValueKind::Iterable => value.try_iter()?.take(MOST_PARTS).collect(),
        _ => value,
    };
    weigh(state, &value, true)?;
    Ok(value)
}

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

/// Python's methods, which make their texts without asking for fuel.
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
        && most_made(text, name, arguments).is_none_or(|n| n > MOST_TEXT)
    {
        return Err(too_large());
    }
    pycompat::unknown_method_callback(state, value, name, arguments)
}

/// The longest text that a method makes; `None` where that is too much to count.
fn most_made(text: &str, name: &str, arguments: &[Value]) -> Option<usize> {
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
            let has_wide = text.split(|c: char| !c.is_ascii_digit()).any(|n| n.len() > MOST_DIGITS);
            let n_fields = text.matches('{').count();
            let parts: usize = arguments.iter().map(parts).sum();
            let of_field =
                parts.checked_mul(BYTES)?.checked_add(10usize.pow(MOST_DIGITS as u32))?;
            (!has_wide).then(|| n_fields.checked_mul(of_field))?
        }
        _ => Some(text.len()),
    }
}

fn parts(value: &Value) -> usize {
    let mut left = MOST_PARTS;
    let _ = walk(value, 0, false, &mut left);
    MOST_PARTS - left
}

/// Whether `value` may be written out.
fn check(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    // Texts and numbers have been paid for when they were made.
    if value.as_object().is_none() { Ok(()) } else { weigh(state, value, false) }
}

fn weigh(state: &State<'_, '_>, value: &Value, is_kept: bool) -> Result<(), Error> {
    let mut left = MOST_PARTS;
    let verdict = walk(value, 0, is_kept, &mut left);
    state.consume_fuel(((MOST_PARTS - left) / PARTS_PER_FUEL) as u64)?;
    verdict
}

/// Counts the parts of a value down from `left`; a part that is shared counts each time, since it
/// is written each time.
fn walk(value: &Value, depth: usize, is_kept: bool, left: &mut usize) -> Result<(), Error> {
    let n = 1 + value.as_str().map_or(0, str::len) / BYTES;
    *left = left.checked_sub(n).ok_or_else(too_large)?;
    let Some(object) = value.as_object() else { return Ok(()) };
    if depth > MOST_DEPTH {
        return Err(invalid("a value nests too deep"));
    }
    if is_kept && object.type_name().ends_with("::Namespace") {
        return Err(invalid("a namespace is kept in a namespace"));
    }
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(());
    }
    for part in value.try_iter()? {
        if is_map {
            walk(&value.get_item(&part)?, depth + 1, is_kept, left)?;
        }
        walk(&part, depth + 1, is_kept, left)?;
    }
    Ok(())
}

fn too_large() -> Error {
    invalid("a value grows beyond all bounds")
}

fn invalid(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
