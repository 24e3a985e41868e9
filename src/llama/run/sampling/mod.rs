//! Draws the next token: what a request's parameters mean for a row of logits.
//!
//! The order is llama.cpp's own default: biases, penalties, `top_k`, `typical_p`, `top_p`,
//! `min_p`, temperature, draw. Biases and penalties touch single tokens and are applied to the
//! row in place; then the row is cut down to the few candidates the parameters leave
//! ([`candidates`]), and llama.cpp's sampler chain does the rest on those. The outcome has
//! the same distribution as the full chain on the whole vocabulary; a test draws both.

use std::collections::{HashMap, VecDeque};

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use crate::domain::{Logprob, Params, Token, TokenLogprobs};
use crate::engine::{Sampled, Vocabulary};

use self::candidates::Candidate;

pub(super) mod candidates;

/// llama.cpp's seed for "draw one" (`LLAMA_DEFAULT_SEED` in `llama.h`).
const RANDOM_SEED: u32 = u32::MAX;

/// Temperatures below are greedy. Dividing by them would overflow, and long before that leaves
/// the likeliest token alone.
const GREEDY_BELOW: f32 = 1e-6;

/// Tokens further than this below the likeliest have no probability as a number of 32 bits, of
/// whose logarithm llama.cpp's `typical` sampler would make a NaN.
const IMPROBABLE: f32 = 85.0;

/// One request's sampling.
pub struct Sampler {
    biases: Vec<(usize, f32)>,
    penalties: Option<Penalties>,
    choice: Choice,
    logprobs: usize,
}

/// How the token is chosen from the row.
enum Choice {
    /// The likeliest.
    Greedy,
    /// By llama.cpp's chain, on what the cut leaves.
    Drawn { cut: Cut, depth: f32, chain: LlamaSampler },
}

/// What can be left out before the chain runs, without changing what it draws.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    /// All but the k likeliest.
    TopK(usize),
    /// All but the nucleus; the chain then has no `top_p`.
    TopP(f32),
    /// All less likely than this fraction of the likeliest.
    MinP(f32),
    /// Nothing: the parameters look at every token.
    Nothing,
}

impl Sampler {
    /// One that never draws `forbidden` tokens.
    pub(in crate::llama) fn new(
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
        let choice = if params.temp < GREEDY_BELOW {
            Choice::Greedy
        } else {
            let cut = Cut::of(params, n_vocab);
            let depth = if params.typical_p < 1.0 { IMPROBABLE } else { f32::INFINITY };
            Choice::Drawn { cut, depth, chain: chain(params, cut) }
        };
        Self {
            biases,
            penalties: Penalties::new(params, prompt),
            choice,
            logprobs: usize::from(params.logprobs),
        }
    }

    /// Draws a token from `row`, which it changes. `piece` gives the bytes of a token.
    ///
    /// # Errors
    /// Where no logit is finite.
    pub(in crate::llama) fn draw<'p>(
        &mut self,
        row: &mut [f32],
        piece: impl Fn(Token) -> &'p [u8],
    ) -> Result<Sampled, String> {
        let no_choice = || "the model computed no usable numbers for the next token".to_owned();
        let probabilities = match self.logprobs {
            0 => None,
            n => Some(Probabilities::of(row, n).ok_or_else(no_choice)?),
        };
        // The row is changed below, so what is reported is taken from it first.
        let raw = probabilities.is_some().then(|| row.to_vec());
        for &(token, bias) in &self.biases {
            row[token] += bias;
        }
        if let Some(penalties) = &self.penalties {
            penalties.apply(row);
        }
        let token = match &mut self.choice {
            Choice::Greedy => candidates::likeliest(row).ok_or_else(no_choice)? as Token,
            Choice::Drawn { cut, depth, chain } => {
                let max = candidates::maximum(row).ok_or_else(no_choice)?;
                let floor = max - *depth;
                let drawn = cut.draw(row, max, floor, chain);
                drawn.selected_token().ok_or_else(no_choice)?.0
            }
        };
        if let Some(penalties) = &mut self.penalties {
            penalties.add(token);
        }
        let logprobs = probabilities.zip(raw).map(|(p, raw)| p.report(token, &raw, piece));
        Ok(Sampled { token, logprobs })
    }
}

