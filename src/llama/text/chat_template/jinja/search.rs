//! The methods of Python's strings that look for a part: find, count, split, replace and others.

use minijinja::value::{Tuple, Value};
use minijinja::{Error, State};

use super::arguments::{Arguments, expect_integer, expect_text, refused};
use super::bounds;
use super::characters::is_space;

/// Calls a method of a string, or returns `None` if it is not one of these.
pub(super) fn method(
    state: &State<'_, '_>,
    text: &str,
    name: &str,
    arguments: &[Value],
) -> Option<Result<Value, Error>> {
    Some(match name {
        "find" | "rfind" | "index" | "rindex" => find(text, name, arguments),
        "count" => count(text, arguments),
        "startswith" | "endswith" => starts_or_ends(text, name, arguments),
        "replace" => replace(state, text, arguments),
        "split" | "rsplit" => split(state, text, name == "rsplit", arguments),
        "partition" | "rpartition" => partition(text, name == "rpartition", arguments),
        "removeprefix" => remove(arguments, |part| text.strip_prefix(part).unwrap_or(text)),
        "removesuffix" => remove(arguments, |part| text.strip_suffix(part).unwrap_or(text)),
        _ => return None,
    })
}

fn remove<'a>(arguments: &[Value], rest: impl Fn(&str) -> &'a str) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["part"])?;
    Ok(Value::from(rest(arguments.text("part")?)))
}

/// The part of a text from character `start` to `end`, and how many characters precede it. `None`
/// if the start is behind the end of the text.
struct SearchRange<'a> {
    part: &'a str,
    n_before: usize,
}

impl<'a> SearchRange<'a> {
    fn of(text: &'a str, arguments: &Arguments) -> Result<Option<Self>, Error> {
        let given = |name| -> Result<Option<i64>, Error> { arguments.integer(name) };
        let (start, end) = (given("start")?, given("end")?);
        if start.is_none() && end.is_none() {
            return Ok(Some(Self { part: text, n_before: 0 }));
        }
        let n_chars = text.chars().count();
        let clamp = |index: i64| {
            let from_end = i64::try_from(n_chars).unwrap_or(i64::MAX);
            let index = if index < 0 { index.saturating_add(from_end).max(0) } else { index };
            usize::try_from(index).unwrap_or(usize::MAX)
        };
        let start = start.map_or(0, clamp);
        let end = end.map_or(n_chars, clamp).min(n_chars);
        if start > end {
            return Ok(None);
        }
        let offset = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
        Ok(Some(Self { part: &text[offset(start)..offset(end)], n_before: start }))
    }
}

fn find(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["sub", "start", "end"])?;
    let part = arguments.text("sub")?;
    let found = SearchRange::of(text, &arguments)?.and_then(|range| {
        let at = if name.starts_with('r') { range.part.rfind(part) } else { range.part.find(part) };
        at.map(|at| range.n_before + range.part[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::from(at)),
        None if name.ends_with("index") => Err(refused("the substring is not found")),
        None => Ok(Value::from(-1)),
    }
}

fn count(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["sub", "start", "end"])?;
    let part = arguments.text("sub")?;
    let range = SearchRange::of(text, &arguments)?;
    Ok(Value::from(range.map_or(0, |range| range.part.matches(part).count())))
}

fn starts_or_ends(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["part", "start", "end"])?;
    let part = arguments.required("part")?;
    let parts: Vec<Value> =
        if part.is_tuple() { part.try_iter()?.collect() } else { vec![part.clone()] };
    let Some(range) = SearchRange::of(text, &arguments)? else { return Ok(Value::from(false)) };
    for part in &parts {
        let part = expect_text(part)?;
        let holds = if name == "endswith" {
            range.part.ends_with(part)
        } else {
            range.part.starts_with(part)
        };
        if holds {
            return Ok(Value::from(true));
        }
    }
    Ok(Value::from(false))
}

fn replace(state: &State<'_, '_>, text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["old", "new", "count"])?;
    let (old, new) = (arguments.text("old")?, arguments.text("new")?);
    let count = arguments.integer("count")?.unwrap_or(-1);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let n_replaced = text.matches(old).count().min(count);
    bounds::pay(state, n_replaced.saturating_mul(new.len()).saturating_add(text.len()))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

fn split(
    state: &State<'_, '_>,
    text: &str,
    is_from_end: bool,
    arguments: &[Value],
) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["sep", "maxsplit"])?;
    let limit = match arguments.get("maxsplit") {
        Some(limit) => usize::try_from(expect_integer(limit)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let n_parts = limit.saturating_add(1);
    let separator = arguments.get("sep").filter(|value| !value.is_none());
    let parts: Vec<&str> = match separator.map(expect_text).transpose()? {
        Some("") => return Err(refused("the separator is empty")),
        Some(separator) if is_from_end => {
            let mut parts: Vec<_> = text.rsplitn(n_parts, separator).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(n_parts, separator).collect(),
        None if is_from_end => words_from_end(text, limit),
        None => words(text, limit),
    };
    bounds::pay(state, text.len().saturating_add(parts.len().saturating_mul(BYTES_PER_PART)))?;
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The words of a text. After `limit` splits, the rest is one part.
fn words(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = if parts.len() < limit { rest.find(is_space) } else { None };
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        parts.push(part);
        rest = after.trim_start_matches(is_space);
    }
    parts
}

/// The words of a text, split from its end.
fn words_from_end(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let space = if parts.len() < limit {
            rest.char_indices().rfind(|(_, c)| is_space(*c))
        } else {
            None
        };
        let start = space.map_or(0, |(at, c)| at + c.len_utf8());
        let (before, part) = rest.split_at(start);
        parts.push(part);
        rest = before.trim_end_matches(is_space);
    }
    parts.reverse();
    parts
}

fn partition(text: &str, is_from_end: bool, arguments: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::bind(arguments, &["sep"])?;
    let separator = arguments.text("sep")?;
    if separator.is_empty() {
        return Err(refused("the separator is empty"));
    }
    let parts = if is_from_end { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match parts {
        Some((before, after)) => [before, separator, after],
        None if is_from_end => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

/// Bytes of memory that a part of a split text takes beside its characters.
const BYTES_PER_PART: usize = 64;
