//! Words that `docs/STYLE.md` replaces by terms of the field.
//!
//! The glossary's third column lists them in backticks. They are looked for in comments, strings
//! and identifiers, which are split at `_` and at capitals, as whole words in any case. A phrase
//! may run over a line break. `allowed.rs` lists the exceptions.

use std::collections::BTreeMap;

use super::report::Violation;

/// A private word or phrase, and the term to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Private {
    words: Vec<String>,
    term: String,
}

/// A word that may stay in a file, as a flag, JSON field or metric label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) word: &'static str,
    /// The file, or a folder with `/` at the end.
    pub(crate) path: &'static str,
    pub(crate) reason: &'static str,
}

/// The words that the glossary in `page` replaces.
///
/// # Panics
/// If `page` has no glossary.
pub(crate) fn glossary(page: &str) -> Vec<Private> {
    let header = "| term | meaning | replaces |\n|---|---|---|\n";
    let (_, table) = page.split_once(header).expect("docs/STYLE.md has the glossary");
    let mut private = Vec::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for quoted in cells[3].split('`').skip(1).step_by(2) {
            let words = quoted.split_whitespace().map(str::to_lowercase).collect();
            private.push(Private { words, term: cells[1].to_owned() });
        }
    }
    private
}

struct Word {
    text: String,
    line: usize,
    /// Only spaces, hyphens and marks of comments or Markdown separate it from the word before.
    is_joined: bool,
}

/// The private words in `text`, except those that `allowed` lists for `path`.
pub(crate) fn private_words(
    path: &str,
    text: &str,
    private: &[Private],
    allowed: &[Allowed],
) -> Vec<Violation> {
    let mut by_first: BTreeMap<&str, Vec<&Private>> = BTreeMap::new();
    for entry in private {
        by_first.entry(&entry.words[0]).or_default().push(entry);
    }
    let words = split(text);
    let mut violations = Vec::new();
    for (i, word) in words.iter().enumerate() {
        for entry in by_first.get(&word.text[..]).into_iter().flatten() {
            let found = words.get(i..i + entry.words.len()).is_some_and(|found| {
                found.iter().zip(&entry.words).all(|(word, expected)| word.text == *expected)
                    && found[1..].iter().all(|word| word.is_joined)
            });
            let phrase = entry.words.join(" ");
            let is_allowed = allowed.iter().any(|allowed| allows(allowed, path, &phrase));
            if found && !is_allowed {
                let message = format!("\"{phrase}\": write \"{}\" (docs/STYLE.md)", entry.term);
                violations.push(Violation::new(path, word.line, message));
            }
        }
    }
    violations
}

/// Whether `allowed` lists `phrase` for the file at `path`.
pub(crate) fn allows(allowed: &Allowed, path: &str, phrase: &str) -> bool {
    let is_here =
        allowed.path == path || allowed.path.ends_with('/') && path.starts_with(allowed.path);
    is_here && allowed.word == phrase
}

/// The words of `text` in lower case; identifiers are split at `_` and at capitals.
fn split(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let characters: Vec<char> = line.chars().collect();
        let mut starts_word = true;
        let mut is_joined = true;
        for (at, &character) in characters.iter().enumerate() {
            let previous = at.checked_sub(1).map(|before| characters[before]);
            if !character.is_alphanumeric() || previous == Some('\\') {
                is_joined &= character.is_whitespace() || "_-/!#*>".contains(character);
                starts_word = true;
                continue;
            }
            let next_is_lower = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
            let is_capital = character.is_uppercase()
                && previous.is_some_and(|previous| previous.is_lowercase() || next_is_lower);
            let lower = character.to_lowercase();
            match words.last_mut().filter(|_| !starts_word && !is_capital) {
                Some(word) => word.text.extend(lower),
                None => words.push(Word { text: lower.collect(), line: i + 1, is_joined }),
            }
            (starts_word, is_joined) = (false, true);
        }
        if !is_joined {
            // An empty word keeps a phrase from continuing after this punctuation.
            words.push(Word { text: String::new(), line: i + 1, is_joined: false });
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::lines;

    const PAGE: &str = "# Style\n\n| term | meaning | replaces |\n|---|---|---|\n\
                        | device | what works | `gizmo`, `odd gizmo`, thing |\n| host RAM | memory | |\n";

    fn found(text: &str) -> Vec<String> {
        lines(private_words("a.rs", text, &glossary(PAGE), &[]))
    }

    #[test]
    fn glossary_has_the_words_in_backticks() {
        let words: Vec<String> = glossary(PAGE).iter().map(|entry| entry.words.join(" ")).collect();
        assert_eq!(words, ["gizmo", "odd gizmo"]);
    }

    #[test]
    fn word_inside_an_identifier_is_found() {
        for text in ["n_gizmo", "GizmoCount", "HTTPGizmo", "MAX_GIZMO", "gizmo's", "\"\\ngizmo\""] {
            assert_eq!(found(text), ["a.rs:1"], "{text}");
        }
    }

    #[test]
    fn part_of_a_word_is_not_found() {
        for text in ["gizmos", "agizmo", "giz_mo", "thing"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn phrase_is_found_over_a_line_break_but_not_over_punctuation() {
        let page = "| term | meaning | replaces |\n|---|---|---|\n| a | b | `odd gizmo` |\n";
        let found = |text: &str| private_words("a.rs", text, &glossary(page), &[]).len();
        assert_eq!(found("/// an odd\n/// gizmo"), 1);
        assert_eq!(found("odd_gizmo oddGizmo odd-gizmo"), 3);
        assert_eq!(found("If odd, gizmo. And odd.\nGizmo"), 0);
    }

    #[test]
    fn allowed_word_is_found_in_other_files_only() {
        let allowed = [Allowed { word: "gizmo", path: "src/metrics/", reason: "a label" }];
        let count = |path| private_words(path, "gizmo", &glossary(PAGE), &allowed).len();
        assert_eq!((count("src/metrics/page.rs"), count("src/metrics.rs")), (0, 1));
    }
}
