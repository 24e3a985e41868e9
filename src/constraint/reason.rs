//! What llguidance says about a constraint, in one plain line.

/// The reason in a message of llguidance: what is wrong, where, and what to do if that is known.
pub(super) fn plain_reason(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("no reason given");
    let line = placed(first);
    // The regex crate draws the expression first, and says what is wrong in the last line.
    let last = message.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
    let line = match (last, line.split_once("invalid regex ")) {
        (Some(reason), Some((place, _))) => format!("{place}{WRONG_REGEX}{reason}"),
        (Some(reason), None) => format!("{WRONG_REGEX}{reason}"),
        (None, _) => line,
    };
    let whole = WHOLE.iter().find(|(theirs, _)| line.contains(theirs));
    if let Some(&(_, plain)) = whole {
        return plain.to_owned();
    }
    let line = PLAIN.iter().fold(line, |line, (theirs, plain)| line.replace(theirs, plain));
    let is_plain = |char: &char| !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}');
    line.chars().filter(is_plain).take(MAX_REASON_CHARS).collect()
}

/// A line with the place in a grammar, such as `3(14): ` or `at 3(14): `, in words.
fn placed(line: &str) -> String {
    let rest = line.strip_prefix("at ").unwrap_or(line);
    let place = rest.split_once("): ").and_then(|(place, reason)| {
        let (line, column) = place.split_once('(')?;
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        (is_number(line) && is_number(column)).then_some((line, column, reason))
    });
    match place {
        Some((line, column, reason)) => {
            // The kind of the token is a detail of llguidance.
            let reason = reason.split(" (at ").next().unwrap_or(reason);
            format!("line {line}, column {column}: {reason}")
        }
        None => line.to_owned(),
    }
}

/// Begins a reason that is about a regular expression, after the place of it in a grammar.
pub(super) const WRONG_REGEX: &str = "the regular expression is wrong: ";

/// The reason for a refusal of what becomes too large when it is compiled.
pub(super) const TOO_LARGE: &str = "it is too large when its alternatives are combined";

/// Phrases in messages that say nothing else that a client could use, and what they mean.
const WHOLE: &[(&str, &str)] = &[
    ("Too many items", "it prescribes too much text in one piece, or text without end"),
    ("Current row has", "too many of its parts may follow each other: send a simpler one"),
    ("too many expressions", "it is too large: send a shorter or simpler one"),
    ("initial lexer configuration", "it is too large: send a shorter or simpler one"),
    ("initial lexer cost", "it is too large: send a shorter or simpler one"),
    ("Regex is empty", "nothing fits it: no string fits all of its keywords"),
    ("Unable to determine if regex", "its regular expression is too complex"),
    ("doesn't match length constraints", "nothing fits it: const has another length"),
    ("panic", "the compiler of grammars failed on it: send a simpler one"),
];

/// Phrases of llguidance, and what they mean to a client.
const PLAIN: &[(&str, &str)] = &[
    ("NoExtensionBias", "no text fits it"),
    (
        "oneOf constraints are not supported. Enable 'coerce_one_of' option to approximate oneOf \
         with anyOf",
        "the alternatives of oneOf may fit at once: use anyOf, or give each a required member with \
         a const of its own",
    ),
    ("Unsatisfiable schema: anyOf is empty", "nothing fits it: there is no alternative"),
    ("patternProperty regexes", "a name may match two of patternProperties:"),
    (" are not disjoint", ""),
    ("Unsatisfiable schema: ", "nothing fits it: "),
    ("schema too large", TOO_LARGE),
    ("lookarounds not supported yet; Start", "^ is supported at the start only"),
    ("lookarounds not supported yet; End", "$ is supported at the end only"),
    ("Expected f64", "a number is expected"),
    ("lexer error", "nothing that a grammar has begins here"),
];

/// Longest reason in a refusal, in characters.
const MAX_REASON_CHARS: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internals_of_llguidance_are_not_told() {
        for (message, expected) in [
            (
                "Regex is empty: (And (Literal \"x\") (Search ...))",
                "nothing fits it: no string fits all of its keywords",
            ),
            (
                "panic: assertion failed: !is_accepting || empty\n<non-verbose/>",
                "the compiler of grammars failed on it: send a simpler one",
            ),
            (
                "Parser Error: Too many items (limit 50000; ff_tokens); try avoiding lexemes",
                "it prescribes too much text in one piece, or text without end",
            ),
        ] {
            assert_eq!(plain_reason(message), expected);
        }
    }
}