impl Cut {
    fn of(params: &Params, n_vocab: usize) -> Self {
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

    /// What is left at or above `floor` after the cut and `chain`, with the one that `chain` drew selected.
    fn draw(
        self,
        row: &[f32],
        max: f32,
        floor: f32,
        chain: &mut LlamaSampler,
    ) -> LlamaTokenDataArray {
        let data = self.apply(row, max).into_iter();
        let data = data.filter(|candidate| candidate.logit >= floor).map(token_data).collect();
        let mut data = LlamaTokenDataArray::new(data, true);
        data.apply_sampler(chain);
        data
    }

    /// The candidates in descending order.
    fn apply(self, row: &[f32], max: f32) -> Vec<Candidate> {
        match self {
            Self::TopK(k) => candidates::top_k(row, k),
            Self::TopP(p) => candidates::nucleus(row, max, p),
            Self::MinP(p) => candidates::at_least(row, max + p.ln()),
            Self::Nothing => candidates::at_least(row, f32::NEG_INFINITY),
        }
    }
}

fn token_data(Candidate { token, logit }: Candidate) -> LlamaTokenData {
    LlamaTokenData::new(LlamaToken(token), logit, 0.0)
}

/// llama.cpp's samplers behind the cut. Each keeps at least one token.
fn chain(params: &Params, cut: Cut) -> LlamaSampler {
    let keeps_nucleus = params.top_p < 1.0 && !matches!(cut, Cut::TopP(_));
    let samplers = [
        (params.typical_p < 1.0).then(|| LlamaSampler::typical(params.typical_p, 1)),
        keeps_nucleus.then(|| LlamaSampler::top_p(params.top_p, 1)),
        (params.min_p > 0.0).then(|| LlamaSampler::min_p(params.min_p, 1)),
        Some(LlamaSampler::temp(params.temp)),
        Some(LlamaSampler::dist(params.seed.unwrap_or(RANDOM_SEED))),
    ];
    LlamaSampler::chain(samplers.into_iter().flatten(), true)
}

/// The last tokens, and what repeating one costs.
struct Penalties {
    repeat: f32,
    presence: f32,
    frequency: f32,
    /// `None` remembers everything.
    longest: Option<usize>,
    window: VecDeque<Token>,
    counts: HashMap<Token, u32>,
}

impl Penalties {
    /// `None` where nothing would be penalised.
    fn new(params: &Params, prompt: &[Token]) -> Option<Self> {
        let Params { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n, .. } =
            *params;
        let is_off = repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0;
        if is_off || repeat_last_n == Some(0) {
            return None;
        }
        let longest = repeat_last_n.map(|n| n as usize);
        let mut penalties = Self {
            repeat: repeat_penalty,
            presence: presence_penalty,
            frequency: frequency_penalty,
            longest,
            window: VecDeque::new(),
            counts: HashMap::new(),
        };
        let first = prompt.len().saturating_sub(longest.unwrap_or(usize::MAX));
        for &token in &prompt[first..] {
            penalties.add(token);
        }
        Some(penalties)
    }

    fn add(&mut self, token: Token) {
        self.window.push_back(token);
        *self.counts.entry(token).or_default() += 1;
        if self.longest.is_some_and(|longest| self.window.len() > longest)
            && let Some(oldest) = self.window.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
    }

    /// As llama.cpp's `penalties` sampler does it.
    fn apply(&self, row: &mut [f32]) {
        for (&token, &count) in &self.counts {
            let Some(logit) = usize::try_from(token).ok().and_then(|id| row.get_mut(id)) else {
                continue;
            };
            *logit = if *logit <= 0.0 { *logit * self.repeat } else { *logit / self.repeat };
            *logit -= count as f32 * self.frequency + self.presence;
        }
    }
}

/// The likeliest tokens of an untouched row.
struct Probabilities {
    log_sum: f32,
    top: Vec<Candidate>,
}

impl Probabilities {
    fn of(row: &[f32], n: usize) -> Option<Self> {
        let log_sum = candidates::log_sum_exp(row, candidates::maximum(row)?);
        Some(Self { log_sum, top: candidates::top_k(row, n) })
    }

    fn report<'p>(
        self,
        token: Token,
        raw: &[f32],
        piece: impl Fn(Token) -> &'p [u8],
    ) -> TokenLogprobs {
        let logprob = |token: Token, logit: f32| Logprob {
            token,
            bytes: piece(token).to_vec(),
            logprob: logit - self.log_sum,
        };
        let chosen = logprob(token, raw[token as usize]);
        let top = self.top.iter().map(|c| logprob(c.token, c.logit)).collect();
        TokenLogprobs { chosen, top }
    }
}

#[cfg(test)]
mod tests;
