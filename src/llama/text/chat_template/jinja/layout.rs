//! The layout of a value in `str.format`, such as `*^+12,.2f`.

use minijinja::Error;
use minijinja::formatting::{FormatStyle, format as format_number};
use minijinja::value::{Value, ValueKind};

use super::arguments::refused;
use super::print;

/// The parts of a layout.
pub(super) struct Layout {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    is_alternate: bool,
    has_zeros: bool,
    pub(super) width: usize,
    grouping: Option<char>,
    pub(super) precision: Option<usize>,
    kind: Option<char>,
}

impl Layout {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut chars: Vec<char> = text.chars().rev().collect();
        let is_align = |c: Option<&char>| c.is_some_and(|c| "<>=^".contains(*c));
        let fill = if chars.len() > 1 && is_align(chars.get(chars.len() - 2)) {
            chars.pop()
        } else {
            None
        };
        let align = chars.pop_if(|c| "<>=^".contains(*c));
        let sign = chars.pop_if(|c| "+- ".contains(*c));
        let is_alternate = chars.pop_if(|c| *c == '#').is_some();
        let has_zeros = chars.pop_if(|c| *c == '0').is_some();
        let width = number(&mut chars)?;
        let grouping = chars.pop_if(|c| ",_".contains(*c));
        let precision = match chars.pop_if(|c| *c == '.') {
            Some(_) => Some(number(&mut chars)?.ok_or_else(|| refused("a precision is missing"))?),
            None => None,
        };
        let kind = chars.pop();
        if !chars.is_empty() {
            return Err(refused(format!("a format has the broken layout {text}")));
        }
        let width = width.unwrap_or(0);
        Ok(Self { fill, align, sign, is_alternate, has_zeros, width, grouping, precision, kind })
    }

    /// Writes a value. The caller has paid for the width and the precision.
    pub(super) fn write(&self, value: &Value) -> Result<String, Error> {
        match value.kind() {
            ValueKind::String => self.write_text(value.as_str().unwrap_or_default()),
            ValueKind::Number => self.write_number(value),
            ValueKind::Bool => self.write_number(&Value::from(i64::from(value.is_true()))),
            kind => Err(refused(format!("a format of {kind} cannot have a layout"))),
        }
    }

    fn write_text(&self, text: &str) -> Result<String, Error> {
        let has_number_part = self.sign.is_some() || self.is_alternate || self.grouping.is_some();
        if has_number_part || self.align == Some('=') || !matches!(self.kind, None | Some('s')) {
            return Err(refused("a format of a string has the layout of a number"));
        }
        let text: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        Ok(self.pad(&text, 0, '<'))
    }

    fn write_number(&self, value: &Value) -> Result<String, Error> {
        let is_integer = value.is_integer();
        let kind = match self.kind {
            Some('n') if is_integer => Some('d'),
            Some('n') => Some('g'),
            kind => kind,
        };
        let is_float_kind = kind.is_some_and(|kind| "eEfFgG%".contains(kind));
        if is_integer && self.precision.is_some() && !is_float_kind {
            return Err(refused("a format of an integer has a precision"));
        }
        if self.grouping.is_some() && self.kind.is_some_and(|kind| "nsc".contains(kind)) {
            return Err(refused("a format groups what has no groups"));
        }
        let number = match kind {
            Some('%') => Value::from(f64::try_from(value.clone())? * 100.0),
            _ if is_float_kind => Value::from(f64::try_from(value.clone())?),
            _ => value.clone(),
        };
        let pads_groups = self.has_zeros && self.align.is_none() && self.grouping.is_some();
        let body = if kind.is_none() && !is_integer && self.precision.is_none() {
            self.signed(&print::text_of(&number))
        } else {
            let suffix_width = usize::from(kind == Some('%'));
            let width = self.width.saturating_sub(suffix_width);
            let zeros = if pads_groups { format!("0{width}") } else { String::new() };
            let part = |c: Option<char>| c.map(String::from).unwrap_or_default();
            let precision = self.precision.map_or_else(String::new, |n| format!(".{n}"));
            let alternate = if self.is_alternate { "#" } else { "" };
            let plain = if kind == Some('%') { Some('f') } else { kind };
            let layout = format!(
                "{{:{}{alternate}{zeros}{}{precision}{}}}",
                part(self.sign),
                part(self.grouping),
                part(plain)
            );
            format_number(FormatStyle::StrFormat, &layout, &[number])?
        };
        let body = if kind == Some('%') { body + "%" } else { body };
        let unsigned = body.trim_start_matches(['+', '-', ' ']);
        let has_prefix = self.is_alternate
            && kind.is_some_and(|kind| "xXbo".contains(kind))
            && unsigned.starts_with('0');
        let n_sign = body.len() - unsigned.len() + if has_prefix { 2 } else { 0 };
        let default = if self.has_zeros { '=' } else { '>' };
        Ok(self.pad(&body, n_sign, default))
    }

    /// A float as Python prints it, with the sign of the layout and groups of three digits.
    fn signed(&self, text: &str) -> String {
        let (minus, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
        let sign = match self.sign {
            Some(sign @ ('+' | ' ')) if minus.is_empty() => String::from(sign),
            _ => minus.to_owned(),
        };
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at(end);
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                grouped.extend(self.grouping);
            }
            grouped.push(digit);
        }
        format!("{sign}{grouped}{rest}")
    }

    /// Fills a text up to the width. With `=`, the filling follows the first `n_sign` bytes.
    fn pad(&self, text: &str, n_sign: usize, default: char) -> String {
        let n_missing = self.width.saturating_sub(text.chars().count());
        let fill = self.fill.unwrap_or(if self.has_zeros { '0' } else { ' ' });
        let filling = |n: usize| String::from(fill).repeat(n);
        match self.align.unwrap_or(default) {
            '<' => text.to_owned() + &filling(n_missing),
            '^' => {
                let n_left = n_missing / 2;
                filling(n_left) + text + &filling(n_missing - n_left)
            }
            '=' => format!("{}{}{}", &text[..n_sign], filling(n_missing), &text[n_sign..]),
            _ => filling(n_missing) + text,
        }
    }
}

/// The number at the end of reversed characters.
fn number(chars: &mut Vec<char>) -> Result<Option<usize>, Error> {
    let mut digits = String::new();
    while let Some(digit) = chars.pop_if(|c| c.is_ascii_digit()) {
        digits.push(digit);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| refused("a layout has a number that is too large"))
}
