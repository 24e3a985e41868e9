//! Writes values as Python's `str` and `repr` do.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};

use super::views::{MapView, is_view};

/// The text of a value: a string as it is, everything else as Python prints it.
pub(super) fn text_of(value: &Value) -> String {
    let mut out = String::new();
    write_text(&mut out, value);
    out
}

/// The representation of a value: strings are quoted.
pub(super) fn repr_of(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

/// Writes the text of a value.
pub(super) fn write_text(out: &mut String, value: &Value) {
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::String => out.push_str(value.as_str().unwrap_or_default()),
        _ => write_repr(out, value),
    }
}

fn write_repr(out: &mut String, value: &Value) {
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::String => write_quoted(out, value.as_str().unwrap_or_default()),
        ValueKind::Number => write_number(out, value),
        ValueKind::Map => write_items(out, value, true, ["{", "}"]),
        ValueKind::Seq if value.is_tuple() || is_group(value) => {
            let end = if value.len() == Some(1) { ",)" } else { ")" };
            write_items(out, value, false, ["(", end]);
        }
        ValueKind::Seq | ValueKind::Iterable if !is_view(value) => {
            write_items(out, value, false, ["[", "]"]);
        }
        _ => match value.downcast_object_ref::<MapView>() {
            Some(view) => {
                out.push_str(view.name);
                write_items(out, value, false, ["([", "])"]);
            }
            None => _ = write!(out, "{value}"),
        },
    }
}

/// Whether a value is a group of the filter `groupby`, which Python prints as a tuple.
fn is_group(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("GroupTuple"))
}

fn write_items(out: &mut String, value: &Value, is_map: bool, [start, end]: [&str; 2]) {
    out.push_str(start);
    for (index, part) in value.try_iter().into_iter().flatten().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, &part);
        if is_map {
            out.push_str(": ");
            write_repr(out, &value.get_item(&part).unwrap_or_default());
        }
    }
    out.push_str(end);
}

/// Writes an integer or a float.
pub(super) fn write_number(out: &mut String, value: &Value) {
    match f64::try_from(value.clone()) {
        Ok(float) if !value.is_integer() => write_float(out, float),
        _ => _ = write!(out, "{value}"),
    }
}

/// Writes a float with the fewest digits that identify it, as Python does.
fn write_float(out: &mut String, float: f64) {
    if float.is_nan() {
        return out.push_str("nan");
    }
    if float.is_infinite() {
        return out.push_str(if float > 0.0 { "inf" } else { "-inf" });
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = float.to_string();
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
    }
}

/// Writes a string in quotes, with escapes for what cannot be printed.
pub(super) fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if c == quote => out.extend(['\\', c]),
            _ if is_printable(c) => out.push(c),
            _ => write_escape(out, c),
        }
    }
    out.push(quote);
}

/// Writes a character as a numeric escape.
pub(super) fn write_escape(out: &mut String, c: char) {
    _ = match u32::from(c) {
        code @ ..=0xff => write!(out, "\\x{code:02x}"),
        code @ ..=0xffff => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}

/// Whether Python prints a character as it is.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Rust's escapes follow the same categories of Unicode, except that a mark at the beginning
    // of a text is escaped.
    let mut bytes = [b'a'; 5];
    let n = c.encode_utf8(&mut bytes[1..]).len();
    let text = std::str::from_utf8(&bytes[..=n]).unwrap_or_default();
    text.escape_debug().eq(text.chars())
}
