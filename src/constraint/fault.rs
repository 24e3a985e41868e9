//! Why a constraint is refused, and how large it may be.

use serde_json::Value;
use thiserror::Error;

/// Why a constraint is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum GrammarFault {
    /// It is longer than it may be.
    #[error("has {n_bytes} bytes: send one of at most {MAX_BYTES}")]
    TooLong { n_bytes: usize },
    /// It is nested deeper than it may be.
    #[error("is nested more than {MAX_DEPTH} levels deep: send a simpler one")]
    TooDeep,
    /// It repeats something more often than it may.
    #[error("repeats its parts more than {MAX_REPEATED} times: send a simpler one")]
    TooManyRepetitions,
    /// It has more lines than it may have.
    #[error("has {n} lines: send one of at most {MAX_LINES}")]
    TooManyLines { n: usize },
    /// It says nothing.
    #[error("must not be empty")]
    Empty,
    /// It has more choices than it may have.
    #[error("has {n} choices: send at most {MAX_CHOICES}")]
    TooManyChoices { n: usize },
    /// It cannot be enforced, for this reason.
    #[error("cannot be enforced: {0}")]
    Invalid(String),
}

/// Refuses a text that is too long, empty, or has too many nested brackets.
pub(super) fn check_size(text: &str) -> Result<(), GrammarFault> {
    if text.trim().is_empty() {
        return Err(GrammarFault::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(GrammarFault::TooLong { n_bytes: text.len() });
    }
    let n = text.lines().count();
    if n > MAX_LINES {
        return Err(GrammarFault::TooManyLines { n });
    }
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_DEPTH {
        return Err(GrammarFault::TooDeep);
    }
    check_repetitions(text)
}

/// Refuses a regular expression or a grammar that repeats something very often. A part that is
/// repeated 1000 times within one that is repeated 1000 times counts as a million.
pub(super) fn check_repetitions(text: &str) -> Result<(), GrammarFault> {
    // The size of each group that is open, and of the last part in it.
    let mut groups = vec![(0u64, 0u64)];
    let (mut n_repeated, mut chars) = (0u64, text.char_indices());
    while let Some((at, char)) = chars.next() {
        let (size, last) = groups.pop().unwrap_or_default();
        let (size, last) = match char {
            '(' => {
                groups.extend([(size, last), (0, 0)]);
                continue;
            }
            ')' => {
                let (outer, _) = groups.pop().unwrap_or_default();
                (outer.saturating_add(size), size)
            }
            '{' => {
                let n = repetitions(&text[at + 1..]).unwrap_or(1);
                let added = last.saturating_mul(n.saturating_sub(1));
                n_repeated = n_repeated.saturating_add(added);
                (size.saturating_add(added), last.saturating_mul(n))
            }
            '\\' => {
                chars.next();
                (size + 1, 1)
            }
            _ => (size.saturating_add(1), 1),
        };
        groups.push((size, last));
    }
    if n_repeated > MAX_REPEATED { Err(GrammarFault::TooManyRepetitions) } else { Ok(()) }
}

/// The largest number of a repetition whose text after `{` is `rest`; `None` if it is none.
fn repetitions(rest: &str) -> Option<u64> {
    let (numbers, _) = rest.split_once('}')?;
    let numbers = numbers.split(',').map(str::trim).filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).try_fold(0, |most, n| Some(most.max(n?)))
}

/// `text` as a literal of a Lark grammar.
pub(super) fn literal(text: &str) -> String {
    // JSON does not escape DEL, which Lark literals cannot contain.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Most bytes of a constraint.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// Most lines of a grammar. Each can be a rule that mentions the next one.
pub(super) const MAX_LINES: usize = 2_000;

/// Most levels of nesting in a constraint.
pub(super) const MAX_DEPTH: usize = 100;

/// Most repetitions of parts, each part counted by its length.
pub(super) const MAX_REPEATED: u64 = 50_000;

/// Most choices.
pub(super) const MAX_CHOICES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_multiply_within_each_other_and_add_up_beside_each_other() {
        for text in ["a{40000}", "(ab{100}){100}", "\\{99999999}", "{\"a\": 99999999}", "x{,9}"] {
            assert_eq!(check_repetitions(text), Ok(()), "{text}");
        }
        for text in
            ["a{60000}", "a{30000}b{30000}", "(a{1000}){1000}", "(a(bc){200}){200}", "a{9,99999}"]
        {
            assert_eq!(check_repetitions(text), Err(GrammarFault::TooManyRepetitions), "{text}");
        }
    }
}
