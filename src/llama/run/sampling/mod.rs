//! Draws the next token from logits, according to the parameters of a request.
//!
//! The order is the same as in llama.cpp's default sampler chain: logit biases, penalties, `top_k`,
//! `typical_p`, `top_p`, `min_p`, temperature, draw. Biases and [`penalties`] change few tokens and
//! are applied to the logits in place. Then the logits are cut down to the few [`candidates`] that
//! the parameters can leave, and llama.cpp's own samplers run on these candidates (ADR-0008). The
//! full chain on the whole vocabulary would have the same distribution.

mod candidates;
mod cut;
mod logprobs;
mod penalties;
mod sampler;
#[cfg(test)]
mod tests;

pub(super) use self::candidates::likeliest;
pub(super) use self::sampler::Sampler;
