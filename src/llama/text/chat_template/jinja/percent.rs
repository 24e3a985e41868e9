//! Python's formatting with `%`: the operator and the filter `format`.

use minijinja::formatting::{FormatStyle, format as format_number};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::arguments::{expect_integer, refused};
use super::{bounds, print};

/// Formats `arguments`, a tuple, a map or one value, as `pattern` says.
pub(super) fn format(
    state: &State<'_, '_>,
    pattern: &str,
    arguments: &Value,
) -> Result<String, Error> {
    bounds::check(state, arguments)?;
    bounds::pay(state, pattern.len())?;
    let mut source = FormatValues::new(arguments);
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, from_spec)) = rest.split_once('%') {
        out.push_str(before);
        let (spec, after) = Spec::parse(from_spec, &mut source)?;
        bounds::pay(state, spec.width.max(spec.precision.unwrap_or(0)))?;
        spec.write(state, &mut out, &mut source)?;
        rest = after;
    }
    out.push_str(rest);
    if source.is_used_up() { Ok(out) } else { Err(refused("not all arguments are formatted")) }
}

/// Where the values of a pattern come from.
struct FormatValues<'a> {
    arguments: &'a Value,
    /// The values of a tuple, or the one value, that are left.
    values: std::vec::IntoIter<Value>,
    /// Values can be left over, because the argument can be a map of names.
    is_map: bool,
}

impl<'a> FormatValues<'a> {
    fn new(arguments: &'a Value) -> Self {
        let values: Vec<_> = if arguments.is_tuple() {
            arguments.try_iter().into_iter().flatten().collect()
        } else {
            vec![arguments.clone()]
        };
        let is_map = !arguments.is_tuple()
            && matches!(
                arguments.kind(),
                ValueKind::Map | ValueKind::Seq | ValueKind::Iterable | ValueKind::Undefined
            );
        Self { arguments, values: values.into_iter(), is_map }
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.values.next().ok_or_else(|| refused("not enough arguments to format"))
    }

    fn named(&mut self, name: &str) -> Result<Value, Error> {
        if self.arguments.kind() != ValueKind::Map {
            return Err(refused("a name in a format needs a map"));
        }
        let value = self.arguments.get_item(&Value::from(name))?;
        if value.is_undefined() {
            return Err(refused(format!("the format names {name}, which the map lacks")));
        }
        Ok(value)
    }

    fn is_used_up(&self) -> bool {
        self.is_map || self.values.as_slice().is_empty()
    }
}

