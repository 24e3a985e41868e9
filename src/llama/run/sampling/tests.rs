//! Compares sampling after a cut with llama.cpp's full chain on the whole vocabulary.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use proptest::prelude::*;

use super::candidates::{self, TokenLogit};
use super::cut::{Cut, chain_after, token_data};
use super::*;
use crate::domain::{Params, Token};
use crate::engine::{AllowedTokens, TokenSet, Vocabulary};
use crate::scripted::ScriptedVocabulary;

/// llama.cpp's chain in its default order, for all tokens.
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

/// All tokens as candidates.
fn all(logits: &[f32]) -> LlamaTokenDataArray {
    let tokens = logits.iter().enumerate();
    let data = tokens.map(|(i, &logit)| token_data(TokenLogit { token: i as Token, logit }));
    LlamaTokenDataArray::from_iter(data, false)
}

/// The candidates and their probabilities, in the order of the tokens' ids.
fn distribution(array: &LlamaTokenDataArray) -> Vec<(Token, f32)> {
    let mut candidates: Vec<_> = array.data.iter().map(|data| (data.id().0, data.p())).collect();
    candidates.sort_by_key(|&(token, _)| token);
    candidates
}

/// Number of draws, over all cases, for which rounding selected a neighbouring candidate. In some
/// hundred runs of the test there was one.
static NEIGHBOUR_DRAWS: AtomicUsize = AtomicUsize::new(0);

/// The rank of `token` among the candidates, from the most likely one.
fn rank(array: &LlamaTokenDataArray, token: Token) -> usize {
    let mut sorted: Vec<_> = array.data.iter().map(|data| (data.logit(), data.id().0)).collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted.iter().position(|&(_, id)| id == token).unwrap_or(usize::MAX)
}

