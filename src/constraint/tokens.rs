//! The tokens of a vocabulary in the form of llguidance: a trie of their bytes.

use llguidance::toktrie::{INVALID_TOKEN, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::domain::Token;
use crate::engine::{Visibility, Vocabulary};

/// Tokenizes text in which no special tokens are found.
pub type Tokenize = Box<dyn Fn(&str) -> Vec<Token> + Send + Sync>;

/// The tokens of a vocabulary.
pub(super) struct VocabularyTokens {
    trie: TokTrie,
    tokenize: Tokenize,
}

impl VocabularyTokens {
    /// The tokens of `vocabulary`, whose text is tokenized by `tokenize`.
    pub(super) fn new(vocabulary: &dyn Vocabulary, tokenize: Tokenize) -> Self {
        let ids = || (0..).take(vocabulary.n_tokens());
        let words: Vec<Vec<u8>> = ids().map(|token| word(vocabulary, token)).collect();
        let ends: Vec<TokenId> =
            ids().filter(|&token| vocabulary.is_end(token)).map(|token| token as TokenId).collect();
        let end = ends.first().copied().unwrap_or(INVALID_TOKEN);
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words);
        let trie = if ends.len() > 1 { trie.with_eos_tokens(&ends) } else { trie };
        Self { trie, tokenize }
    }

    /// The tokens of `text` within a longer text; `None` if they do not have its bytes.
    fn exact_tokens(&self, text: &str) -> Option<Vec<TokenId>> {
        let tokens = self.ids(text);
        if self.have_bytes(&tokens, text) {
            return Some(tokens);
        }
        // The tokenizer adds a space before each text. It is not added after a line break.
        let mut tokens = self.ids(&format!("\n{text}"));
        let start = (1..tokens.len()).find(|&start| self.have_bytes(&tokens[start..], text))?;
        Some(tokens.split_off(start))
    }

    /// What the tokenizer makes of `text`.
    fn ids(&self, text: &str) -> Vec<TokenId> {
        (self.tokenize)(text).into_iter().map(|token| token as TokenId).collect()
    }

    /// Whether `tokens` have exactly the bytes of `text`.
    fn have_bytes(&self, tokens: &[TokenId], text: &str) -> bool {
        tokens.iter().flat_map(|&token| self.trie.token(token)).eq(text.as_bytes())
    }
}

impl TokenizerEnv for VocabularyTokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let text = std::str::from_utf8(bytes).ok();
        let tokens = text.and_then(|text| self.exact_tokens(text));
        tokens.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }
}

/// The bytes of `token` in the trie; empty for one that no text has.
fn word(vocabulary: &dyn Vocabulary, token: Token) -> Vec<u8> {
    let piece = vocabulary.piece(token);
    let is_special = piece.visibility != Visibility::Always || vocabulary.is_end(token);
    match piece.bytes {
        bytes if is_special && !bytes.is_empty() => {
            [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
        }
        bytes => bytes.to_vec(),
    }
}
