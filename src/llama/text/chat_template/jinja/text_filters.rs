//! The filters of Jinja2 that make a text of a value.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Environment, Error, State, filters};

use super::arguments::{Arguments, Given, expect_integer, expect_text, refused, split_keywords};
use super::{bound_methods, bounds, json, percent, print, texts, wrap};

type Filtered = Result<Value, Error>;

/// Adds the filters, and removes those that Jinja2 lacks.
pub(super) fn install(environment: &mut Environment<'_>) {
    for name in ["bool", "split", "lines"] {
        environment.remove_filter(name);
    }
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("string", |state: &State<'_, '_>, value: &Value| text_of(state, value));
    environment.add_filter("upper", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(text_of(state, value)?.to_uppercase())
    });
    environment.add_filter("lower", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(text_of(state, value)?.to_lowercase())
    });
    environment.add_filter("capitalize", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(texts::capitalize(&text_of(state, value)?))
    });
    environment.add_filter("title", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(filters::title(text_of(state, value)?.into()))
    });
    environment.add_filter("safe", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(Value::from_safe_string(text_of(state, value)?))
    });
    for name in ["escape", "e"] {
        environment.add_filter(name, |state: &State<'_, '_>, value: &Value| {
            match value.is_safe() {
                true => Ok(value.clone()),
                false => escape(state, value),
            }
        });
    }
    environment.add_filter("forceescape", escape);
    environment.add_filter("striptags", |state: &State<'_, '_>, value: &Value| {
        Ok::<_, Error>(minijinja_contrib::filters::striptags(text_of(state, value)?))
    });
    environment.add_filter("pprint", |state: &State<'_, '_>, value: &Value| {
        bounds::check(state, value)?;
        Ok::<_, Error>(print::repr_of(value))
    });
    environment.add_filter("wordcount", |state: &State<'_, '_>, value: &Value| {
        let text = text_of(state, value)?;
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        Ok::<_, Error>(words.filter(|word| !word.is_empty()).count())
    });
    environment.add_filter("attr", |value: &Value, name: &str| {
        let attribute = || match value.kind() {
            ValueKind::Map if bound_methods::is_plain_map(value) => Ok(Value::UNDEFINED),
            _ => value.get_attr(name),
        };
        bound_methods::method_of(value, name).map_or_else(attribute, Ok)
    });
    environment.add_filter("trim", trim);
    environment.add_filter("replace", replace);
    environment.add_filter("center", center);
    environment.add_filter("indent", indent);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("format", format);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("xmlattr", xmlattr);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
}

/// The text of a value, whose size is limited.
pub(super) fn text_of(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    bounds::check(state, value)?;
    let text = print::text_of(value);
    bounds::pay(state, text.len())?;
    Ok(text)
}

/// The text of a value with references in the place of what HTML has a meaning for.
pub(super) fn escape(state: &State<'_, '_>, value: &Value) -> Filtered {
    let text = text_of(state, value)?;
    bounds::pay(state, text.len())?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

fn trim(state: &State<'_, '_>, value: &Value, arguments: Given) -> Result<String, Error> {
    let arguments = Arguments::of(arguments, &["chars"])?;
    let chars = arguments.get("chars").filter(|chars| !chars.is_none());
    let chars = chars.map(expect_text).transpose()?;
    if let Some(text) = value.as_str() {
        return Ok(texts::trimmed(text, chars, true, true).to_owned());
    }
    Ok(texts::trimmed(&text_of(state, value)?, chars, true, true).to_owned())
}

fn replace(state: &State<'_, '_>, value: &Value, arguments: Given) -> Filtered {
    let arguments = Arguments::of(arguments, &["old", "new", "count"])?;
    let text = text_of(state, value)?;
    let old = Value::from(text_of(state, arguments.required("old")?)?);
    let new = Value::from(text_of(state, arguments.required("new")?)?);
    let count = Value::from(arguments.integer("count")?.unwrap_or(-1));
    texts::method(state, &text, "replace", &[old, new, count])
}

fn center(state: &State<'_, '_>, value: &Value, arguments: Given) -> Filtered {
    let arguments = Arguments::of(arguments, &["width"])?;
    let width = arguments.get("width").map_or(Ok(80), expect_integer)?;
    texts::method(state, &text_of(state, value)?, "center", &[Value::from(width)])
}

fn indent(state: &State<'_, '_>, value: &Value, arguments: Given) -> Result<String, Error> {
    let arguments = Arguments::of(arguments, &["width", "first", "blank"])?;
    let text = expect_text(value)?.to_owned() + "\n";
    let lines = texts::lines(&text, false);
    let indent = match arguments.get("width") {
        Some(width) if width.as_str().is_some() => expect_text(width)?.to_owned(),
        width => {
            let width = width.map_or(Ok(4), expect_integer)?;
            let width = usize::try_from(width).unwrap_or(0);
            bounds::pay(state, width.saturating_mul(lines.len()))?;
            " ".repeat(width)
        }
    };
    bounds::pay(state, indent.len().saturating_mul(lines.len()).saturating_add(text.len()))?;
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let is_indented = match index {
            0 => arguments.flag("first"),
            _ => !line.is_empty() || arguments.flag("blank"),
        };
        if is_indented {
            out.push_str(&indent);
        }
        out.push_str(line);
    }
    Ok(out)
}