/// Logits without equal values, as from a model: the order of equal logits would be arbitrary.
fn logits(n: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-20.0f32..20.0, n).prop_map(|mut logits| {
        let mut seen = HashSet::new();
        for (i, logit) in logits.iter_mut().enumerate() {
            *logit += i as f32 * 1e-4;
            while !seen.insert(logit.to_bits()) {
                *logit = logit.next_up();
            }
        }
        logits
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
    fn cut_preserves_the_distribution_of_the_full_chain(
        logits in logits(256),
        params in params(),
    ) {
        let mut theirs = all(&logits);
        theirs.apply_sampler(&mut full_chain(&params, logits.len()));
        let cut = Cut::of(&params, logits.len());
        let max = candidates::maximum(&logits).unwrap();
        let ours = cut.draw(&logits, max, f32::NEG_INFINITY, &mut chain_after(cut, &params));
        let (ours, theirs) = (distribution(&ours), distribution(&theirs));
        let tokens = |of: &[(Token, f32)]| of.iter().map(|&(token, _)| token).collect::<Vec<_>>();
        prop_assert_eq!(tokens(&ours), tokens(&theirs));
        for ((token, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            prop_assert!((ours - theirs).abs() < 1e-5, "{}: {} or {}", token, ours, theirs);
        }
    }

    #[test]
    fn same_seed_draws_the_tokens_of_the_full_chain(
        rows in prop::collection::vec(logits(ScriptedVocabulary.n_tokens()), 12),
        prompt in prop::collection::vec(0i32..256, 0..40),
        params in params(),
        repeat_penalty in 0.5f32..2.0,
        presence_penalty in -1.0f32..1.0,
        frequency_penalty in -1.0f32..1.0,
        repeat_last_n in prop_oneof![Just(None), (0..50u32).prop_map(Some)],
    ) {
        // Without `top_k` the full chain draws from tokens in the order of their ids, but the
        // sampler from sorted tokens: the distribution is the same, the drawn tokens are not.
        prop_assume!(params.top_k > 0 && (params.top_k as usize) < ScriptedVocabulary.n_tokens());
        // An unlimited window is the whole context. The full chain needs its length as a number.
        let window = repeat_last_n.unwrap_or(1000);
        let params = Params {
            repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n, ..params
        };
        let mut theirs = full_chain(
            &Params { repeat_last_n: Some(window), ..params.clone() },
            ScriptedVocabulary.n_tokens(),
        );
        theirs.accept_many(prompt.iter().map(|&token| LlamaToken(token)));
        let mut ours = Sampler::new(&params, &prompt, &ScriptedVocabulary, std::iter::empty());
        for row in rows {
            let mut array = all(&row);
            array.apply_sampler(&mut theirs);
            let expected = array.selected_token().unwrap();
            theirs.accept(expected);
            let piece = |token| ScriptedVocabulary.piece(token).bytes;
            let drawn = ours.draw(&mut row.clone(), AllowedTokens::Any, piece).unwrap();
            if drawn.token != expected.0 {
                // Sums are rounded, so a random number near the border of two candidates may select
                // either. The texts differ from here on, so the case ends.
                let (ours, theirs) = (rank(&array, drawn.token), rank(&array, expected.0));
                prop_assert_eq!(ours.abs_diff(theirs), 1, "{} and {}", drawn.token, expected.0);
                let n = NEIGHBOUR_DRAWS.fetch_add(1, Ordering::Relaxed) + 1;
                prop_assert!(n <= 2, "too many for rounding: ranks {} and {}", ours, theirs);
                break;
            }
        }
    }
}

#[test]
fn zero_temperature_draws_the_likeliest_token_whatever_else_is_set() {
    let params = Params { temp: 0.0, top_k: 1, top_p: 0.1, seed: Some(7), ..Params::default() };
    let mut sampler = Sampler::new(&params, &[], &ScriptedVocabulary, std::iter::empty());
    let mut row = vec![0.0; ScriptedVocabulary.n_tokens()];
    row[42] = 1.0;
    assert_eq!(
        sampler
            .draw(&mut row, AllowedTokens::Any, |token| ScriptedVocabulary.piece(token).bytes)
            .unwrap()
            .token,
        42
    );
}

#[test]
fn tiny_temperature_is_greedy_and_does_not_overflow() {
    for temp in [1e-45, 1e-38, 1e-30, 9e-7, 1e-5] {
        let params = Params { temp, top_k: 0, top_p: 1.0, min_p: 0.0, ..Params::default() };
        let mut sampler = Sampler::new(&params, &[], &ScriptedVocabulary, std::iter::empty());
        let mut row: Vec<f32> =
            (0..ScriptedVocabulary.n_tokens()).map(|i| i as f32 / 100.0).collect();
        row[42] = 30.0;
        let drawn = sampler
            .draw(&mut row, AllowedTokens::Any, |token| ScriptedVocabulary.piece(token).bytes)
            .unwrap();
        assert_eq!(drawn.token, 42, "{temp}");
    }
}

#[test]
fn typical_sampling_ignores_tokens_of_zero_probability() {
    let row: Vec<f32> =
        (0..ScriptedVocabulary.n_tokens()).map(|i| (i % 7) as f32 + i as f32 * 1e-4).collect();
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
            let mut sampler = Sampler::new(&params, &[], &ScriptedVocabulary, std::iter::empty());
            sampler
                .draw(&mut row.to_vec(), AllowedTokens::Any, |token| {
                    ScriptedVocabulary.piece(token).bytes
                })
                .unwrap()
                .token
        };
        (0..100).map(draw).collect()
    };
    let mut with_impossible = row.clone();
    // These tokens are unlikely in `row`, too, so that nothing else changes.
    with_impossible[0] = f32::NEG_INFINITY;
    with_impossible[7] = -200.0;
    let likely = |tokens: Vec<Token>| tokens.into_iter().all(|token| row[token as usize] > 3.0);
    assert_eq!(likely(draws(&row)), likely(draws(&with_impossible)));
    assert_ne!(draws(&with_impossible), vec![draws(&with_impossible)[0]; 100]);
}

