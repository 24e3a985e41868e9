//! Sampling with a cut against llama.cpp's full chain on the whole vocabulary.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::scripted::Paper;

/// llama.cpp's chain in its default order, on every token.
fn full_chain(params: &Params, n_vocab: usize) -> LlamaSampler {
    let last_n = params.repeat_last_n.map_or(-1, |n| n as i32);
    LlamaSampler::chain(
        [
            LlamaSampler::penalties(
                n_vocab as i32,
                last_n,
                params.repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            ),
            LlamaSampler::top_k(params.top_k as i32),
            LlamaSampler::typical(params.typical_p, 1),
            LlamaSampler::top_p(params.top_p, 1),
            LlamaSampler::min_p(params.min_p, 1),
            LlamaSampler::temp(params.temp),
            LlamaSampler::dist(params.seed.unwrap()),
        ],
        true,
    )
}

fn all(row: &[f32]) -> LlamaTokenDataArray {
    let tokens = row.iter().enumerate();
    let data = tokens.map(|(i, &logit)| token_data(Candidate { token: i as Token, logit }));
    LlamaTokenDataArray::from_iter(data, false)
}

/// The candidates by token, with their probabilities.
fn distribution(array: &LlamaTokenDataArray) -> Vec<(Token, f32)> {
    let mut left: Vec<_> = array.data.iter().map(|data| (data.id().0, data.p())).collect();
    left.sort_by_key(|&(token, _)| token);
    left
}

/// Draws that fell between two neighbours. Some hundred runs of the test had one.
static BETWEEN_NEIGHBOURS: AtomicUsize = AtomicUsize::new(0);

/// Where `token` stands among the candidates, the likeliest first.
fn place(array: &LlamaTokenDataArray, token: Token) -> usize {
    let mut sorted: Vec<_> = array.data.iter().map(|data| (data.logit(), data.id().0)).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted.iter().position(|&(_, id)| id == token).unwrap_or(usize::MAX)
}

/// A row without equal logits, as models compute it: what is drawn among equals is arbitrary.
fn row(n: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-20.0f32..20.0, n).prop_map(|mut row| {
        let mut seen = HashSet::new();
        for (i, logit) in row.iter_mut().enumerate() {
            *logit += i as f32 * 1e-4;
            while !seen.insert(logit.to_bits()) {
                *logit = logit.next_up();
            }
        }
        row
    })
}

