//! Characters, escapes and classes of regular expressions of ECMA-262.

use std::fmt::Write;

/// What an escape stands for, or a part of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    Char(char),
    /// A class of the regex crate, in brackets.
    Class(String),
}

/// Reads what follows a backslash in `chars` at the index `at`, which is moved. In a class, `\b` is
/// a character.
///
/// # Errors
/// The escape is not supported.
pub(super) fn escape(chars: &[char], at: &mut usize, is_in_class: bool) -> Result<Atom, String> {
    let kind = *chars.get(*at).ok_or("the expression ends with a backslash: write \\\\")?;
    *at += 1;
    let next = chars.get(*at).copied();
    let char = match kind {
        'd' => return Ok(Atom::Class("[0-9]".to_owned())),
        'D' => return Ok(Atom::Class("[^0-9]".to_owned())),
        'w' => return Ok(Atom::Class("[0-9A-Za-z_]".to_owned())),
        'W' => return Ok(Atom::Class("[^0-9A-Za-z_]".to_owned())),
        's' => return Ok(Atom::Class(format!("[{SPACE}]"))),
        'S' => return Ok(Atom::Class(format!("[^{SPACE}]"))),
        'p' | 'P' if next == Some('{') => {
            let name: String = chars[*at + 1..].iter().take_while(|&&char| char != '}').collect();
            *at += name.chars().count() + 2;
            let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '=');
            if *at > chars.len() || !name.chars().all(is_name) {
                return Err(format!("\\{kind} is followed by a name in brackets"));
            }
            return Ok(Atom::Class(format!("\\{kind}{{{name}}}")));
        }
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'b' if is_in_class => '\u{8}',
        '0' if !next.is_some_and(|char| char.is_ascii_digit()) => '\0',
        'c' if next.is_some_and(|char| char.is_ascii_alphabetic()) => {
            *at += 1;
            next.map_or('\0', |char| char::from(char as u8 & 31))
        }
        'x' => number(chars, at, 2).and_then(char::from_u32).ok_or_else(|| no_character(kind))?,
        'u' => unicode(chars, at).ok_or_else(|| no_character(kind))?,
        '1'..='9' | 'k' => {
            return Err(format!("\\{kind} is not supported: write the text again"));
        }
        kind if kind.is_ascii_alphanumeric() => {
            return Err(format!("\\{kind} is not supported"));
        }
        other => other,
    };
    Ok(Atom::Char(char))
}

fn no_character(kind: char) -> String {
    format!("\\{kind} has no character with this number")
}

/// Reads the number of a character after `\u`.
fn unicode(chars: &[char], at: &mut usize) -> Option<char> {
    if chars.get(*at) == Some(&'{') {
        let digits: String = chars[*at + 1..].iter().take_while(|&&char| char != '}').collect();
        *at = (*at + digits.chars().count() + 2).min(chars.len());
        return u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
    }
    let first = number(chars, at, 4)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    // The first half of a surrogate pair.
    let is_pair = chars.get(*at..*at + 2) == Some(&['\\', 'u']);
    *at += 2 * usize::from(is_pair);
    let second = number(chars, at, 4).filter(|n| is_pair && (0xdc00..0xe000).contains(n))?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

/// Reads a hexadecimal number of `n` digits.
fn number(chars: &[char], at: &mut usize, n: usize) -> Option<u32> {
    let digits: String = chars.get(*at..*at + n)?.iter().collect();
    let number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    *at += n;
    number.then(|| u32::from_str_radix(&digits, 16).ok()).flatten()
}

/// Appends a character so that it has no other meaning.
pub(super) fn push_char(out: &mut String, char: char) {
    // Writing to a string cannot fail.
    let _ = match char {
        '0'..='9' | 'A'..='Z' | 'a'..='z' | '_' | ' ' => out.write_char(char),
        _ => write!(out, "\\x{{{:x}}}", u32::from(char)),
    };
}

/// Whether a string of JSON can have this character without `\u`, which answers do not use.
pub(super) fn is_writable(char: char) -> bool {
    !char.is_ascii_control() || matches!(char, '\u{8}' | '\t' | '\n' | '\u{c}' | '\r')
}

/// A class in brackets, without the characters that are not writable. llguidance would write a
/// quotation mark or a backslash for a class that has all of them.
pub(super) fn writable_class(class: &str) -> String {
    format!(r"[{class}&&[^\x{{0}}-\x{{7}}\x{{b}}\x{{e}}-\x{{1f}}\x{{7f}}]]")
}

/// Any character.
pub(super) const ANY: &str = "(?s:.)";

/// Any character but line breaks.
pub(super) const NOT_BREAK: &str = r"[^\x{a}\x{d}\x{2028}\x{2029}]";

/// White space and line breaks, within a class.
const SPACE: &str = concat!(
    r"\x{9}-\x{d}\x{20}\x{a0}\x{1680}\x{2000}-\x{200a}",
    r"\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
);
