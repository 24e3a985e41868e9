//! The filter `tojson`, which is Python's `json.dumps` in transformers.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::arguments::{Arguments, Given, expect_text, refused};
use super::bound_methods::is_plain_map;
use super::order::sorted;
use super::views::is_view;
use super::{bounds, print};

/// Writes a value as JSON.
pub(super) fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    arguments: Given,
) -> Result<String, Error> {
    let names = &["ensure_ascii", "indent", "separators", "sort_keys"];
    let arguments = Arguments::of(arguments, names)?;
    bounds::check(state, value)?;
    let indent = indentation(state, &arguments)?;
    let (item, key) = match arguments.get("separators").filter(|value| !value.is_none()) {
        Some(pair) => {
            let parts: Vec<_> = pair.try_iter()?.collect();
            let [item, key] = &parts[..] else {
                return Err(refused("separators has to be two strings"));
            };
            (expect_text(item)?.to_owned(), expect_text(key)?.to_owned())
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let mut writer = JsonWriter {
        out: String::new(),
        n_paid: 0,
        state,
        is_ascii: arguments.flag("ensure_ascii"),
        sorts_keys: arguments.flag("sort_keys"),
        indent,
        item,
        key,
    };
    writer.write(value, 0)?;
    Ok(writer.out)
}

/// One level of indentation, if values are written on lines of their own.
fn indentation(state: &State<'_, '_>, arguments: &Arguments) -> Result<Option<String>, Error> {
    let Some(indent) = arguments.get("indent").filter(|value| !value.is_none()) else {
        return Ok(None);
    };
    if let Some(text) = indent.as_str() {
        return Ok(Some(text.to_owned()));
    }
    let width = arguments.integer("indent")?.unwrap_or_default();
    let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
    bounds::pay(state, width)?;
    Ok(Some(" ".repeat(width)))
}

struct JsonWriter<'a, 'template, 'env> {
    out: String,
    /// Bytes of `out` that fuel was used for.
    n_paid: usize,
    state: &'a State<'template, 'env>,
    is_ascii: bool,
    sorts_keys: bool,
    indent: Option<String>,
    /// Between two items.
    item: String,
    /// Between a key and its value.
    key: String,
}

impl JsonWriter<'_, '_, '_> {
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => write_number(&mut self.out, value),
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default()),
            ValueKind::Map if is_plain_map(value) => return self.write_map(value, depth),
            ValueKind::Seq | ValueKind::Iterable if !is_view(value) => {
                return self.write_list(value, depth);
            }
            kind => return Err(refused(format!("{kind} cannot be written as JSON"))),
        }
        self.pay()
    }

    fn write_list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let items: Vec<_> = value.try_iter()?.collect();
        if items.is_empty() {
            self.out.push_str("[]");
            return Ok(());
        }
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            self.start_item(index, depth + 1)?;
            self.write(item, depth + 1)?;
        }
        self.new_line(depth)?;
        self.out.push(']');
        Ok(())
    }

    fn write_map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<_> = value.try_iter()?.collect();
        if keys.is_empty() {
            self.out.push_str("{}");
            return Ok(());
        }
        if self.sorts_keys {
            keys = sorted(keys, Value::clone)?;
        }
        self.out.push('{');
        for (index, key) in keys.iter().enumerate() {
            self.start_item(index, depth + 1)?;
            match key.kind() {
                ValueKind::String => self.write_string(key.as_str().unwrap_or_default()),
                ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                    self.out.push('"');
                    self.write(key, depth)?;
                    self.out.push('"');
                }
                kind => return Err(refused(format!("{kind} cannot be a key of JSON"))),
            }
            self.out.push_str(&self.key);
            self.write(&value.get_item(key)?, depth + 1)?;
        }
        self.new_line(depth)?;
        self.out.push('}');
        Ok(())
    }

    fn start_item(&mut self, index: usize, depth: usize) -> Result<(), Error> {
        if index > 0 {
            self.out.push_str(&self.item);
        }
        self.new_line(depth)
    }

    fn new_line(&mut self, depth: usize) -> Result<(), Error> {
        let Some(indent) = &self.indent else { return Ok(()) };
        bounds::pay(self.state, indent.len().saturating_mul(depth))?;
        self.out.push('\n');
        for _ in 0..depth {
            self.out.push_str(indent);
        }
        self.pay()
    }

    fn write_string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                _ if c < ' ' || self.is_ascii && !(' '..='~').contains(&c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    /// Uses fuel for what was written since the last call.
    fn pay(&mut self) -> Result<(), Error> {
        let n_new = self.out.len() - self.n_paid;
        if n_new >= MIN_PAID_BYTES {
            self.n_paid = self.out.len();
            bounds::pay(self.state, n_new)?;
        }
        Ok(())
    }
}

fn write_number(out: &mut String, value: &Value) {
    let start = out.len();
    print::write_number(out, value);
    let written = match &out[start..] {
        "inf" => "Infinity",
        "-inf" => "-Infinity",
        "nan" => "NaN",
        _ => return,
    };
    out.truncate(start);
    out.push_str(written);
}

/// Fuel is used once this many bytes were written.
const MIN_PAID_BYTES: usize = 4096;
