//! Selects the few candidates that sampling considers from the logits of all tokens.
//!
//! A vocabulary has up to 250,000 tokens, of which a sampler leaves a few dozen. Building
//! llama.cpp's 12-byte candidate for each token costs more than drawing one. So the candidates are
//! selected first, in simple passes over the logits that the compiler vectorizes (ADR-0008).

use std::cmp::Ordering;

use crate::domain::Token;

/// A token and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TokenLogit {
    pub(super) token: Token,
    pub(super) logit: f32,
}

/// The largest logit, ignoring NaN; `None` if it is not finite.
pub(super) fn maximum(logits: &[f32]) -> Option<f32> {
    const LANES: usize = 16;
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let max = lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    max.is_finite().then_some(max)
}

/// The most likely token, with the lowest id among equals; `None` if its logit is not finite.
pub(in crate::llama::run) fn likeliest(logits: &[f32]) -> Option<usize> {
    let max = maximum(logits)?;
    logits.iter().position(|&logit| logit == max)
}

/// Logits that are compared with the threshold at once, before any of them is looked at alone.
const STRIDE: usize = 64;

/// The `k` most likely tokens in descending order, the lower id first among equals.
pub(super) fn top_k(logits: &[f32], k: usize) -> Vec<TokenLogit> {
    let capacity = (4 * k).max(STRIDE);
    let mut selected: Vec<TokenLogit> = Vec::with_capacity(capacity + STRIDE);
    let mut threshold = f32::NEG_INFINITY;
    for (i, chunk) in logits.chunks(STRIDE).enumerate() {
        if !chunk.iter().fold(false, |any, &logit| any | (logit > threshold)) {
            continue;
        }
        let first = i * STRIDE;
        selected.extend(
            chunk
                .iter()
                .enumerate()
                .filter(|&(_, &logit)| logit > threshold)
                .map(|(j, &logit)| TokenLogit { token: (first + j) as Token, logit }),
        );
        if selected.len() >= capacity {
            selected.select_nth_unstable_by(k - 1, descending);
            selected.truncate(k);
            // A later token with an equal logit has a higher id and ranks lower, so only larger
            // logits are still of interest.
            threshold = selected[k - 1].logit;
        }
    }
    selected.sort_unstable_by(descending);
    selected.truncate(k);
    selected
}

/// The tokens whose logit is at least `min`, in descending order.
pub(super) fn at_least(logits: &[f32], min: f32) -> Vec<TokenLogit> {
    let mut selected: Vec<TokenLogit> = logits
        .iter()
        .enumerate()
        .filter(|&(_, &logit)| logit >= min)
        .map(|(i, &logit)| TokenLogit { token: i as Token, logit })
        .collect();
    selected.sort_unstable_by(descending);
    selected
}

/// Logits further than this below the largest are sorted only if the others do not reach the
/// probability of the nucleus.
const NUCLEUS_DEPTH: f32 = 12.0;

/// The nucleus: the smallest set of most likely tokens that together have at least the probability
/// `p`, in descending order. `max` is the largest logit.
pub(super) fn nucleus(logits: &[f32], max: f32, p: f32) -> Vec<TokenLogit> {
    let total = logits.iter().map(|&logit| f64::from((logit - max).exp())).sum::<f64>();
    let target = f64::from(p) * total;
    let last_of_nucleus = |selected: &[TokenLogit]| {
        let mut sum = 0.0;
        selected.iter().position(|candidate| {
            sum += f64::from((candidate.logit - max).exp());
            sum >= target
        })
    };
    let mut selected = at_least(logits, max - NUCLEUS_DEPTH);
    let last = last_of_nucleus(&selected).or_else(|| {
        selected = at_least(logits, f32::NEG_INFINITY);
        last_of_nucleus(&selected)
    });
    if let Some(last) = last {
        selected.truncate(last + 1);
    }
    selected
}

/// The natural logarithm of the sum of the exponentials of the logits. `max` is the largest.
pub(super) fn log_sum_exp(logits: &[f32], max: f32) -> f32 {
    let sum: f64 = logits.iter().map(|&logit| f64::from((logit - max).exp())).sum();
    max + sum.ln() as f32
}

/// Orders by descending logit, NaN last, then by ascending id.
fn descending(a: &TokenLogit, b: &TokenLogit) -> Ordering {
    let by_logit =
        b.logit.partial_cmp(&a.logit).unwrap_or_else(|| a.logit.is_nan().cmp(&b.logit.is_nan()));
    by_logit.then(a.token.cmp(&b.token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(logits: &[f32]) -> Vec<TokenLogit> {
        at_least(logits, f32::NEG_INFINITY)
    }

    #[test]
    fn likeliest_token_has_the_lowest_id_among_equals() {
        assert_eq!(likeliest(&[0.0, 2.0, 1.0, 2.0]), Some(1));
    }

    #[test]
    fn logits_without_finite_maximum_have_no_likeliest_token() {
        assert_eq!(likeliest(&[f32::NAN, f32::NEG_INFINITY]), None);
        assert_eq!(likeliest(&[f32::INFINITY, 1.0]), None);
    }

    #[test]
    fn nucleus_is_the_smallest_set_that_reaches_p() {
        let logits = [0.5f32.ln(), 0.1f32.ln(), 0.4f32.ln()];
        let ids = |p| nucleus(&logits, logits[0], p).iter().map(|c| c.token).collect::<Vec<_>>();
        assert_eq!(ids(0.45), [0]);
        assert_eq!(ids(0.85), [0, 2]);
        assert_eq!(ids(0.95), [0, 2, 1]);
    }

    #[test]
    fn nucleus_of_flat_logits_reaches_below_the_first_cut() {
        let mut logits = vec![-13.0; 100_000];
        logits[7] = 0.0;
        assert!(nucleus(&logits, 0.0, 0.9).len() > 1000);
    }

    proptest! {
        #[test]
        fn top_k_is_the_start_of_the_sorted_logits(
            logits in prop::collection::vec((-40i32..40).prop_map(|n| n as f32 / 4.0), 1..700),
            k in 1usize..60,
        ) {
            let expected: Vec<_> = sorted(&logits).into_iter().take(k).collect();
            prop_assert_eq!(top_k(&logits, k), expected);
        }
    }
}
