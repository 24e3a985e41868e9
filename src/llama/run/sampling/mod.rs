//! Draws the next token from logits, according to the parameters of a request.
//!
//! The order is that of llama.cpp's default sampler chain: logit biases, penalties, `top_k`,
//! `typical_p`, `top_p`, `min_p`, temperature, draw. Biases and [`penalties`] change few tokens and
//! are applied to the logits in place. Then the logits are cut down to the few [`candidates`] that
//! the parameters can leave, and llama.cpp's own samplers run on those (ADR-0008). The distribution
//! is that of the full chain on the whole vocabulary.

mod candidates;
mod cut;
mod logprobs;
mod penalties;
mod sampler;
#[cfg(test)]
mod tests;

pub(super) use self::candidates::likeliest;
pub(super) use self::sampler::Sampler;