fn truncate(state: &State<'_, '_>, value: &Value, arguments: Given) -> Result<String, Error> {
    let arguments = Arguments::of(arguments, &["length", "killwords", "end", "leeway"])?;
    let text = expect_text(value)?;
    let end = arguments.text_or("end", "...")?;
    let count = |number: i64| usize::try_from(number).map_err(|_| refused("a negative length"));
    let length = count(arguments.get("length").map_or(Ok(255), expect_integer)?)?;
    let leeway = count(arguments.integer("leeway")?.unwrap_or(5))?;
    let n_end = end.chars().count();
    if length < n_end {
        return Err(refused(format!("truncate needs at least {n_end} characters")));
    }
    bounds::pay(state, text.len())?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let kept = text.char_indices().nth(length - n_end).map_or(text, |(at, _)| &text[..at]);
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !arguments.flag("killwords") => words,
        _ => kept,
    };
    Ok(kept.to_owned() + end)
}

fn wordwrap(state: &State<'_, '_>, value: &Value, arguments: Given) -> Result<String, Error> {
    let names = &["width", "break_long_words", "wrapstring", "break_on_hyphens"];
    let arguments = Arguments::of(arguments, names)?;
    let text = expect_text(value)?;
    let width = arguments.get("width").map_or(Ok(79), expect_integer)?;
    let width = usize::try_from(width).ok().filter(|width| *width > 0);
    let width = width.ok_or_else(|| refused("wordwrap needs a positive width"))?;
    let newline = arguments.text_or("wrapstring", "\n")?;
    let is_set = |name| arguments.get(name).is_none_or(Value::is_true);
    let options = wrap::WrapOptions {
        width,
        breaks_words: is_set("break_long_words"),
        breaks_at_hyphens: is_set("break_on_hyphens"),
    };
    // Each character can be a line of its own.
    bounds::pay(state, text.len().saturating_mul(newline.len() + PIECE_BYTES))?;
    // Breaking a word copies what is left of it for every line.
    let longest = text.split_whitespace().map(str::len).max().unwrap_or(0);
    let n_copied = longest.saturating_mul(longest) / width;
    bounds::pay(state, n_copied.saturating_mul(size_of::<char>()))?;
    let lines: Vec<String> = texts::lines(text, false)
        .into_iter()
        .map(|line| options.wrap(line).join(newline))
        .collect();
    Ok(lines.join(newline))
}

fn format(state: &State<'_, '_>, value: &Value, arguments: Given) -> Result<String, Error> {
    let pattern = text_of(state, value)?;
    let arguments = arguments.into_values();
    let (positional, keywords) = split_keywords(&arguments)?;
    if keywords.args().next().is_none() {
        return percent::format(state, &pattern, &Value::from(Tuple::from(positional)));
    }
    if !positional.is_empty() {
        return Err(refused("format takes positional or keyword arguments, not both"));
    }
    let pairs = keywords.args().map(|name| Ok((name, keywords.get::<Value>(name)?)));
    let map = Value::from_pairs(pairs.collect::<Result<Vec<_>, Error>>()?);
    percent::format(state, &pattern, &map)
}

fn urlencode(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    bounds::check(state, value)?;
    let quoted = |value: &Value, is_query: bool| {
        let mut out = String::new();
        for byte in print::text_of(value).bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                    out.push(char::from(byte));
                }
                b'/' if !is_query => out.push('/'),
                b' ' if is_query => out.push('+'),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let pair =
        |key: &Value, value: &Value| format!("{}={}", quoted(key, true), quoted(value, true));
    let out = match value.kind() {
        ValueKind::Map => {
            let keys = value.try_iter()?;
            let pairs = keys.map(|key| Ok(pair(&key, &value.get_item(&key)?)));
            pairs.collect::<Result<Vec<_>, Error>>()?.join("&")
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let pairs = value.try_iter()?.map(|item| match item.len() {
                Some(2) => Ok(pair(&item.get_item_by_index(0)?, &item.get_item_by_index(1)?)),
                _ => Err(refused("urlencode needs pairs")),
            });
            pairs.collect::<Result<Vec<_>, Error>>()?.join("&")
        }
        _ => quoted(value, false),
    };
    bounds::pay(state, out.len())?;
    Ok(out)
}

fn xmlattr(state: &State<'_, '_>, value: &Value, arguments: Given) -> Result<String, Error> {
    let arguments = Arguments::of(arguments, &["autospace"])?;
    bounds::check(state, value)?;
    if value.kind() != ValueKind::Map {
        return Err(refused("xmlattr needs a map"));
    }
    let mut parts = Vec::new();
    for key in value.try_iter()? {
        let attribute = value.get_item(&key)?;
        if attribute.is_none() || attribute.is_undefined() {
            continue;
        }
        let name = expect_text(&key)?;
        if name.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=')) {
            return Err(refused(format!("{name} is no name of an attribute")));
        }
        let text = if attribute.is_safe() { attribute } else { escape(state, &attribute)? };
        parts.push(format!("{name}=\"{}\"", text.as_str().unwrap_or_default()));
    }
    let space = if parts.is_empty() || arguments.get("autospace").is_some_and(|v| !v.is_true()) {
        ""
    } else {
        " "
    };
    Ok(space.to_owned() + &parts.join(" "))
}

fn default(value: &Value, arguments: Given) -> Filtered {
    let arguments = Arguments::of(arguments, &["default_value", "boolean"])?;
    if value.is_undefined() || arguments.flag("boolean") && !value.is_true() {
        return Ok(arguments.get("default_value").cloned().unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

/// Bytes of memory that a piece of a wrapped line takes beside its characters.
const PIECE_BYTES: usize = 32;