/// One conversion, such as `%-5.2f`.
struct Spec<'a> {
    name: Option<&'a str>,
    flags: &'a str,
    is_left: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl<'a> Spec<'a> {
    /// Reads a conversion after its `%`, and returns it with the rest of the pattern.
    fn parse(text: &'a str, source: &mut FormatValues<'_>) -> Result<(Self, &'a str), Error> {
        let incomplete = || refused("a format ends within a conversion");
        let (name, text) = match text.strip_prefix('(') {
            Some(inner) => {
                let (name, after) = inner.split_once(')').ok_or_else(incomplete)?;
                (Some(name), after)
            }
            None => (None, text),
        };
        let after_flags = text.trim_start_matches(['-', '+', ' ', '#', '0']);
        let flags = &text[..text.len() - after_flags.len()];
        let (width, text) = number(after_flags, source)?;
        let (precision, text) = match text.strip_prefix('.') {
            Some(after) => {
                let (precision, after) = number(after, source)?;
                (Some(precision.unwrap_or(0)), after)
            }
            None => (None, text),
        };
        let text = text.trim_start_matches(['h', 'l', 'L']);
        let conversion = text.chars().next().ok_or_else(incomplete)?;
        let width = width.unwrap_or(0);
        let spec = Self {
            name,
            flags,
            is_left: flags.contains('-') || width < 0,
            width: usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX),
            precision: precision.map(|n| usize::try_from(n.max(0)).unwrap_or(usize::MAX)),
            conversion,
        };
        Ok((spec, &text[conversion.len_utf8()..]))
    }

    fn write(
        &self,
        state: &State<'_, '_>,
        out: &mut String,
        source: &mut FormatValues<'_>,
    ) -> Result<(), Error> {
        if self.conversion == '%' {
            out.push('%');
            return Ok(());
        }
        let value = match self.name {
            Some(name) => source.named(name)?,
            None => source.next()?,
        };
        let text = match self.conversion {
            's' => print::text_of(&value),
            'r' => print::repr_of(&value),
            'a' => ascii_of(&value),
            'c' => character(&value)?,
            'd' | 'i' | 'u' | 'o' | 'x' | 'X' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                out.push_str(&self.number(&value)?);
                return Ok(());
            }
            other => return Err(refused(format!("a format has the unknown conversion {other}"))),
        };
        bounds::pay(state, text.len())?;
        let precision = self.precision.filter(|_| self.conversion != 'c').unwrap_or(usize::MAX);
        let cut: String = text.chars().take(precision).collect();
        let padding = " ".repeat(self.width.saturating_sub(cut.chars().count()));
        let parts: [&str; 2] = if self.is_left { [&cut, &padding] } else { [&padding, &cut] };
        out.extend(parts);
        Ok(())
    }

    /// Formats a number.
    fn number(&self, value: &Value) -> Result<String, Error> {
        if !matches!(value.kind(), ValueKind::Number | ValueKind::Bool) {
            return Err(refused(format!("%{} needs a number", self.conversion)));
        }
        let is_integral = matches!(self.conversion, 'd' | 'i' | 'u' | 'o' | 'x' | 'X');
        let number = match value.kind() {
            ValueKind::Bool if is_integral => Value::from(i64::from(value.is_true())),
            ValueKind::Bool => Value::from(if value.is_true() { 1.0 } else { 0.0 }),
            _ if is_integral && !value.is_integer() => {
                if !matches!(self.conversion, 'd' | 'i' | 'u') {
                    return Err(refused(format!("%{} needs an integer", self.conversion)));
                }
                let float = f64::try_from(value.clone())?;
                if !float.is_finite() {
                    return Err(refused("an infinite number is not an integer"));
                }
                Value::from(float.trunc() as i128)
            }
            _ if !is_integral => Value::from(f64::try_from(value.clone())?),
            _ => value.clone(),
        };
        let conversion = if matches!(self.conversion, 'i' | 'u') { 'd' } else { self.conversion };
        let flags: String = self.flags.chars().filter(|c| *c != '-').collect();
        let left = if self.is_left { "-" } else { "" };
        if let Some(n_digits) = self.precision.filter(|_| is_integral) {
            return self.padded_integer(&number, conversion, &flags, n_digits);
        }
        let width = if self.width > 0 { self.width.to_string() } else { String::new() };
        let precision = self.precision.map_or_else(String::new, |n| format!(".{n}"));
        let pattern = format!("%{left}{flags}{width}{precision}{conversion}");
        format_number(FormatStyle::Printf, &pattern, &[number])
    }

    /// Formats an integer with a precision, which is the least number of its digits.
    fn padded_integer(
        &self,
        number: &Value,
        conversion: char,
        flags: &str,
        n_digits: usize,
    ) -> Result<String, Error> {
        let has_zeros = flags.contains('0') && !self.is_left;
        let flags: String = flags.chars().filter(|c| *c != '0').collect();
        let pattern = format!("%{flags}{conversion}");
        let text = format_number(FormatStyle::Printf, &pattern, std::slice::from_ref(number))?;
        let unsigned = text.trim_start_matches(['+', '-', ' ']);
        let has_prefix = flags.contains('#') && matches!(conversion, 'x' | 'X' | 'o');
        let start = text.len() - unsigned.len() + if has_prefix { 2 } else { 0 };
        let (start, digits) = text.split_at(start);
        let n_zeros =
            n_digits.max(if has_zeros { self.width.saturating_sub(start.len()) } else { 0 });
        let zeros = "0".repeat(n_zeros.saturating_sub(digits.len()));
        let text = format!("{start}{zeros}{digits}");
        let padding = " ".repeat(self.width.saturating_sub(text.len()));
        Ok(if self.is_left { text + &padding } else { padding + &text })
    }
}

/// A width or precision: digits, or `*` for the next value.
fn number<'a>(
    text: &'a str,
    source: &mut FormatValues<'_>,
) -> Result<(Option<i64>, &'a str), Error> {
    if let Some(after) = text.strip_prefix('*') {
        return Ok((Some(expect_integer(&source.next()?)?), after));
    }
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - after.len()];
    let number = digits.parse().map_err(|_| refused("a format has a number that is too large"));
    Ok((if digits.is_empty() { None } else { Some(number?) }, after))
}

/// The representation of a value in ASCII.
pub(super) fn ascii_of(value: &Value) -> String {
    let mut out = String::new();
    for c in print::repr_of(value).chars() {
        if c.is_ascii() { out.push(c) } else { print::write_escape(&mut out, c) }
    }
    out
}

/// The character of `%c`: a text of one character, or its number.
fn character(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        if text.chars().count() == 1 {
            return Ok(text.to_owned());
        }
    } else if let Ok(code) = u32::try_from(expect_integer(value)?)
        && let Some(c) = char::from_u32(code)
    {
        return Ok(c.to_string());
    }
    Err(refused("%c needs a character"))
}
