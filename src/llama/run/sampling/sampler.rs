//! The sampler of one request.
//!
//! It leaves the allowed tokens, applies biases and penalties to their logits, chooses a token, and
//! reports log probabilities of the allowed tokens without biases and penalties if the request asks
//! for them.

use llama_cpp_2::sampling::LlamaSampler;

use crate::domain::{Params, Token, TokenLogprobs};
use crate::engine::{AllowedTokens, Sampled, TokenSet, Vocabulary};

use super::candidates;
use super::cut::{Cut, chain_after};
use super::logprobs::RowLogprobs;
use super::penalties::Penalties;

/// The sampler of one request: its parameters, its random state and its penalty window.
pub struct Sampler {
    /// Tokens and the biases to add to their logits.
    biases: Vec<(usize, f32)>,
    /// The penalties; `None` if the parameters penalize nothing.
    penalties: Option<Penalties>,
    method: Method,
    /// How many of the most likely tokens to report with each token; 0 reports no log
    /// probabilities.
    n_logprobs: usize,
}

/// How a token is chosen from the logits.
enum Method {
    /// The most likely token.
    Greedy,
    /// A token drawn by `chain` from what `cut` leaves. Candidates whose logit is more than `depth`
    /// below the largest are left out.
    Random { cut: Cut, depth: f32, chain: LlamaSampler },
}

impl Sampler {
    /// The sampler of a request with this prompt. It never draws the `forbidden` tokens.
    pub(in crate::llama::run) fn new(
        params: &Params,
        prompt: &[Token],
        vocabulary: &impl Vocabulary,
        forbidden: impl Iterator<Item = Token>,
    ) -> Self {
        let n_vocab = vocabulary.n_tokens();
        let forbidden = forbidden.map(|token| (token, f32::NEG_INFINITY));
        let biases = params
            .logit_bias
            .iter()
            .copied()
            .chain(forbidden)
            .filter_map(|(token, bias)| Some((usize::try_from(token).ok()?, bias)))
            .filter(|&(token, _)| token < n_vocab)
            .collect();
        let method = if params.temp < MIN_TEMPERATURE {
            Method::Greedy
        } else {
            let cut = Cut::of(params, n_vocab);
            let depth = if params.typical_p < 1.0 { TYPICAL_DEPTH } else { f32::INFINITY };
            Method::Random { cut, depth, chain: chain_after(cut, params) }
        };
        Self {
            biases,
            penalties: Penalties::new(params, prompt),
            method,
            n_logprobs: usize::from(params.logprobs),
        }
    }

    /// Draws one of the `allowed` tokens from `logits`, which it changes. `piece` returns the bytes
    /// of a token.
    ///
    /// # Errors
    /// If no logit of an allowed token is finite.
    pub(in crate::llama::run) fn draw<'p>(
        &mut self,
        logits: &mut [f32],
        allowed: AllowedTokens<'_>,
        piece: impl Fn(Token) -> &'p [u8],
    ) -> Result<Sampled, String> {
        let no_choice = || "the model computed no finite logits for the next token".to_owned();
        match allowed {
            AllowedTokens::Only(token) if self.n_logprobs == 0 => {
                return Ok(self.chosen(token, None));
            }
            AllowedTokens::Only(token) => {
                let mut only = TokenSet::default();
                only.insert(token);
                only.mask(logits);
            }
            AllowedTokens::Of(set) => set.mask(logits),
            AllowedTokens::Any | AllowedTokens::Nothing => {}
        }
        let row_logprobs = match self.n_logprobs {
            0 => None,
            n => Some(RowLogprobs::of(logits, n).ok_or_else(no_choice)?),
        };
        // Log probabilities are reported for the logits without biases and penalties.
        let unchanged = row_logprobs.is_some().then(|| logits.to_vec());
        for &(token, bias) in &self.biases {
            logits[token] += bias;
        }
        if let Some(penalties) = &self.penalties {
            penalties.apply(logits);
        }
        let token = match &mut self.method {
            Method::Greedy => candidates::likeliest(logits).ok_or_else(no_choice)? as Token,
            Method::Random { cut, depth, chain } => {
                let max = candidates::maximum(logits).ok_or_else(no_choice)?;
                let min = max - *depth;
                let drawn = cut.draw(logits, max, min, chain);
                drawn.selected_token().ok_or_else(no_choice)?.0
            }
        };
        let logprobs =
            row_logprobs.zip(unchanged).map(|(row, logits)| row.report(token, &logits, piece));
        Ok(self.chosen(token, logprobs))
    }

    /// Takes `token` as part of the text.
    fn chosen(&mut self, token: Token, logprobs: Option<TokenLogprobs>) -> Sampled {
        if let Some(penalties) = &mut self.penalties {
            penalties.add(token);
        }
        Sampled { token, logprobs }
    }
}

/// Below this temperature the most likely token is chosen. Dividing by a tiny temperature would
/// overflow, and leaves only the most likely token long before that.
const MIN_TEMPERATURE: f32 = 1e-6;

/// The probability of a token further than this below the most likely one may underflow to 0 in 32
/// bits. llama.cpp's `typical` sampler would take its logarithm and compute a NaN.
const TYPICAL_DEPTH: f32 = 85.0;
