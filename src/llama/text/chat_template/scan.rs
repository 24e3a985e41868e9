//! Checks and rewrites a template's source before it is compiled.
//!
//! *Limits.* minijinja's compiler recurses along chains of operators and of `elif`, which a long
//! chain would turn into a stack overflow, and it folds constants in time quadratic in the length
//! of a chain. So the words of a tag and the number of `elif` are limited. Published templates stay
//! far below (ADR-0017).
//!
//! *Namespaces.* A value assigned to an attribute of a namespace is the only one that outlives an
//! iteration of a loop, so it is where a template could build a value without end. The source is
//! rewritten so that every such value passes [`NAMESPACE_FILTER`].
//!
//! *Training blocks.* `generation` and `endgeneration` mark what Transformers trains on. They
//! become `if true` blocks, which trim white space in the same way.

use super::bounds::NAMESPACE_FILTER;

/// The source to compile.
///
/// # Errors
/// One line that says which limit the source exceeds.
pub(super) fn prepare(source: &str) -> Result<String, String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!(
            "it has {} bytes, more than the limit of {MAX_SOURCE_BYTES}",
            source.len()
        ));
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut n_elifs = 0;
    while let Some((before, kind, after)) = next_tag(rest) {
        out.push_str(before);
        out.push('{');
        out.push(kind);
        if kind == '#' {
            let end = after.find("#}").unwrap_or(after.len());
            out.push_str(&after[..end]);
            rest = &after[end..];
            continue;
        }
        let tag = Tag::read(after, if kind == '{' { "}}" } else { "%}" })?;
        rest = &after[tag.end..];
        if kind == '{' {
            out.push_str(&after[..tag.end]);
            continue;
        }
        if tag.keyword == "elif" {
            n_elifs += 1;
            if n_elifs > MAX_ELIFS {
                return Err(format!("it has more than {MAX_ELIFS} `elif`"));
            }
        }
        out.push_str(&tag.rewritten(after));
        if tag.keyword == "raw" && tag.n_words == 1 {
            // A raw block has no tags except the one that ends it.
            let end = end_of_raw_block(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Finds the next tag: the text before it, the second character of its delimiter, and the text
/// after the delimiter.
fn next_tag(text: &str) -> Option<(&str, char, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('{')?;
        let kind = text[at + 1..].chars().next()?;
        if matches!(kind, '{' | '%' | '#') {
            return Some((&text[..at], kind, &text[at + 2..]));
        }
        from = at + 1;
    }
}

/// Where the `endraw` tag begins in `text`, or the end of `text`.
fn end_of_raw_block(text: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text[from..].find("{%") {
        let inside = text[from + at + 2..].trim_start_matches(['-', '+']).trim_start();
        if inside.starts_with("endraw") {
            return from + at;
        }
        from += at + 2;
    }
    text.len()
}

/// A tag without its delimiters.
struct Tag<'a> {
    /// The first word.
    keyword: &'a str,
    /// Number of words; every string, operator and bracket counts as one.
    n_words: usize,
    /// Offset of the first `=` outside of all brackets.
    assignment: Option<usize>,
    /// Whether there is a `.` before the assignment.
    has_dot: bool,
    /// Offset of the closing delimiter, or of the `-` or `+` before it that controls white space.
    end: usize,
}

impl<'a> Tag<'a> {
    /// Reads the tag at the start of `text`, which ends at the delimiter `close`.
    fn read(text: &'a str, close: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let mut tag = Self { keyword: "", n_words: 0, assignment: None, has_dot: false, end: 0 };
        let (mut at, mut depth) = (0, 0i32);
        while at < bytes.len() {
            let left = &text[at..];
            let sign = usize::from(left.starts_with(['-', '+']));
            if depth == 0 && left[sign..].starts_with(close) {
                tag.end = at;
                return Ok(tag);
            }
            let step = match bytes[at] {
                byte if byte.is_ascii_whitespace() => {
                    at += 1;
                    continue;
                }
                quote @ (b'"' | b'\'') => string_length(left, quote),
                byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    left.find(|c| !is_word(c)).unwrap_or(left.len())
                }
                _ => left.chars().next().map_or(1, char::len_utf8),
            };
            // The sign that controls white space, as in `{%- set`, is not a word.
            let is_sign = at == 0 && matches!(bytes[0], b'-' | b'+');
            if !is_sign {
                tag.n_words += 1;
            }
            if tag.n_words == 1 && !is_sign {
                tag.keyword = &left[..step];
            }
            match bytes[at] {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth -= 1,
                b'.' if tag.assignment.is_none() => tag.has_dot = true,
                b'=' if depth == 0 && tag.assignment.is_none() => tag.assignment = Some(at),
                _ => {}
            }
            // Such a tag could end the brackets that `filtered` puts around a value.
            if depth < 0 {
                return Err("one of its tags closes a bracket that it did not open".to_owned());
            }
            if tag.n_words > MAX_WORDS {
                return Err(format!("one of its tags has more than {MAX_WORDS} words"));
            }
            at += step;
        }
        // The compiler reports a tag without an end.
        tag.end = bytes.len();
        Ok(tag)
    }

    /// The text of this block tag, which `text` starts with, as it is to be compiled.
    fn rewritten(&self, text: &str) -> String {
        let inside = &text[..self.end];
        match self.keyword {
            "generation" if self.n_words == 1 => inside.replacen("generation", "if true", 1),
            "endgeneration" if self.n_words == 1 => inside.replacen("endgeneration", "endif", 1),
            "set" if self.has_dot => self.filtered(inside),
            _ => inside.to_owned(),
        }
    }

    /// The assignment `inside` with the filter around the assigned value. A `set` block without `=`
    /// passes its content to the filter.
    fn filtered(&self, inside: &str) -> String {
        match self.assignment {
            Some(at) => {
                format!("{}=({})|{NAMESPACE_FILTER} ", &inside[..at], &inside[at + 1..])
            }
            None => format!("{inside}|{NAMESPACE_FILTER} "),
        }
    }
}

