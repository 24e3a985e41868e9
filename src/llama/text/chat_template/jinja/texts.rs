//! The methods of Python's strings that write or test a whole string.
//!
//! [`super::search`] has those that look for a part of it.

use std::collections::HashSet;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::arguments::{Arguments, expect_integer, expect_text, refused, split_keywords};
use super::characters::{
    is_cased, is_decimal, is_digit, is_line_end, is_numeric, is_space, is_title, push_title,
};
use super::{bounds, braces, print, search};

/// Calls a method of a string.
///
/// # Errors
/// Python has no such method, or refuses the arguments.
pub(super) fn method(
    state: &State<'_, '_>,
    text: &str,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    bounds::check_all(state, arguments)?;
    if let Some(result) = search::method(state, text, name, arguments) {
        return result;
    }
    if let Some(holds) = property(text, name) {
        Arguments::bind(arguments, &[])?;
        return Ok(Value::from(holds));
    }
    if let Some(changed) = cased(text, name) {
        Arguments::bind(arguments, &[])?;
        return Ok(Value::from(changed));
    }
    match name {
        "strip" | "lstrip" | "rstrip" => strip(text, name, arguments),
        "center" | "ljust" | "rjust" => justify(state, text, name, arguments),
        "zfill" => zfill(state, text, arguments),
        "expandtabs" => expandtabs(state, text, arguments),
        "splitlines" => {
            let arguments = Arguments::bind(arguments, &["keepends"])?;
            let lines = lines(text, arguments.flag("keepends"));
            Ok(lines.into_iter().map(Value::from).collect())
        }
        "join" => join(state, text, arguments),
        "format" => {
            let (positional, keywords) = split_keywords(arguments)?;
            let named = braces::in_keywords(&keywords);
            braces::format(state, text, positional, &named).map(Value::from)
        }
        "format_map" => {
            let arguments = Arguments::bind(arguments, &["mapping"])?;
            let map = arguments.required("mapping")?;
            let named = |name: &str| map.get_attr(name).ok().filter(|value| !value.is_undefined());
            braces::format(state, text, &[], &named).map(Value::from)
        }
        "translate" => translate(state, text, arguments),
        "encode" => {
            Arguments::bind(arguments, &["encoding", "errors"])?;
            bounds::pay(state, text.len())?;
            Ok(Value::from_bytes(text.as_bytes().to_vec()))
        }
        _ => Err(Error::new(ErrorKind::UnknownMethod, format!("a string has no method {name}"))),
    }
}

/// What an `is…` method finds.
fn property(text: &str, name: &str) -> Option<bool> {
    let all = |class: fn(char) -> bool| !text.is_empty() && text.chars().all(class);
    Some(match name {
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(|c| c.is_alphabetic() || is_numeric(c)),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(is_decimal),
        "isdigit" => all(is_digit),
        "isnumeric" => all(is_numeric),
        "isspace" => all(is_space),
        "isprintable" => text.chars().all(print::is_printable),
        "isidentifier" => {
            all(|c| c.is_alphanumeric() || c == '_')
                && text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        }
        "islower" => text.chars().any(char::is_lowercase) && !text.chars().any(is_capital),
        "isupper" => {
            text.chars().any(char::is_uppercase)
                && !text.chars().any(|c| c.is_lowercase() || is_title(c))
        }
        "istitle" => is_title_case(text),
        _ => return None,
    })
}

fn is_capital(c: char) -> bool {
    c.is_uppercase() || is_title(c)
}

fn is_title_case(text: &str) -> bool {
    let mut follows_cased = false;
    let mut has_cased = false;
    for c in text.chars() {
        if is_capital(c) && follows_cased || c.is_lowercase() && !follows_cased {
            return false;
        }
        follows_cased = is_cased(c);
        has_cased |= follows_cased;
    }
    has_cased
}

/// The text in another case.
fn cased(text: &str, name: &str) -> Option<String> {
    Some(match name {
        "upper" => text.to_uppercase(),
        "lower" => text.to_lowercase(),
        "casefold" => text.chars().flat_map(fold).collect(),
        "capitalize" => capitalize(text),
        "title" => title(text),
        "swapcase" => swap_case(text),
        _ => return None,
    })
}

fn fold(c: char) -> impl Iterator<Item = char> {
    // The dotless letter folds to itself, not to that of ASCII.
    let upper = if c == 'ı' { String::from(c) } else { c.to_uppercase().to_string() };
    if c == 'ı' { upper } else { upper.to_lowercase() }.chars().collect::<Vec<_>>().into_iter()
}

/// The first character in title case, the rest in lower case.
pub(super) fn capitalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    if let Some(first) = chars.next() {
        push_title(&mut out, first);
    }
    out + &chars.as_str().to_lowercase()
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut follows_cased = false;
    for c in text.chars() {
        if follows_cased {
            out.extend(c.to_lowercase());
        } else {
            push_title(&mut out, c);
        }
        follows_cased = is_cased(c);
    }
    out
}

fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else if c.is_lowercase() {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

fn strip(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["chars"])?;
    let given = arguments.get("chars").filter(|value| !value.is_none());
    let chars = given.map(expect_text).transpose()?;
    Ok(Value::from(trimmed(text, chars, name != "rstrip", name != "lstrip")))
}

/// The text without the characters of `chars`, or white space, at its ends.
pub(super) fn trimmed<'a>(
    text: &'a str,
    chars: Option<&str>,
    at_start: bool,
    at_end: bool,
) -> &'a str {
    let chars: Option<HashSet<char>> = chars.map(|chars| chars.chars().collect());
    let is_removed =
        |c: char| chars.as_ref().map_or_else(|| is_space(c), |chars| chars.contains(&c));
    let text = if at_start { text.trim_start_matches(is_removed) } else { text };
    if at_end { text.trim_end_matches(is_removed) } else { text }
}

fn justify(
    state: &State<'_, '_>,
    text: &str,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["width", "fillchar"])?;
    let width = expect_integer(arguments.required("width")?)?;
    let fill = arguments.text_or("fillchar", " ")?;
    if fill.chars().count() != 1 {
        return Err(refused("the fill has to be one character"));
    }
    let n_chars = text.chars().count();
    let n_missing = usize::try_from(width).unwrap_or(0).saturating_sub(n_chars);
    bounds::pay(state, n_missing.saturating_mul(fill.len()).saturating_add(text.len()))?;
    let n_left = match name {
        "ljust" => 0,
        "rjust" => n_missing,
        // As in Python, an odd rest goes to the left if the width is odd.
        _ => n_missing / 2 + (n_missing & (n_missing + n_chars) & 1),
    };
    Ok(Value::from(fill.repeat(n_left) + text + &fill.repeat(n_missing - n_left)))
}

fn zfill(state: &State<'_, '_>, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["width"])?;
    let width = expect_integer(arguments.required("width")?)?;
    let n_missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    bounds::pay(state, n_missing.saturating_add(text.len()))?;
    let sign_end = usize::from(text.starts_with(['+', '-']));
    let (sign, digits) = text.split_at(sign_end);
    Ok(Value::from(format!("{sign}{}{digits}", "0".repeat(n_missing))))
}

fn expandtabs(state: &State<'_, '_>, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["tabsize"])?;
    let size = usize::try_from(arguments.integer("tabsize")?.unwrap_or(8)).unwrap_or(0);
    let n_tabs = text.matches('\t').count();
    bounds::pay(state, n_tabs.saturating_mul(size).saturating_add(text.len()))?;
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        if c == '\t' {
            let n = if size == 0 { 0 } else { size - column % size };
            out.extend(std::iter::repeat_n(' ', n));
            column += n;
        } else {
            out.push(c);
            column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
        }
    }
    Ok(Value::from(out))
}

/// The lines of a text, with or without their ends.
pub(super) fn lines(text: &str, keeps_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_line_end) {
        let end_bytes = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        let (line, after) = rest.split_at(at + end_bytes);
        lines.push(if keeps_ends { line } else { &line[..at] });
        rest = after;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn join(state: &State<'_, '_>, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["iterable"])?;
    let parts = arguments.required("iterable")?;
    if matches!(parts.kind(), ValueKind::None | ValueKind::Undefined) {
        return Err(refused("join needs a list"));
    }
    let mut out = String::new();
    for (index, part) in parts.try_iter()?.enumerate() {
        let part = expect_text(&part)?.to_owned();
        bounds::pay(state, text.len() + part.len())?;
        if index > 0 {
            out.push_str(text);
        }
        out.push_str(&part);
        if out.len() > bounds::MAX_TEXT_BYTES {
            return Err(refused("a text is too long"));
        }
    }
    Ok(Value::from(out))
}

fn translate(state: &State<'_, '_>, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["table"])?;
    let table = arguments.required("table")?;
    let mut out = String::new();
    for c in text.chars() {
        let new = table.get_item(&Value::from(u32::from(c)))?;
        match new.kind() {
            ValueKind::Undefined => out.push(c),
            ValueKind::None => {}
            ValueKind::String => {
                let new = new.as_str().unwrap_or_default();
                bounds::pay(state, new.len())?;
                out.push_str(new);
            }
            _ => {
                let code = u32::try_from(expect_integer(&new)?).ok();
                out.extend(Some(
                    code.and_then(char::from_u32)
                        .ok_or_else(|| refused("translate needs the numbers of characters"))?,
                ));
            }
        }
    }
    bounds::pay(state, out.len())?;
    Ok(Value::from(out))
}
