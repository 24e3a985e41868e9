//! Log probabilities of the tokens in a row of logits.

use crate::domain::{Logprob, Token, TokenLogprobs};

use super::candidates::{self, TokenLogit};

/// What is needed to report log probabilities of a row of logits.
pub(super) struct RowLogprobs {
    /// The logarithm of the sum of the exponentials of the logits.
    log_sum: f32,
    /// The most likely tokens.
    top: Vec<TokenLogit>,
}

impl RowLogprobs {
    /// Prepares a report with the `n` most likely tokens; `None` if no logit is finite.
    pub(super) fn of(logits: &[f32], n: usize) -> Option<Self> {
        let log_sum = candidates::log_sum_exp(logits, candidates::maximum(logits)?);
        Some(Self { log_sum, top: candidates::top_k(logits, n) })
    }

    /// The log probabilities of the chosen `token` and of the most likely tokens. `logits` must be
    /// the logits that were passed to [`Self::of`].
    pub(super) fn report<'p>(
        self,
        token: Token,
        logits: &[f32],
        piece: impl Fn(Token) -> &'p [u8],
    ) -> TokenLogprobs {
        let logprob = |token: Token, logit: f32| Logprob {
            token,
            bytes: piece(token).to_vec(),
            logprob: logit - self.log_sum,
        };
        let chosen = logprob(token, logits[token as usize]);
        let top = self.top.iter().map(|top| logprob(top.token, top.logit)).collect();
        TokenLogprobs { chosen, top }
    }
}