fn params() -> impl Strategy<Value = Params> {
    let shape = (0.1f32..2.0, prop_oneof![Just(0u32), 1..300u32], 0.05f32..=1.0, 0.0f32..0.9);
    let typical = prop_oneof![3 => Just(1.0f32), 1 => 0.1f32..1.0];
    let min_p = prop_oneof![Just(true), Just(false)];
    (shape, typical, min_p, 0..1000u32).prop_map(
        |((temp, top_k, top_p, min), typical_p, has_min_p, seed)| Params {
            temp,
            top_k,
            top_p: if top_p > 0.95 { 1.0 } else { top_p },
            min_p: if has_min_p { min } else { 0.0 },
            typical_p,
            seed: Some(seed),
            ..Params::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_cut_leaves_the_distribution_of_the_full_chain(row in row(256), params in params()) {
        let mut theirs = all(&row);
        theirs.apply_sampler(&mut full_chain(&params, row.len()));
        let cut = Cut::of(&params, row.len());
        let max = candidates::maximum(&row).unwrap();
        let ours = cut.draw(&row, max, f32::NEG_INFINITY, &mut chain(&params, cut));
        let (ours, theirs) = (distribution(&ours), distribution(&theirs));
        let tokens = |of: &[(Token, f32)]| of.iter().map(|&(token, _)| token).collect::<Vec<_>>();
        prop_assert_eq!(tokens(&ours), tokens(&theirs));
        for ((token, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            prop_assert!((ours - theirs).abs() < 1e-5, "{}: {} or {}", token, ours, theirs);
        }
    }

    #[test]
    fn with_a_seed_the_same_tokens_are_drawn_as_by_the_full_chain(
        rows in prop::collection::vec(row(Paper.n_tokens()), 12),
        prompt in prop::collection::vec(0i32..256, 0..40),
        params in params(),
        repeat_penalty in 0.5f32..2.0,
        presence_penalty in -1.0f32..1.0,
        frequency_penalty in -1.0f32..1.0,
        repeat_last_n in prop_oneof![Just(None), (0..50u32).prop_map(Some)],
    ) {
        // Without one of these the full chain draws from tokens in the order of their ids, and
        // ours from sorted ones: the same distribution, another token.
        prop_assume!(params.top_k > 0 && (params.top_k as usize) < Paper.n_tokens());
        // An unlimited window is the whole context, which the full chain is told as a number.
        let window = repeat_last_n.unwrap_or(1000);
        let params = Params {
            repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n, ..params
        };
        let mut theirs = full_chain(
            &Params { repeat_last_n: Some(window), ..params.clone() },
            Paper.n_tokens(),
        );
        theirs.accept_many(prompt.iter().map(|&token| LlamaToken(token)));
        let mut ours = Sampler::new(&params, &prompt, &Paper, std::iter::empty());
        for row in rows {
            let mut array = all(&row);
            array.apply_sampler(&mut theirs);
            let expected = array.selected_token().unwrap();
            theirs.accept(expected);
            let drawn = ours.draw(&mut row.clone(), |token| Paper.piece(token)).unwrap();
            if drawn.token != expected.0 {
                // A draw that falls between two neighbours may go to either, as sums are rounded;
                // what is drawn behind it has another text before it.
                let (ours, theirs) = (place(&array, drawn.token), place(&array, expected.0));
                prop_assert_eq!(ours.abs_diff(theirs), 1, "{} and {}", drawn.token, expected.0);
                let n = BETWEEN_NEIGHBOURS.fetch_add(1, Ordering::Relaxed) + 1;
                prop_assert!(n <= 2, "that is no chance any more: {} and {}", ours, theirs);
                break;
            }
        }
    }
}

#[test]
fn the_likeliest_token_is_drawn_at_temperature_zero_whatever_else_is_set() {
    let params = Params { temp: 0.0, top_k: 1, top_p: 0.1, seed: Some(7), ..Params::default() };
    let mut sampler = Sampler::new(&params, &[], &Paper, std::iter::empty());
    let mut row = vec![0.0; Paper.n_tokens()];
    row[42] = 1.0;
    assert_eq!(sampler.draw(&mut row, |token| Paper.piece(token)).unwrap().token, 42);
}

#[test]
fn a_tiny_temperature_is_greedy_and_no_overflow() {
    for temp in [1e-45, 1e-38, 1e-30, 9e-7, 1e-5] {
        let params = Params { temp, top_k: 0, top_p: 1.0, min_p: 0.0, ..Params::default() };
        let mut sampler = Sampler::new(&params, &[], &Paper, std::iter::empty());
        let mut row: Vec<f32> = (0..Paper.n_tokens()).map(|i| i as f32 / 100.0).collect();
        row[42] = 30.0;
        let drawn = sampler.draw(&mut row, |token| Paper.piece(token)).unwrap();
        assert_eq!(drawn.token, 42, "{temp}");
    }
}

#[test]
fn typical_sampling_is_the_same_beside_tokens_that_cannot_be() {
    let row: Vec<f32> = (0..Paper.n_tokens()).map(|i| (i % 7) as f32 + i as f32 * 1e-4).collect();
    let draws = |row: &[f32]| -> Vec<Token> {
        let draw = |seed| {
            let params = Params {
                top_k: 0,
                top_p: 1.0,
                min_p: 0.0,
                typical_p: 0.3,
                seed: Some(seed),
                ..Params::default()
            };
            let mut sampler = Sampler::new(&params, &[], &Paper, std::iter::empty());
            sampler.draw(&mut row.to_vec(), |token| Paper.piece(token)).unwrap().token
        };
        (0..100).map(draw).collect()
    };
    let mut with_impossible = row.clone();
    // Unlikely in either row, so that nothing else changes.
    with_impossible[0] = f32::NEG_INFINITY;
    with_impossible[7] = -200.0;
    let likely = |tokens: Vec<Token>| tokens.into_iter().all(|token| row[token as usize] > 3.0);
    assert_eq!(likely(draws(&row)), likely(draws(&with_impossible)));
    assert_ne!(draws(&with_impossible), vec![draws(&with_impossible)[0]; 100]);
}

#[test]
fn a_row_without_a_number_is_an_error_and_no_token() {
    for temp in [0.0, 0.8] {
        for poison in [f32::NAN, f32::NEG_INFINITY] {
            let params = Params { temp, ..Params::default() };
            let mut sampler = Sampler::new(&params, &[], &Paper, std::iter::empty());
            let mut row = vec![poison; Paper.n_tokens()];
            assert!(sampler.draw(&mut row, |token| Paper.piece(token)).is_err(), "{temp} {poison}");
        }
    }
}

#[test]
fn a_bias_of_minus_a_hundred_forbids_and_logprobs_are_of_the_untouched_row() {
    let params =
        Params { temp: 0.0, logit_bias: vec![(5, -100.0)], logprobs: 2, ..Params::default() };
    let mut sampler = Sampler::new(&params, &[], &Paper, std::iter::empty());
    let mut row = vec![-100.0; Paper.n_tokens()];
    (row[5], row[6]) = (2.0, 1.0);
    let drawn = sampler.draw(&mut row, |token| Paper.piece(token)).unwrap();
    assert_eq!(drawn.token, 6);
    let logprobs = drawn.logprobs.unwrap();
    let top: Vec<_> = logprobs.top.iter().map(|logprob| logprob.token).collect();
    assert_eq!(top, [5, 6]);
    let total: f32 = logprobs.top.iter().map(|logprob| logprob.logprob.exp()).sum();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
}
