//! Log probabilities of tokens whose text is held back, because it may be the start of a stop
//! string. They are sent with the text, or cut off with it.

use std::collections::VecDeque;

use crate::domain::TokenLogprobs;

/// The log probabilities of the last tokens, in their order.
#[derive(Debug, Default)]
pub(super) struct HeldLogprobs {
    /// With the position in the answer at which the text of the token begins, in bytes.
    tokens: VecDeque<(usize, TokenLogprobs)>,
}

impl HeldLogprobs {
    /// Adds those of a token whose text begins at `start`.
    pub(super) fn push(&mut self, start: usize, logprobs: TokenLogprobs) {
        self.tokens.push_back((start, logprobs));
    }

    /// Takes those of the tokens of which some text is before `end`.
    pub(super) fn before(&mut self, end: usize) -> impl Iterator<Item = TokenLogprobs> {
        let n = self.tokens.iter().take_while(|(start, _)| *start < end).count();
        self.tokens.drain(..n).map(|(_, logprobs)| logprobs)
    }

    /// Takes all.
    pub(super) fn all(&mut self) -> impl Iterator<Item = TokenLogprobs> {
        self.tokens.drain(..).map(|(_, logprobs)| logprobs)
    }

    /// Forgets all: their text was cut off.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
    }
}
