//! The filters of Jinja2 that make or take a number.

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, filters};

use super::arguments::{Arguments, Given, refused};
use super::characters::is_space;

/// Adds the filters.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("round", round);
    environment.add_filter("filesizeformat", filesizeformat);
    environment.add_filter("abs", |value: &Value| match value.kind() {
        ValueKind::Bool => Ok(Value::from(i64::from(value.is_true()))),
        _ => filters::abs(value.clone()),
    });
}

fn int(value: &Value, arguments: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(arguments, &["default", "base"])?;
    let base = arguments.integer("base")?.unwrap_or(10);
    let number = match value.kind() {
        ValueKind::Undefined => return Err(refused("an undefined value is no number")),
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => whole(f64::try_from(value.clone())?),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            parsed_integer(text, base).or_else(|| whole(parsed_float(text)?))
        }
        _ => None,
    };
    let default = || arguments.get("default").cloned().unwrap_or_else(|| Value::from(0));
    Ok(number.map_or_else(default, integer))
}

fn float(value: &Value, arguments: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(arguments, &["default"])?;
    let number = match value.kind() {
        ValueKind::Undefined => return Err(refused("an undefined value is no number")),
        ValueKind::Bool => Some(if value.is_true() { 1.0 } else { 0.0 }),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => parsed_float(value.as_str().unwrap_or_default()),
        _ => None,
    };
    let default = || arguments.get("default").cloned().unwrap_or_else(|| Value::from(0.0));
    Ok(number.map_or_else(default, Value::from))
}

fn round(value: &Value, arguments: Given) -> Result<Value, Error> {
    let arguments = Arguments::of(arguments, &["precision", "method"])?;
    let is_common = arguments.text_or("method", "common")? == "common";
    let number = match value.kind() {
        // Python makes a float of an integer that is not rounded to the nearest.
        ValueKind::Number if value.is_integer() && !is_common => {
            Value::from(f64::try_from(value.clone())?)
        }
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        _ => value.clone(),
    };
    filters::round(number, None, None, arguments.keywords())
}

/// An integer as a value, in the smallest type that has it.
pub(super) fn integer(n: i128) -> Value {
    i64::try_from(n).map_or_else(|_| Value::from(n), Value::from)
}

/// The whole part of a finite number.
fn whole(float: f64) -> Option<i128> {
    float.is_finite().then_some(float.trunc() as i128)
}

/// The number that a text has in a base, as Python's `int` reads it.
fn parsed_integer(text: &str, base: i64) -> Option<i128> {
    let text = text.trim_matches(is_space);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefix = prefixes.iter().find(|(prefix, _)| lower.starts_with(prefix));
    let (digits, radix) = match prefix {
        Some((_, radix)) if base == 0 || base == *radix => (lower.get(2..)?, *radix),
        _ if base == 0 && lower.starts_with('0') && lower.contains(|c| c != '0' && c != '_') => {
            return None;
        }
        _ => (&*lower, if base == 0 { 10 } else { base }),
    };
    let radix = u32::try_from(radix).ok().filter(|radix| (2..=36).contains(radix))?;
    let digits = without_underscores(digits)?;
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from_str_radix(&digits, radix).ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}

/// The number of a text, as Python's `float` reads it.
fn parsed_float(text: &str) -> Option<f64> {
    without_underscores(&text.trim_matches(is_space).to_ascii_lowercase())?.parse().ok()
}

/// A number without the underscores between its digits. `None` if one is elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let chars: Vec<char> = text.chars().collect();
    let is_placed = |index: usize| {
        let before = index.checked_sub(1).and_then(|index| chars.get(index).copied());
        is_digit(before) && is_digit(chars.get(index + 1).copied())
    };
    let are_placed = (0..chars.len()).all(|index| chars[index] != '_' || is_placed(index));
    are_placed.then(|| text.replace('_', ""))
}

fn filesizeformat(value: &Value, arguments: Given) -> Result<String, Error> {
    let arguments = Arguments::of(arguments, &["binary"])?;
    let bytes = match value.as_str() {
        Some(text) => text.trim().parse().map_err(|_| refused(format!("{text} is no number")))?,
        None => f64::try_from(value.clone())?,
    };
    let (base, suffix): (f64, _) =
        if arguments.flag("binary") { (1024.0, "iB") } else { (1000.0, "B") };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes.trunc()));
    }
    let prefixes = if arguments.flag("binary") { "KMGTPEZY" } else { "kMGTPEZY" };
    let mut size = bytes / base;
    let mut prefixes = prefixes.chars().peekable();
    while size >= base && prefixes.peek() != Some(&'Y') {
        size /= base;
        prefixes.next();
    }
    Ok(format!("{size:.1} {}{suffix}", prefixes.next().unwrap_or('Y')))
}
