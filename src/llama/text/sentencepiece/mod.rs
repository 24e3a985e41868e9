//! The tokenizer for SentencePiece vocabularies. It gives the tokens that llama.cpp gives, in a
//! time that is nearly proportional to the length of the text, and can be stopped.
//!
//! llama.cpp goes through all special tokens for each text, of which Gemma's vocabulary has 6,400,
//! and copies all tokens so far for each character that is in no token. Here the caller has split
//! the text at special tokens ([`super::special`]). The text is then cut where no token reaches
//! across ([`cuts`]), and the parts are merged ([`merges`]) as `llm_tokenizer_spm_session` in
//! `llama-vocab.cpp` does: the pair of neighbours whose token has the highest score first, of equal
//! ones the leftmost (ADR-0019).

mod cuts;
mod merges;

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::domain::{Refusal, Token};
use crate::engine::PromptLimit;

use self::cuts::Cuts;
use self::merges::{Merges, Scored};

/// A token of the vocabulary, as the tokenizer needs it.
pub(super) struct SentencePieceToken<'t> {
    pub(super) token: Token,
    /// Its text, in which U+2581 stands for a space.
    pub(super) text: &'t str,
    pub(super) score: f32,
}

/// The tokenizer of a SentencePiece vocabulary.
#[derive(Debug)]
pub(super) struct SentencePiece {
    table: TokenTable,
    cuts: Cuts,
    /// The tokens of the 256 bytes, for characters that are in no token.
    bytes: [Token; 256],
    /// Whether a space is added before every text.
    adds_space: bool,
}

/// The tokens by their texts.
#[derive(Debug, Default)]
struct TokenTable {
    /// The texts of all tokens, one after the other.
    texts: String,
    tokens: Vec<TableToken>,
    /// Indices into `tokens`.
    index: HashTable<u32>,
    hasher: RandomState,
    /// Length in bytes of the longest text.
    longest: usize,
}

#[derive(Debug)]
struct TableToken {
    start: usize,
    end: usize,
    scored: Scored,
}

impl SentencePiece {
    /// Takes the tokens that text can become, and the tokens of the bytes. `adds_space` says
    /// whether a space is added before every text.
    pub(super) fn new<'t>(
        tokens: impl Iterator<Item = SentencePieceToken<'t>>,
        bytes: [Token; 256],
        adds_space: bool,
    ) -> Self {
        let mut table = TokenTable::default();
        let mut cuts = Cuts::default();
        for token in tokens {
            cuts.learn(token.text);
            table.insert(&token);
        }
        Self { table, cuts, bytes, adds_space }
    }

    /// Appends the tokens of `text` to `tokens`. The text has no special tokens.
    ///
    /// # Errors
    /// Those of [`PromptLimit::check`].
    pub(super) fn tokenize(
        &self,
        text: &str,
        limit: &PromptLimit,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Refusal> {
        let mut escaped = String::with_capacity(text.len() * 2);
        if self.adds_space {
            escaped.push(SPACE);
        }
        escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let mut merges = Merges::default();
        for part in self.cuts.parts(&escaped) {
            limit.check()?;
            merges.run(part, |text| self.table.get(text), limit)?;
            for symbol in merges.symbols(part) {
                match self.table.get(symbol) {
                    Some(found) => tokens.push(found.token),
                    None => tokens.extend(symbol.bytes().map(|byte| self.bytes[usize::from(byte)])),
                }
            }
        }
        Ok(())
    }
}

impl TokenTable {
    fn insert(&mut self, token: &SentencePieceToken<'_>) {
        let start = self.texts.len();
        self.texts.push_str(token.text);
        self.longest = self.longest.max(token.text.len());
        let scored = Scored { token: token.token, score: token.score };
        let index = u32::try_from(self.tokens.len()).expect("tokens are numbered with 31 bits");
        self.tokens.push(TableToken { start, end: self.texts.len(), scored });
        let Self { texts, tokens, index: table, hasher, .. } = self;
        let text = |index: u32| {
            let TableToken { start, end, .. } = tokens[index as usize];
            &texts[start..end]
        };
        let hash = hasher.hash_one(token.text);
        table.insert_unique(hash, index, |&index| hasher.hash_one(text(index)));
    }

    /// The token with this text.
    fn get(&self, text: &str) -> Option<Scored> {
        if text.len() > self.longest {
            return None;
        }
        let is_text = |&index: &u32| {
            let TableToken { start, end, .. } = self.tokens[index as usize];
            &self.texts[start..end] == text
        };
        let index = self.index.find(self.hasher.hash_one(text), is_text)?;
        Some(self.tokens[*index as usize].scored)
    }
}

/// What stands for a space in the tokens of SentencePiece.
const SPACE: char = '\u{2581}';

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer with these tokens, numbered from 1,000, each with its score.
    fn tokenizer(tokens: &[(&str, f32)], adds_space: bool) -> SentencePiece {
        let tokens = (1000..).zip(tokens);
        let tokens =
            tokens.map(|(token, &(text, score))| SentencePieceToken { token, text, score });
        let bytes = std::array::from_fn(|byte| Token::try_from(byte).unwrap());
        SentencePiece::new(tokens, bytes, adds_space)
    }

    fn tokens(tokenizer: &SentencePiece, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        tokenizer.tokenize(text, &PromptLimit::none(), &mut tokens).unwrap();
        tokens
    }

    #[test]
    fn pair_with_the_highest_score_is_merged_first() {
        let list = [("a", 0.0), ("b", 0.0), ("c", 0.0), ("ab", -2.0), ("bc", -1.0), ("aa", -1.0)];
        let tokenizer = tokenizer(&list, false);
        assert_eq!(tokens(&tokenizer, "abc"), [1000, 1004]);
        assert_eq!(tokens(&tokenizer, "aaa"), [1005, 1000]);
        assert!(tokens(&tokenizer, "").is_empty());
    }

    #[test]
    fn character_without_a_token_becomes_its_bytes() {
        let tokenizer = tokenizer(&[("\u{2581}", 0.0), ("a", 0.0)], true);
        assert_eq!(tokens(&tokenizer, "é a"), [1000, 0xc3, 0xa9, 1000, 1001]);
    }

    #[test]
    fn cancelled_text_is_not_tokenized_to_its_end() {
        let tokenizer = tokenizer(&[("a", 0.0), ("aa", 0.0)], false);
        let cancel = crate::engine::CancelFlag::default();
        cancel.set();
        let limit = PromptLimit::new(cancel, std::time::Duration::MAX, "prompt");
        let refused = tokenizer.tokenize("a", &limit, &mut Vec::new());
        assert!(matches!(refused, Err(Refusal::NotTokenized { .. })), "{refused:?}");
    }
}
