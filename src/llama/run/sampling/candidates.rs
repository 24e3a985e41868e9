//! Which tokens are worth a closer look: selection on the raw logits row.
//!
//! A vocabulary has up to 250,000 tokens and a sampler keeps a few dozen. Building llama.cpp's
//! 12-byte candidate for each of them costs more than drawing, so the few are picked here first,
//! by plain passes over the row that the compiler vectorises.

use std::cmp::Ordering;

use crate::domain::Token;

/// A token and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::llama) struct Candidate {
    pub(in crate::llama) token: Token,
    pub(in crate::llama) logit: f32,
}

/// Elements that are compared at once before one is looked at alone.
const STRIDE: usize = 64;

/// Tokens less likely than the likeliest by this factor's exponent are not sorted at first.
const NUCLEUS_DEPTH: f32 = 12.0;

/// The largest logit; `None` if there is none that is finite.
pub(in crate::llama) fn maximum(row: &[f32]) -> Option<f32> {
    const LANES: usize = 16;
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let max = lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    max.is_finite().then_some(max)
}

/// The likeliest token, the first of equals; `None` if no logit is finite.
pub(in crate::llama) fn likeliest(row: &[f32]) -> Option<usize> {
    let max = maximum(row)?;
    row.iter().position(|&logit| logit == max)
}

/// The `k` likeliest tokens in descending order, the lower id first among equals.
pub(in crate::llama) fn top_k(row: &[f32], k: usize) -> Vec<Candidate> {
    let capacity = (4 * k).max(STRIDE);
    let mut kept: Vec<Candidate> = Vec::with_capacity(capacity + STRIDE);
    let mut threshold = f32::NEG_INFINITY;
    for (i, chunk) in row.chunks(STRIDE).enumerate() {
        if !chunk.iter().fold(false, |any, &logit| any | (logit > threshold)) {
            continue;
        }
        let first = i * STRIDE;
        kept.extend(
            chunk
                .iter()
                .enumerate()
                .filter(|&(_, &logit)| logit > threshold)
                .map(|(j, &logit)| Candidate { token: (first + j) as Token, logit }),
        );
        if kept.len() >= capacity {
            kept.select_nth_unstable_by(k - 1, descending);
            kept.truncate(k);
            // Later equals have higher ids, so they rank behind and `>` is right.
            threshold = kept[k - 1].logit;
        }
    }
    kept.sort_unstable_by(descending);
    kept.truncate(k);
    kept
}

/// The tokens whose logit is at least `least`, in descending order.
pub(in crate::llama) fn at_least(row: &[f32], least: f32) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = row
        .iter()
        .enumerate()
        .filter(|&(_, &logit)| logit >= least)
        .map(|(i, &logit)| Candidate { token: i as Token, logit })
        .collect();
    kept.sort_unstable_by(descending);
    kept
}

/// The smallest set of likeliest tokens that has the probability `p`, in descending order.
pub(in crate::llama) fn nucleus(row: &[f32], max: f32, p: f32) -> Vec<Candidate> {
    let goal = f64::from(p) * row.iter().map(|&logit| f64::from((logit - max).exp())).sum::<f64>();
    let reaches = |kept: &[Candidate]| {
        let mut sum = 0.0;
        kept.iter().position(|candidate| {
            sum += f64::from((candidate.logit - max).exp());
            sum >= goal
        })
    };
    let mut kept = at_least(row, max - NUCLEUS_DEPTH);
    let end = reaches(&kept).or_else(|| {
        kept = at_least(row, f32::NEG_INFINITY);
        reaches(&kept)
    });
    if let Some(last) = end {
        kept.truncate(last + 1);
    }
    kept
}

/// Natural logarithm of the sum of the exponentials of the row.
pub(in crate::llama) fn log_sum_exp(row: &[f32], max: f32) -> f32 {
    let sum: f64 = row.iter().map(|&logit| f64::from((logit - max).exp())).sum();
    max + sum.ln() as f32
}

/// By logit, then by id. NaN ranks last.
fn descending(a: &Candidate, b: &Candidate) -> Ordering {
    let by_logit =
        b.logit.partial_cmp(&a.logit).unwrap_or_else(|| a.logit.is_nan().cmp(&b.logit.is_nan()));
    by_logit.then(a.token.cmp(&b.token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(row: &[f32]) -> Vec<Candidate> {
        at_least(row, f32::NEG_INFINITY)
    }

    #[test]
    fn of_equal_logits_the_first_is_the_likeliest() {
        assert_eq!(likeliest(&[0.0, 2.0, 1.0, 2.0]), Some(1));
    }

    #[test]
    fn a_row_without_finite_logits_has_no_likeliest() {
        assert_eq!(likeliest(&[f32::NAN, f32::NEG_INFINITY]), None);
        assert_eq!(likeliest(&[f32::INFINITY, 1.0]), None);
    }

    #[test]
    fn the_nucleus_is_the_smallest_set_that_reaches_p() {
        let row = [0.5f32.ln(), 0.1f32.ln(), 0.4f32.ln()];
        let ids = |p| nucleus(&row, row[0], p).iter().map(|c| c.token).collect::<Vec<_>>();
        assert_eq!(ids(0.45), [0]);
        assert_eq!(ids(0.85), [0, 2]);
        assert_eq!(ids(0.95), [0, 2, 1]);
    }

    #[test]
    fn a_flat_row_has_a_nucleus_beyond_the_first_look() {
        let mut row = vec![-13.0; 100_000];
        row[7] = 0.0;
        assert!(nucleus(&row, 0.0, 0.9).len() > 1000);
    }

    proptest! {
        #[test]
        fn top_k_is_the_beginning_of_the_sorted_row(
            row in prop::collection::vec((-40i32..40).prop_map(|n| n as f32 / 4.0), 1..700),
            k in 1usize..60,
        ) {
            let expected: Vec<_> = sorted(&row).into_iter().take(k).collect();
            prop_assert_eq!(top_k(&row, k), expected);
        }
    }
}
