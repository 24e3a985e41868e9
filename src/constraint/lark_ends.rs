//! Tokens in a Lark grammar that end the answer.
//!
//! The engine ends an answer at such a token, whatever the grammar says about the text after it. So
//! these are refused where something may follow.

use std::iter::Peekable;
use std::str::CharIndices;

use super::fault::GrammarFault;

/// A token of the vocabulary in a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LarkToken<'a> {
    /// By its text, with the brackets.
    Named(&'a str),
    /// One of these numbers.
    Numbered(u32, u32),
}

/// Refuses a grammar with tokens that end the answer (`is_end`) elsewhere than at the end of an
/// alternative of the rule `start`.
pub(super) fn check_ends(
    grammar: &str,
    is_end: &dyn Fn(LarkToken<'_>) -> bool,
) -> Result<(), GrammarFault> {
    let parts = parts_of(grammar);
    let n_starts = parts.iter().filter(|part| part.text == "start").count();
    let (mut depth, mut is_start) = (0usize, false);
    for (i, part) in parts.iter().enumerate() {
        let next = parts.get(i + 1).map_or("\n", |next| next.text);
        match part.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            text if i == 0 || parts[i - 1].text == "\n" => {
                // A line that begins with an alternative goes on with the rule before.
                is_start = text == "start" || text == "|" && is_start;
            }
            text if text.starts_with('<') && tokens_in(text).into_iter().any(is_end) => {
                let is_last = depth == 0 && matches!(next, "\n" | "|");
                if !(is_start && is_last && n_starts == 1) {
                    return Err(GrammarFault::Invalid(format!(
                        "line {}: the token {text} ends the answer: leave it out, or write it at \
                         the end of the rule start only",
                        part.line
                    )));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The tokens that `text` stands for, which has the form `<name>` or `<[1,3-5]>`.
fn tokens_in(text: &str) -> Vec<LarkToken<'_>> {
    let Some(numbers) = text.strip_prefix("<[").and_then(|text| text.strip_suffix("]>")) else {
        return vec![LarkToken::Named(text)];
    };
    let ranges = numbers.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(LarkToken::Numbered(first.trim().parse().ok()?, last.trim().parse().ok()?))
    });
    ranges.collect()
}

/// A part of a grammar.
struct LarkPart<'a> {
    text: &'a str,
    /// Counted from 1.
    line: usize,
}

/// The parts of `grammar`: line breaks that are not followed by another, brackets, tokens, names,
/// and others. White space and comments are left out, and of texts the content.
fn parts_of(grammar: &str) -> Vec<LarkPart<'_>> {
    let mut parts: Vec<LarkPart<'_>> = Vec::new();
    let mut line = 1;
    let mut chars = grammar.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let begin_line = line;
        match char {
            '\n' => {
                line += 1;
                if parts.last().is_none_or(|part| part.text == "\n") {
                    continue;
                }
            }
            '#' => skip(&mut chars, |char| char != '\n'),
            '/' if chars.peek().is_some_and(|&(_, next)| next == '/') => {
                skip(&mut chars, |char| char != '\n');
            }
            '"' | '/' => {
                while let Some((_, inner)) = chars.next() {
                    match inner {
                        '\\' => drop(chars.next()),
                        _ if inner == char => break,
                        _ => line += usize::from(inner == '\n'),
                    }
                }
            }
            '<' => {
                skip(&mut chars, |char| char != '>' && !char.is_whitespace());
                let _ = chars.next_if(|&(_, char)| char == '>');
            }
            _ if is_name(char) => skip(&mut chars, is_name),
            _ => {}
        }
        let is_comment = char == '#' || grammar[at..].starts_with("//");
        if is_comment || char.is_whitespace() && char != '\n' {
            continue;
        }
        let end = chars.peek().map_or(grammar.len(), |&(end, _)| end);
        let text = if matches!(char, '"' | '/') { "\"" } else { &grammar[at..end] };
        parts.push(LarkPart { text, line: begin_line });
    }
    parts
}

fn skip(chars: &mut Peekable<CharIndices<'_>>, is_skipped: impl Fn(char) -> bool) {
    while chars.next_if(|&(_, char)| is_skipped(char)).is_some() {}
}

fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(grammar: &str) -> Result<(), String> {
        let is_end = |token: LarkToken<'_>| match token {
            LarkToken::Named(name) => name == "<|end|>",
            LarkToken::Numbered(first, last) => (first..=last).contains(&7),
        };
        check_ends(grammar, &is_end).map_err(|fault| fault.to_string())
    }

    #[test]
    fn token_that_ends_the_answer_is_refused_unless_nothing_can_follow() {
        for grammar in [
            "start: \"a\" <|end|>",
            "start: \"a\" <|end|> // comment\n  | b <[7]>\n\nb: \"<|end|>\" /<|end|>/ <|other|>\n",
            "# start: <|end|> \"x\"\nstart: <[1-6,8]> \"x\"",
            "start: %json {\"const\": \"<|end|>\"} \"x\"",
        ] {
            assert_eq!(check(grammar), Ok(()), "{grammar}");
        }
        for grammar in [
            "start: \"a\" <|end|> \"b\"",
            "start: <|end|> \"x\"",
            "start: \"a\" (<|end|>) \"b\"",
            "start: \"a\" <|end|>?",
            "start: a \"b\"\na: <|end|>",
            "start: a | <|end|>\na: start \"x\"",
            "start: <[3-9]> \"x\"",
            "start: a\n\na: \"x\" | <[1,7]>\n  | \"y\"",
        ] {
            let fault = check(grammar).unwrap_err();
            assert!(fault.contains(": the token <"), "{fault}");
        }
    }
}