#[test]
fn logits_without_finite_value_are_an_error() {
    for temp in [0.0, 0.8] {
        for invalid in [f32::NAN, f32::NEG_INFINITY] {
            let params = Params { temp, ..Params::default() };
            let mut sampler = Sampler::new(&params, &[], &ScriptedVocabulary, std::iter::empty());
            let mut row = vec![invalid; ScriptedVocabulary.n_tokens()];
            assert!(
                sampler
                    .draw(&mut row, AllowedTokens::Any, |token| ScriptedVocabulary
                        .piece(token)
                        .bytes)
                    .is_err(),
                "{temp} {invalid}"
            );
        }
    }
}

#[test]
fn bias_excludes_a_token_but_does_not_change_logprobs() {
    let params =
        Params { temp: 0.0, logit_bias: vec![(5, -100.0)], logprobs: 2, ..Params::default() };
    let mut sampler = Sampler::new(&params, &[], &ScriptedVocabulary, std::iter::empty());
    let mut row = vec![-100.0; ScriptedVocabulary.n_tokens()];
    (row[5], row[6]) = (2.0, 1.0);
    let drawn = sampler
        .draw(&mut row, AllowedTokens::Any, |token| ScriptedVocabulary.piece(token).bytes)
        .unwrap();
    assert_eq!(drawn.token, 6);
    let logprobs = drawn.logprobs.unwrap();
    let top: Vec<_> = logprobs.top.iter().map(|logprob| logprob.token).collect();
    assert_eq!(top, [5, 6]);
    let total: f32 = logprobs.top.iter().map(|logprob| logprob.logprob.exp()).sum();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
}

/// Draws from a row with 50 equal logits in which 3 tokens are allowed.
fn drawn_from_allowed(params: &Params) -> Token {
    let mut allowed = TokenSet::default();
    [3, 60, 200].into_iter().for_each(|token| allowed.insert(token));
    let mut sampler = Sampler::new(params, &[], &ScriptedVocabulary, std::iter::empty());
    let mut row: Vec<f32> = (0..ScriptedVocabulary.n_tokens()).map(|i| (i % 5) as f32).collect();
    let piece = |token| ScriptedVocabulary.piece(token).bytes;
    sampler.draw(&mut row, AllowedTokens::Of(&allowed), piece).unwrap().token
}

#[test]
fn only_allowed_tokens_are_drawn_whatever_the_parameters() {
    for seed in 0..50 {
        for (temp, top_k, top_p, typical_p) in
            [(0.0, 40, 1.0, 1.0), (2.0, 40, 1.0, 1.0), (2.0, 0, 1.0, 1.0), (2.0, 0, 0.9, 0.5)]
        {
            let logit_bias = vec![(4, 100.0), (3, -50.0)];
            let min_p = 0.0;
            let seed = Some(seed);
            let params = Params {
                temp,
                top_k,
                top_p,
                typical_p,
                min_p,
                logit_bias,
                seed,
                ..Params::default()
            };
            assert!([3, 60, 200].contains(&drawn_from_allowed(&params)), "{params:?}");
        }
    }
}

#[test]
fn logprobs_are_those_of_the_allowed_tokens() {
    let params = Params { temp: 0.0, logprobs: 5, ..Params::default() };
    let mut sampler = Sampler::new(&params, &[], &ScriptedVocabulary, std::iter::empty());
    let mut row = vec![1.0; ScriptedVocabulary.n_tokens()];
    let piece = |token| ScriptedVocabulary.piece(token).bytes;
    let drawn = sampler.draw(&mut row, AllowedTokens::Only(9), piece).unwrap();
    let logprobs = drawn.logprobs.unwrap();
    assert_eq!((drawn.token, logprobs.chosen.logprob, logprobs.top.len()), (9, 0.0, 1));
}
