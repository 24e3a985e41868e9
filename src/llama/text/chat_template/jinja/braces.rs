//! Python's `str.format` and `str.format_map`.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, State};

use super::arguments::refused;
use super::layout::Layout;
use super::percent::ascii_of;
use super::{bounds, print};

/// Replaces the fields in braces of `pattern`.
pub(super) fn format(
    state: &State<'_, '_>,
    pattern: &str,
    positional: &[Value],
    named: &dyn Fn(&str) -> Option<Value>,
) -> Result<String, Error> {
    let mut formatter = BraceFormatter { state, positional, named, n_automatic: 0 };
    formatter.format(pattern, 0)
}

/// Looks a name up in keyword arguments.
pub(super) fn in_keywords(keywords: &Kwargs) -> impl Fn(&str) -> Option<Value> + '_ {
    |name| keywords.has(name).then(|| keywords.get(name).unwrap_or_default())
}

struct BraceFormatter<'a, 'template, 'env> {
    state: &'a State<'template, 'env>,
    positional: &'a [Value],
    named: &'a dyn Fn(&str) -> Option<Value>,
    /// Number of fields without a name so far.
    n_automatic: usize,
}

impl BraceFormatter<'_, '_, '_> {
    fn format(&mut self, pattern: &str, depth: usize) -> Result<String, Error> {
        bounds::pay(self.state, pattern.len())?;
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" || depth > 1 {
                return Err(refused("a format has a brace too many"));
            }
            let end = end_of_field(after)?;
            out.push_str(&self.field(&after[..end], depth)?);
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Formats one field: `name!conversion:spec`, of which each part can be missing.
    fn field(&mut self, field: &str, depth: usize) -> Result<String, Error> {
        let name_end = end_of_name(field);
        let (name, rest) = field.split_at(name_end);
        let (conversion, rest) = match rest.strip_prefix('!') {
            Some(after) => {
                let c = after.chars().next().ok_or_else(|| refused("a conversion is missing"))?;
                (Some(c), &after[c.len_utf8()..])
            }
            None => (None, rest),
        };
        // A value without a number comes before those in its own layout.
        let value = self.lookup(name)?;
        let spec = match rest.strip_prefix(':') {
            Some(spec) => self.format_spec(spec, depth)?,
            None if rest.is_empty() => String::new(),
            None => return Err(refused("a format has text after a conversion")),
        };
        bounds::check(self.state, &value)?;
        let value = match conversion {
            None => value,
            Some('s') => Value::from(print::text_of(&value)),
            Some('r') => Value::from(print::repr_of(&value)),
            Some('a') => Value::from(ascii_of(&value)),
            Some(c) => return Err(refused(format!("a format has the unknown conversion {c}"))),
        };
        let text = self.value(&value, &spec)?;
        bounds::pay(self.state, text.len())?;
        Ok(text)
    }

    fn format_spec(&mut self, spec: &str, depth: usize) -> Result<String, Error> {
        if spec.contains(['{', '}']) { self.format(spec, depth + 1) } else { Ok(spec.to_owned()) }
    }

    /// The value that `name[key].attribute` stands for.
    fn lookup(&mut self, name: &str) -> Result<Value, Error> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut path) = name.split_at(end);
        let missing = || refused(format!("the format names {first}, which is not given"));
        let mut value = if first.is_empty() {
            self.n_automatic += 1;
            self.positional.get(self.n_automatic - 1).cloned().ok_or_else(missing)?
        } else if let Ok(index) = first.parse::<usize>() {
            self.positional.get(index).cloned().ok_or_else(missing)?
        } else {
            (self.named)(first).ok_or_else(missing)?
        };
        while !path.is_empty() {
            if let Some(after) = path.strip_prefix('[') {
                let (key, after) =
                    after.split_once(']').ok_or_else(|| refused("a format lacks a bracket"))?;
                let key = key.parse::<usize>().map_or_else(|_| Value::from(key), Value::from);
                value = value.get_item(&key)?;
                path = after;
            } else {
                let after = path.strip_prefix('.').ok_or_else(|| refused("a format is broken"))?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = value.get_attr(&after[..end])?;
                path = &after[end..];
            }
        }
        Ok(value)
    }

    /// Formats a value as `spec` says.
    fn value(&self, value: &Value, spec: &str) -> Result<String, Error> {
        if spec.is_empty() {
            return Ok(print::text_of(value));
        }
        let layout = Layout::parse(spec)?;
        bounds::pay(self.state, layout.width.max(layout.precision.unwrap_or(0)))?;
        layout.write(value)
    }
}

/// Where the field that `text` begins with ends.
fn end_of_field(text: &str) -> Result<usize, Error> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Ok(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Err(refused("a format lacks a closing brace"))
}

/// Where the name of a field ends. A key in brackets can contain everything but a bracket.
fn end_of_name(field: &str) -> usize {
    let mut is_key = false;
    for (at, c) in field.char_indices() {
        match c {
            '[' => is_key = true,
            ']' => is_key = false,
            '!' | ':' if !is_key => return at,
            _ => {}
        }
    }
    field.len()
}
