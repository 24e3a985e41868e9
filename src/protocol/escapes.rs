//! Escapes of JSON strings, valid or not.
//!
//! JavaScript strings can contain half of a surrogate pair (half an emoji after `slice`), and
//! `JSON.stringify` writes it as an escape such as `\ud83e`. No Rust string can hold it, so it
//! becomes U+FFFD. All functions keep what is not in need of repair exactly as it was sent.

use std::borrow::Cow;
use std::char::REPLACEMENT_CHARACTER;

/// The content of a JSON string with its escapes decoded and lone surrogates as U+FFFD. `text` is
/// what a valid string has between its quotes.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    // No escape is shorter than its character, so the buffer never grows.
    let mut decoded = String::with_capacity(text.len());
    for fragment in Fragments(text) {
        match fragment {
            Fragment::Plain(plain) => decoded.push_str(plain),
            Fragment::Escape(_, Escape::Char(char)) => decoded.push(char),
            Fragment::Escape(_, Escape::LoneSurrogate | Escape::Invalid) => {
                decoded.push(REPLACEMENT_CHARACTER);
            }
        }
    }
    Cow::Owned(decoded)
}

/// A message with the escapes of lone surrogates replaced by that of U+FFFD. Every byte keeps its
/// position, so a parser reports faults where the client's message has them.
pub fn without_lone_surrogates(message: &str) -> Cow<'_, str> {
    let is_lone = |fragment| matches!(fragment, Fragment::Escape(_, Escape::LoneSurrogate));
    if !Fragments(message).any(is_lone) {
        return Cow::Borrowed(message);
    }
    let mut repaired = String::with_capacity(message.len());
    for fragment in Fragments(message) {
        repaired.push_str(match fragment {
            Fragment::Escape(_, Escape::LoneSurrogate) => r"\ufffd",
            Fragment::Plain(text) | Fragment::Escape(text, _) => text,
        });
    }
    Cow::Owned(repaired)
}

/// A message with [`FAULT`] in place of what is invalid inside its strings: the backslash of an
/// unknown escape, and control characters.
pub(super) fn with_marked_faults(message: &str) -> String {
    let mut marked = String::with_capacity(message.len());
    let mut is_in_string = false;
    for fragment in Fragments(message) {
        match fragment {
            Fragment::Escape(_, Escape::Invalid) => marked.push(FAULT),
            Fragment::Escape(escape, _) => marked.push_str(escape),
            Fragment::Plain(plain) => marked.extend(plain.chars().map(|char| {
                is_in_string ^= char == '"';
                if is_in_string && char < ' ' { FAULT } else { char }
            })),
        }
    }
    marked
}

/// Stands for a fault inside a string: the control character DEL, which JSON allows there.
pub(super) const FAULT: char = '\u{7f}';

/// A text, divided into escapes and what is between them.
struct Fragments<'a>(&'a str);

enum Fragment<'a> {
    Plain(&'a str),
    /// An escape as it is written, and what it means.
    Escape(&'a str, Escape),
}

/// What a backslash begins.
#[derive(Clone, Copy)]
enum Escape {
    Char(char),
    /// Half of a surrogate pair without the other half.
    LoneSurrogate,
    /// No escape of JSON; only the backslash belongs to it.
    Invalid,
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let plain = self.0.find('\\').unwrap_or(self.0.len());
        if plain > 0 {
            return Some(Fragment::Plain(self.take(plain)));
        }
        let (escape, n) = Escape::at_start_of(self.0);
        Some(Fragment::Escape(self.take(n), escape))
    }
}

impl<'a> Fragments<'a> {
    /// Removes and returns the first `n` bytes.
    fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }
}

impl Escape {
    /// The escape that `text` begins with, and its length in bytes.
    fn at_start_of(text: &str) -> (Self, usize) {
        let char = match text.as_bytes().get(1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return Self::of_unit(text),
            _ => return (Self::Invalid, 1),
        };
        (Self::Char(char), 2)
    }

    /// The escape of a UTF-16 code unit, or of two that are a surrogate pair.
    fn of_unit(text: &str) -> (Self, usize) {
        let Some(unit) = code_unit(text) else { return (Self::Invalid, 1) };
        if let Some(char) = char::from_u32(unit.into()) {
            return (Self::Char(char), UNIT_BYTES);
        }
        let next = text.get(UNIT_BYTES..).and_then(code_unit);
        match next.and_then(|next| char::decode_utf16([unit, next]).next()?.ok()) {
            Some(char) => (Self::Char(char), 2 * UNIT_BYTES),
            None => (Self::LoneSurrogate, UNIT_BYTES),
        }
    }
}

/// The code unit of the escape `\uXXXX` that `text` begins with.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    // Parsing alone would also accept a plus sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u16::from_str_radix(digits, 16).ok()
}

/// Bytes of an escape `\uXXXX`.
const UNIT_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lone_surrogate_becomes_the_replacement_character() {
        for (text, expected) in [
            (r"fox \ud83e", "fox \u{fffd}"),
            (r"\udd8a fox", "\u{fffd} fox"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\uD83E\n", "\u{fffd}\n"),
            (r"\ud83e\u0041", "\u{fffd}A"),
            (r"\ud83d\ude00\ude00", "😀\u{fffd}"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
            let message = format!("\"{text}\"");
            let repaired = without_lone_surrogates(&message);
            assert_eq!(repaired.len(), message.len());
            assert_eq!(serde_json::from_str::<String>(&repaired).unwrap(), expected);
        }
    }

    #[test]
    fn escaped_backslash_before_a_surrogate_is_not_an_escape_of_it() {
        assert_eq!(unescape(r"\\ud83e"), r"\ud83e");
        assert!(matches!(without_lone_surrogates(r#""\\ud83e""#), Cow::Borrowed(_)));
    }

    #[test]
    fn faults_are_marked_inside_strings_only() {
        let message = "{\n\"a\\x\": \"line\nbreak \\u12\",\t\"b\\n\":\"é\"}";
        let marked = "{\n\"a\u{7f}x\": \"line\u{7f}break \u{7f}u12\",\t\"b\\n\":\"é\"}";
        assert_eq!(with_marked_faults(message), marked);
    }

    proptest! {
        #[test]
        fn escapes_are_decoded_as_serde_json_does(text in any::<String>(), pick in any::<u64>()) {
            let escaped = |(i, unit): (usize, u16)| match pick >> (i % 64) & 1 {
                0 => format!("\\u{unit:04x}"),
                _ => format!("\\u{unit:04X}"),
            };
            let all: String = text.encode_utf16().enumerate().map(escaped).collect();
            prop_assert_eq!(unescape(&all), text.as_str());
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescape(&written[1..written.len() - 1]), text);
        }
    }
}
