//! Turns values in the notations of Python and of Gemma 4 into JSON.
//!
//! Both are read by the same code: strings in single, double or triple quotes or between Gemma's
//! quotation marks, `True` and `true`, `None` and `null`, tuples as lists, and keys with or without
//! quotes.

use serde_json::Number;

use super::calls::is_name_char;
use super::json::push_json_string;

/// Reads values from the beginning of a text.
#[derive(Debug)]
pub(super) struct LiteralReader<'t> {
    rest: &'t str,
}

impl<'t> LiteralReader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { rest: text }
    }

    /// What is left, without white space before it.
    pub(super) fn rest(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    /// Skips white space, and then `expected` if it is next. Returns whether it is.
    pub(super) fn skip(&mut self, expected: &str) -> bool {
        match self.rest().strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A name, which may be empty.
    pub(super) fn name(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let text = self.rest();
        let (name, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
        self.rest = rest;
        name
    }

    /// Members of an object up to `end`, with `separator` between keys and values. The start is
    /// already read.
    pub(super) fn members(&mut self, end: &str, separator: &str, json: &mut String) -> Option<()> {
        self.members_at(end, separator, json, 0)
    }

    /// Adds the next value to `json`; `None` if there is none.
    fn value_at(&mut self, json: &mut String, depth: usize) -> Option<()> {
        if depth > MAX_LITERAL_DEPTH {
            return None;
        }
        if let Some(text) = self.string() {
            push_json_string(json, &text);
            return Some(());
        }
        if self.skip("{") {
            return self.members_at("}", ":", json, depth + 1);
        }
        for (start, end) in [("[", "]"), ("(", ")")] {
            if self.skip(start) {
                return self.items(end, json, depth + 1);
            }
        }
        let word = self.name(|c| is_name_char(c) && c != ':' || c == '+');
        match word {
            "True" | "true" => json.push_str("true"),
            "False" | "false" => json.push_str("false"),
            "None" | "null" => json.push_str("null"),
            // JSON has no other way to write them, and this one keeps all digits.
            _ if serde_json::from_str::<Number>(word).is_ok() => json.push_str(word),
            _ => return None,
        }
        Some(())
    }

    fn items(&mut self, end: &str, json: &mut String, depth: usize) -> Option<()> {
        json.push('[');
        let mut is_first = true;
        while !self.skip(end) {
            if !is_first {
                json.push_str(", ");
            }
            is_first = false;
            self.value_at(json, depth)?;
            if !self.skip(",") && !self.rest().starts_with(end) {
                return None;
            }
        }
        json.push(']');
        Some(())
    }

    fn members_at(
        &mut self,
        end: &str,
        separator: &str,
        json: &mut String,
        depth: usize,
    ) -> Option<()> {
        json.push('{');
        let mut is_first = true;
        while !self.skip(end) {
            if !is_first {
                json.push_str(", ");
            }
            is_first = false;
            let key = match self.string() {
                Some(key) => key,
                None => self.name(|c| is_name_char(c) && c != ':').to_owned(),
            };
            if key.is_empty() || !self.skip(separator) {
                return None;
            }
            push_json_string(json, &key);
            json.push_str(": ");
            self.value_at(json, depth)?;
            if !self.skip(",") && !self.rest().starts_with(end) {
                return None;
            }
        }
        json.push('}');
        Some(())
    }

    /// A string with quotes; `None` if there is none, or no end of it.
    fn string(&mut self) -> Option<String> {
        let text = self.rest();
        if let Some(after) = text.strip_prefix(GEMMA_QUOTE) {
            let (content, rest) = after.split_once(GEMMA_QUOTE)?;
            self.rest = rest;
            return Some(content.to_owned());
        }
        let quote = QUOTES.into_iter().find(|&quote| text.starts_with(quote))?;
        let mut content = String::new();
        let mut rest = &text[quote.len()..];
        while !rest.starts_with(quote) {
            let mut chars = rest.chars();
            match chars.next()? {
                '\\' => chars = unescape(chars.as_str(), &mut content)?.chars(),
                c => content.push(c),
            }
            rest = chars.as_str();
        }
        self.rest = &rest[quote.len()..];
        Some(content)
    }
}

/// Adds the character of an escape, of which `text` is what follows the backslash. Returns what
/// follows the escape. As in Python, a backslash that begins no escape is one.
fn unescape<'t>(text: &'t str, content: &mut String) -> Option<&'t str> {
    let mut chars = text.chars();
    let n_digits = match chars.next()? {
        'n' => return push(content, '\n', chars.as_str()),
        't' => return push(content, '\t', chars.as_str()),
        'r' => return push(content, '\r', chars.as_str()),
        '\n' => return Some(chars.as_str()),
        c @ ('\\' | '\'' | '"') => return push(content, c, chars.as_str()),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return push(content, '\\', text),
    };
    let digits = chars.as_str().get(..n_digits)?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    push(content, char::from_u32(code)?, &chars.as_str()[n_digits..])
}

fn push<'t>(content: &mut String, c: char, rest: &'t str) -> Option<&'t str> {
    content.push(c);
    Some(rest)
}

/// The marks around a string in the notation of Python, the longer ones first.
const QUOTES: [&str; 4] = ["\"\"\"", "'''", "\"", "'"];

/// The mark around a string in the notation of Gemma 4.
const GEMMA_QUOTE: &str = "<|\"|>";

/// Most lists and objects within each other.
const MAX_LITERAL_DEPTH: usize = 64;
