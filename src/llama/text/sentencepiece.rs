//! Cuts text for SentencePiece vocabularies where no token reaches across.
//!
//! llama.cpp copies all tokens so far for each character that is in no token, which becomes a token
//! for each of its bytes. A text of many such characters would take time proportional to the square
//! of their number. It is cut before such a character, or before a space after which no token that
//! began earlier goes on. Merges never reach across such a cut, so the tokens stay the same
//! (ADR-0019).

use std::collections::HashSet;

use crate::domain::Token;

/// Where text may be cut without a change of its tokens.
#[derive(Debug)]
pub(super) struct SentencePieceCuts {
    /// The characters of all tokens.
    in_tokens: HashSet<char>,
    /// The characters that a token has before a space, so that no cut is between them.
    before_space: HashSet<char>,
    /// Number of tokens that llama.cpp adds before each text: the one of a space, or none.
    n_prefix: usize,
}

impl SentencePieceCuts {
    /// Learns from the texts of all tokens that stand for text, in which U+2581 stands for a space.
    /// `n_prefix` is the number of tokens that llama.cpp adds before each text.
    pub(super) fn new<'t>(texts: impl Iterator<Item = &'t str>, n_prefix: usize) -> Self {
        let (mut in_tokens, mut before_space) = (HashSet::new(), HashSet::new());
        for text in texts {
            let mut before = None;
            for c in text.chars() {
                if c == SPACE {
                    before_space.extend(before);
                    in_tokens.insert(' ');
                }
                in_tokens.insert(c);
                before = Some(if c == SPACE { ' ' } else { c });
            }
        }
        Self { in_tokens, before_space, n_prefix }
    }

    /// The tokens of `text`, of which `tokenize` gets one part after the other.
    pub(super) fn tokenize(&self, text: &str, tokenize: impl Fn(&str) -> Vec<Token>) -> Vec<Token> {
        let mut tokens = Vec::new();
        let mut rest = text;
        let mut is_first = true;
        loop {
            let (part, after) = rest.split_at(self.cut(rest));
            // The space that the part begins with is what llama.cpp adds.
            let spaced = part.strip_prefix(' ').filter(|_| !is_first && self.n_prefix > 0);
            let n_added = if is_first || spaced.is_some() { 0 } else { self.n_prefix };
            tokens.extend(tokenize(spaced.unwrap_or(part)).into_iter().skip(n_added));
            if after.is_empty() {
                return tokens;
            }
            (rest, is_first) = (after, false);
        }
    }

    /// Where the first part of `text` ends.
    fn cut(&self, text: &str) -> usize {
        let start = text.floor_char_boundary(PART_BYTES);
        let mut before = text[..start].chars().next_back();
        for (at, c) in text[start..].char_indices() {
            let is_cut = match (before, c) {
                // llama.cpp adds a space before some text only.
                (Some(before), ' ') => {
                    !self.before_space.contains(&before) && start + at + 1 < text.len()
                }
                (Some(_), c) => !self.in_tokens.contains(&c),
                (None, _) => false,
            };
            if is_cut {
                return start + at;
            }
            before = Some(c);
        }
        text.len()
    }
}

/// What stands for a space in the tokens of SentencePiece.
const SPACE: char = '\u{2581}';

/// Shortest part in bytes, except for the last (ADR-0019).
const PART_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are the bytes, after a space that is added.
    fn bytes_after_a_space(text: &str) -> Vec<Token> {
        b" ".iter().chain(text.as_bytes()).map(|&byte| Token::from(byte)).collect()
    }

    #[test]
    fn text_is_cut_where_no_token_reaches_across() {
        let cuts = SentencePieceCuts::new(["\u{2581}ab", "a\u{2581}b"].into_iter(), 1);
        let long = "b".repeat(PART_BYTES);
        let cut = |end: &str| cuts.cut(&format!("{long}{end}")) - PART_BYTES;
        assert_eq!(cut("bb ab"), 2);
        assert_eq!(cut("ba b\0b"), 4);
        assert_eq!(cut("ab"), 2);
        assert_eq!(cut("b "), 2);
    }

    #[test]
    fn parts_have_the_tokens_of_the_whole() {
        let cuts = SentencePieceCuts::new(["\u{2581}", "a", "b"].into_iter(), 1);
        let text = format!("{} b\0{}\0\0", "a".repeat(PART_BYTES + 9), "b ".repeat(PART_BYTES));
        assert_eq!(cuts.tokenize(&text, bytes_after_a_space), bytes_after_a_space(&text));
        assert_eq!(cuts.tokenize("", bytes_after_a_space), bytes_after_a_space(""));
    }
}
