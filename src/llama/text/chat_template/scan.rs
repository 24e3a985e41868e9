//! Looks through a template's source before it is compiled.
//!
//! The compiler follows chains of operators and of `elif` by recursion, and folds constants in a
//! time that grows with the square of a chain. Real templates have some dozens in a row, so a
//! limit on the words of one tag, and on the tags that can nest without end, costs nobody anything.
//!
//! What is assigned to an attribute of a namespace is the only value that outlives an iteration,
//! so it is where a template can build something without end. The source is rewritten so that such
//! a value passes the filter [`super::bounds::FILTER`].
//!
//! Blocks between `generation` and `endgeneration` tell Transformers what to train on. They become
//! blocks that are always written, which trim the same blanks.

use super::bounds::FILTER;

/// Longest template: the longest published ones have a quarter of it.
const MOST_BYTES: usize = 128 * 1024;
/// Most words of one tag. The longest of published templates have about a hundred.
const MOST_WORDS: usize = 1000;
/// Most `elif`: each lies inside the one before.
const MOST_ELIFS: usize = 500;

/// The source to compile.
///
/// # Errors
/// Why it is not compiled.
pub(super) fn prepare(source: &str) -> Result<String, String> {
    if source.len() > MOST_BYTES {
        return Err(format!(
            "it has {} bytes, more than {MOST_BYTES}; no real one is that long",
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
        if kind == '%' && tag.first == "elif" {
            n_elifs += 1;
            if n_elifs > MOST_ELIFS {
                return Err(format!("it has more than {MOST_ELIFS} `elif`"));
            }
        }
        rest = &after[tag.end..];
        if kind == '%' && tag.n_words == 1 && tag.first == "generation" {
            out.push_str(&after[..tag.end].replacen("generation", "if true", 1));
        } else if kind == '%' && tag.n_words == 1 && tag.first == "endgeneration" {
            out.push_str(&after[..tag.end].replacen("endgeneration", "endif", 1));
        } else if kind == '%' {
            out.push_str(&tag.guarded(after));
        } else {
            out.push_str(&after[..tag.end]);
        }
        if kind == '%' && tag.first == "raw" && tag.n_words == 1 {
            // Nothing in it is a tag, but for the one that ends it.
            let end = end_of_raw(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands before the next tag, its second character, and what follows.
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

fn end_of_raw(text: &str) -> usize {
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
    first: &'a str,
    n_words: usize,
    /// Where the first `=` stands that is outside all brackets, if there is one.
    assignment: Option<usize>,
    has_dot: bool,
    /// Where its text ends, and where the delimiter does; the sign that trims blanks is behind it.
    end: usize,
}

impl<'a> Tag<'a> {
    fn read(text: &'a str, close: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let mut tag = Self { first: "", n_words: 0, assignment: None, has_dot: false, end: 0 };
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
            // The sign that trims blanks, as in `{%- set`, is no word.
            let is_sign = at == 0 && matches!(bytes[0], b'-' | b'+');
            if !is_sign {
                tag.n_words += 1;
            }
            if tag.n_words == 1 && !is_sign {
                tag.first = &left[..step];
            }
            match bytes[at] {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth -= 1,
                b'.' if tag.assignment.is_none() => tag.has_dot = true,
                b'=' if depth == 0 && tag.assignment.is_none() => tag.assignment = Some(at),
                _ => {}
            }
            // What closes more than it opened would end the brackets that `guarded` puts around.
            if depth < 0 {
                return Err("one of its tags closes a bracket that it did not open".to_owned());
            }
            if tag.n_words > MOST_WORDS {
                return Err(format!("one of its tags has more than {MOST_WORDS} words"));
            }
            at += step;
        }
        // The compiler has a better word for a tag without an end.
        tag.end = bytes.len();
        Ok(tag)
    }

    /// The tag's text, with the guard around what it gives to an attribute.
    fn guarded(&self, text: &str) -> String {
        let inside = &text[..self.end];
        match self.assignment {
            _ if self.first != "set" || !self.has_dot => inside.to_owned(),
            Some(at) => {
                format!("{}=({})|{FILTER} ", &inside[..at], &inside[at + 1..])
            }
            None => format!("{inside}|{FILTER} "),
        }
    }
}

/// The length of the string that `text` begins with, quotes and all.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_tags_stay_as_they_are() {
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
    fn what_an_attribute_gets_passes_the_filter() {
        let guarded = |source: &str| prepare(source).unwrap();
        assert_eq!(guarded("{% set a.b = c -%}"), format!("{{% set a.b =( c )|{FILTER} -%}}"));
        assert_eq!(guarded("{%-set a.b, c=1, 2%}"), format!("{{%-set a.b, c=(1, 2)|{FILTER} %}}"));
        assert_eq!(guarded("{% set a.b | list %}"), format!("{{% set a.b | list |{FILTER} %}}"));
        assert!(prepare("{% set a.b = c), (d %}").is_err());
    }
}
