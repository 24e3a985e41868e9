//! What tokens a constrained answer may go on with.

use std::fmt::Debug;

use crate::domain::Token;

/// A constraint on one answer, and how far the answer has come in it.
///
/// The engine asks for the allowed tokens before it samples a token, and reports the one that it
/// sampled. It never takes a token back: tokens of drafts are reported once they are accepted.
pub trait AnswerConstraint: Debug + Send {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// Why the constraint cannot say, for example because it would take too much time. The request
    /// fails then.
    fn allowed(&mut self) -> Result<AllowedTokens<'_>, String>;

    /// The tokens that have to come next, as far as there is no choice; may be empty.
    fn forced(&mut self) -> &[Token];

    /// Learns that the answer goes on with `token`, which was allowed.
    ///
    /// # Errors
    /// The token was not allowed, or the constraint cannot go on.
    fn accept(&mut self, token: Token) -> Result<(), String>;
}

/// The tokens that an answer may go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedTokens<'a> {
    /// All tokens.
    Any,
    /// No token but this one.
    Only(Token),
    /// The tokens of this set, which is not empty.
    Of(&'a TokenSet),
    /// None: the answer is complete.
    Nothing,
}

/// A set of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSet {
    /// A bit for each token, the lowest first.
    words: Vec<u32>,
}

impl TokenSet {
    /// The set that has the tokens whose bits are set in `words`, the lowest bit first.
    pub fn from_words(words: &[u32]) -> Self {
        Self { words: words.to_vec() }
    }

    /// The set of the first `n_tokens` tokens.
    pub fn all(n_tokens: usize) -> Self {
        let mut words = vec![u32::MAX; n_tokens.div_ceil(WORD_BITS)];
        if let Some(last) = words.last_mut() {
            *last >>= (WORD_BITS - n_tokens % WORD_BITS) % WORD_BITS;
        }
        Self { words }
    }

    /// Becomes the set whose bits are `words`, without a new allocation if there is space.
    pub fn copy_words(&mut self, words: &[u32]) {
        self.words.clear();
        self.words.extend_from_slice(words);
    }

    /// Whether `token` is in the set.
    pub fn contains(&self, token: Token) -> bool {
        let Ok(id) = usize::try_from(token) else { return false };
        self.words.get(id / WORD_BITS).is_some_and(|word| word >> (id % WORD_BITS) & 1 == 1)
    }

    /// Adds a token.
    pub fn insert(&mut self, token: Token) {
        let Ok(id) = usize::try_from(token) else { return };
        if self.words.len() <= id / WORD_BITS {
            self.words.resize(id / WORD_BITS + 1, 0);
        }
        self.words[id / WORD_BITS] |= 1 << (id % WORD_BITS);
    }

    /// Removes a token.
    pub fn remove(&mut self, token: Token) {
        let Ok(id) = usize::try_from(token) else { return };
        if let Some(word) = self.words.get_mut(id / WORD_BITS) {
            *word &= !(1 << (id % WORD_BITS));
        }
    }

    /// The only token of the set; `None` if it has none or several.
    pub fn only(&self) -> Option<Token> {
        let mut words = self.words.iter().enumerate().filter(|&(_, &word)| word != 0);
        let (i, word) = words.next()?;
        let is_only = word.is_power_of_two() && words.next().is_none();
        is_only.then(|| (i * WORD_BITS) as Token + word.trailing_zeros() as Token)
    }

    /// Sets the logits of all tokens that are not in the set to negative infinity.
    pub fn mask(&self, logits: &mut [f32]) {
        let n_known = (self.words.len() * WORD_BITS).min(logits.len());
        let (known, unknown) = logits.split_at_mut(n_known);
        unknown.fill(f32::NEG_INFINITY);
        for (&word, logits) in self.words.iter().zip(known.chunks_mut(WORD_BITS)) {
            match word {
                0 => logits.fill(f32::NEG_INFINITY),
                u32::MAX => {}
                _ => {
                    for (bit, logit) in logits.iter_mut().enumerate() {
                        *logit = if word >> bit & 1 == 1 { *logit } else { f32::NEG_INFINITY };
                    }
                }
            }
        }
    }
}

/// Tokens of one word of a [`TokenSet`].
const WORD_BITS: usize = u32::BITS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_has_the_tokens_that_were_inserted_and_not_removed() {
        for n in [0, 1, 31, 32, 33, 100] {
            let all = TokenSet::all(n);
            assert!((0..n as Token).all(|token| all.contains(token)), "{n}");
            assert!(!all.contains(n as Token) && !all.contains(-1), "{n}");
        }
        let mut set = TokenSet::default();
        set.insert(70);
        assert_eq!(set.only(), Some(70));
        set.insert(3);
        assert_eq!(set.only(), None);
        set.remove(70);
        assert_eq!((set.only(), set.contains(70)), (Some(3), false));
    }

    #[test]
    fn mask_leaves_the_logits_of_the_set_alone() {
        for n in [1, 32, 40, 64, 97] {
            let mut set = TokenSet::default();
            (0..n).step_by(3).for_each(|token| set.insert(token));
            let mut logits: Vec<f32> = (0..n + 5).map(|i| i as f32).collect();
            set.mask(&mut logits);
            for (token, logit) in (0..).zip(logits) {
                let is_in_set = token < n && token % 3 == 0;
                assert_eq!(logit, if is_in_set { token as f32 } else { f32::NEG_INFINITY });
            }
        }
    }
}