/// Length in bytes of the string literal that `text` starts with, including its quotes.
fn string_length(text: &str, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Longest template in bytes (ADR-0017).
const MAX_SOURCE_BYTES: usize = 128 * 1024;
/// Maximum number of words of a tag (ADR-0017).
const MAX_WORDS: usize = 1000;
/// Maximum number of `elif` in a template, since the compiler nests each one in the one before
/// (ADR-0017).
const MAX_ELIFS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_tags_stay_unchanged() {
        for source in [
            "{%- for m in messages -%}{{- '}}' ~ m['a\\'%}'] -}}{% endfor %}",
            "{% set x = y.z == 1 %}{# {% set a.b = 1 %} #}{ {} }",
            "{% raw %}{% set a.b = 1 %}{{ {% endraw %}{% if a.b == 2 %}{% endif %}",
            "{{ {'a': {'b': 1}} }} 🦊 {{ '🦊' }}",
            "{% unfinished",
        ] {
            assert_eq!(prepare(source).as_deref(), Ok(source));
        }
    }

    #[test]
    fn value_assigned_to_an_attribute_passes_the_filter() {
        let rewritten = |source: &str| prepare(source).unwrap();
        assert_eq!(
            rewritten("{% set a.b = c -%}"),
            format!("{{% set a.b =( c )|{NAMESPACE_FILTER} -%}}")
        );
        assert_eq!(
            rewritten("{%-set a.b, c=1, 2%}"),
            format!("{{%-set a.b, c=(1, 2)|{NAMESPACE_FILTER} %}}")
        );
        assert_eq!(
            rewritten("{% set a.b | list %}"),
            format!("{{% set a.b | list |{NAMESPACE_FILTER} %}}")
        );
        assert!(prepare("{% set a.b = c), (d %}").is_err());
    }
}
