//! Cuts the logits down to few candidates before llama.cpp's sampler chain runs (ADR-0008).
//!
//! The cut must leave every candidate that the chain could select, so it follows the first sampler
//! of the chain that removes candidates.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use crate::domain::Params;

use super::candidates::{self, TokenLogit};

/// Which candidates are left for the sampler chain. A cut removes only candidates that the full
/// chain would remove.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cut {
    /// The k most likely tokens.
    TopK(usize),
    /// The nucleus of this probability. The chain then needs no `top_p`.
    TopP(f32),
    /// The tokens that are at least this fraction as likely as the most likely one.
    MinP(f32),
    /// All tokens, since the parameters depend on all of them.
    Nothing,
}

impl Cut {
    /// The cut for these parameters. It corresponds to the first sampler in the chain that removes
    /// candidates, if a cut exists for that sampler.
    pub(super) fn of(params: &Params, n_vocab: usize) -> Self {
        let k = params.top_k as usize;
        if (1..n_vocab).contains(&k) {
            Self::TopK(k)
        } else if params.typical_p < 1.0 {
            Self::Nothing
        } else if params.top_p < 1.0 {
            Self::TopP(params.top_p)
        } else if params.min_p > 0.0 {
            Self::MinP(params.min_p)
        } else {
            Self::Nothing
        }
    }

    /// Applies the cut, leaves out candidates that are impossible or whose logit is below `min`,
    /// and runs `chain` on the rest, which selects one. `max` is the largest logit.
    pub(super) fn draw(
        self,
        logits: &[f32],
        max: f32,
        min: f32,
        chain: &mut LlamaSampler,
    ) -> LlamaTokenDataArray {
        let data = self.apply(logits, max).into_iter();
        // Rounding could select a last candidate of probability 0.
        let is_left = |logit: f32| logit >= min && logit > f32::NEG_INFINITY;
        let data = data.filter(|candidate| is_left(candidate.logit)).map(token_data).collect();
        let mut data = LlamaTokenDataArray::new(data, true);
        data.apply_sampler(chain);
        data
    }

    /// The candidates that are left, in descending order.
    fn apply(self, logits: &[f32], max: f32) -> Vec<TokenLogit> {
        match self {
            Self::TopK(k) => candidates::top_k(logits, k),
            Self::TopP(p) => candidates::nucleus(logits, max, p),
            Self::MinP(p) => candidates::at_least(logits, max + p.ln()),
            Self::Nothing => candidates::at_least(logits, f32::NEG_INFINITY),
        }
    }
}

/// The chain of llama.cpp's samplers to run after `cut`. Each leaves at least one candidate.
pub(super) fn chain_after(cut: Cut, params: &Params) -> LlamaSampler {
    let needs_top_p = params.top_p < 1.0 && !matches!(cut, Cut::TopP(_));
    let samplers = [
        (params.typical_p < 1.0).then(|| LlamaSampler::typical(params.typical_p, 1)),
        needs_top_p.then(|| LlamaSampler::top_p(params.top_p, 1)),
        (params.min_p > 0.0).then(|| LlamaSampler::min_p(params.min_p, 1)),
        Some(LlamaSampler::temp(params.temp)),
        Some(LlamaSampler::dist(params.seed.unwrap_or(RANDOM_SEED))),
    ];
    LlamaSampler::chain(samplers.into_iter().flatten(), true)
}

/// With this seed llama.cpp chooses a random one (`LLAMA_DEFAULT_SEED` in `llama.h`).
const RANDOM_SEED: u32 = u32::MAX;

/// llama.cpp's form of a candidate.
pub(super) fn token_data(TokenLogit { token, logit }: TokenLogit) -> LlamaTokenData {
    LlamaTokenData::new(LlamaToken(token), logit, 0.0)
}
