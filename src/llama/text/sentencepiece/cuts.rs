//! Cuts text for SentencePiece vocabularies where no token reaches across.
//!
//! Merges never reach across such a cut, so the tokens stay the same, and short parts take less
//! memory and time than the whole text. The text is cut before a character that is in no token, or
//! before a space after which no token that began earlier goes on (ADR-0019).

use std::collections::HashSet;

use super::SPACE;

/// Where text may be cut without a change of its tokens.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// The characters of all tokens.
    in_tokens: HashSet<char>,
    /// The characters that a token has before a space, so that no cut is between them.
    before_space: HashSet<char>,
}

impl Cuts {
    /// Learns from the text of a token.
    pub(super) fn learn(&mut self, text: &str) {
        let mut before = None;
        for c in text.chars() {
            if c == SPACE {
                self.before_space.extend(before);
            }
            self.in_tokens.insert(c);
            before = Some(c);
        }
    }

    /// The parts of `text`, none of which is empty.
    pub(super) fn parts<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let (part, after) = rest.split_at(self.cut(rest));
            rest = after;
            (!part.is_empty()).then_some(part)
        })
    }

    /// Where the first part of `text` ends.
    fn cut(&self, text: &str) -> usize {
        let start = text.floor_char_boundary(PART_BYTES);
        let mut before = text[..start].chars().next_back();
        for (at, c) in text[start..].char_indices() {
            let is_cut = match before {
                Some(before) if c == SPACE => !self.before_space.contains(&before),
                Some(_) => !self.in_tokens.contains(&c),
                None => false,
            };
            if is_cut {
                return start + at;
            }
            before = Some(c);
        }
        text.len()
    }
}

/// Shortest part in bytes, except for the last (ADR-0019).
const PART_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_where_no_token_reaches_across() {
        let mut cuts = Cuts::default();
        cuts.learn("\u{2581}ab");
        cuts.learn("a\u{2581}b");
        let long = "b".repeat(PART_BYTES);
        let cut = |end: &str| {
            let text = format!("{long}{end}");
            cuts.cut(&text) - PART_BYTES
        };
        assert_eq!(cut("bb\u{2581}ab"), 2);
        assert_eq!(cut("ba\u{2581}b\0b"), 6);
        assert_eq!(cut("ab"), 2);
    }

    #[test]
    fn parts_are_the_text() {
        let mut cuts = Cuts::default();
        for text in ["\u{2581}", "a", "b"] {
            cuts.learn(text);
        }
        let text =
            format!("{}b\0{}\0\0", "a".repeat(PART_BYTES + 9), "b\u{2581}".repeat(PART_BYTES));
        let parts: Vec<&str> = cuts.parts(&text).collect();
        assert!(parts.len() > 3, "{} parts", parts.len());
        assert_eq!(parts.concat(), text);
        assert_eq!(cuts.parts("").count(), 0);
    }
}
