//! Divides the prompt tokens of a step among the prefilling slots.
//!
//! Short prompts come first, and the oldest prompt always gets a part, so neither kind starves the
//! other. A slot that waits for a prefix counts through its claim on the donor.

use super::{BLOCK_TOKENS, TILE_TOKENS};

/// The claim of a slot that waits for a prefix on its donor, the slot that is prefilling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct PrefixClaim {
    /// Index of the donor among the prefilling slots.
    pub(in crate::engine) donor: usize,
    /// Number of tokens of the shared prefix that the donor still has to prefill.
    pub(in crate::engine) n_prefix_left: usize,
    /// Number of prompt tokens of the slot with the claim beyond those that the donor has computed.
    pub(in crate::engine) n_prompt_left: usize,
}

/// Divides `budget` prompt tokens among prefilling slots, which have `remaining[i]` tokens left and
/// are listed in the order of their admission. Returns the share of each.
///
/// The slot with the fewest tokens left comes first, so a short prompt does not wait for a long
/// one. A claimed prefix is prefilled when it would be the turn of the slot that waits for it. The
/// oldest slot always gets at least a quarter, so short prompts cannot starve a long one. A short
/// prompt is not divided, since each chunk takes a pass of its own: the first one may exceed the
/// budget, up to twice of it and up to `limit`, and one that does not fit behind others waits.
pub(in crate::engine) fn share_budget(
    budget: usize,
    limit: usize,
    remaining: &[usize],
    claims: &[PrefixClaim],
) -> Vec<usize> {
    let mut shares = vec![0; remaining.len()];
    let Some(oldest) = remaining.first() else { return shares };
    if *oldest > TILE_TOKENS {
        shares[0] = (budget / 4).max(1).min(budget).min(*oldest);
    }
    let mut left = budget - shares[0];
    // A slot's own prompt is a claim like those of the slots that wait for a prefix.
    let own =
        |(donor, &n): (usize, &usize)| PrefixClaim { donor, n_prefix_left: n, n_prompt_left: n };
    let mut all: Vec<PrefixClaim> = remaining.iter().enumerate().map(own).collect();
    all.extend(claims);
    all.sort_by_key(|claim| claim.n_prompt_left);
    for PrefixClaim { donor, n_prefix_left, .. } in all {
        let wanted = n_prefix_left.min(remaining[donor]).saturating_sub(shares[donor]);
        let is_short = remaining[donor] <= TILE_TOKENS;
        let more = match left < wanted && is_short {
            false => left.min(wanted),
            true if left < budget => 0,
            true if wanted <= (2 * budget).min(limit) => wanted,
            true => left,
        };
        shares[donor] += more;
        left = left.saturating_sub(more);
    }
    shares
}

/// Gives a small step to short prompts alone if they can be completed in it. The step then takes a
/// fraction of the time. Returns whether prompts overtook. After that, this function must not be
/// called for the next [`STEPS_BETWEEN_OVERTAKES`] steps.
///
/// The completed prompts have at most [`BLOCK_TOKENS`] together. No prompt overtakes if all have at
/// most [`TILE_TOKENS`] left: the step would be half as long, but the other prompts would need as
/// many steps as before.
pub(in crate::engine) fn let_short_prompts_overtake(
    shares: &mut [usize],
    remaining: &[usize],
) -> bool {
    let step: usize = shares.iter().sum();
    let is_short = |i: usize| shares[i] == remaining[i] && remaining[i] <= BLOCK_TOKENS;
    let short: Vec<bool> = (0..shares.len()).map(is_short).collect();
    let completed: usize =
        shares.iter().zip(&short).filter(|&(_, &short)| short).map(|(n, _)| n).sum();
    let is_any_long = remaining.iter().any(|&n| n > TILE_TOKENS);
    let is_small_step = step <= TILE_TOKENS;
    let overtakes = completed > 0 && completed <= BLOCK_TOKENS && completed < step;
    if !is_small_step || !overtakes || !is_any_long {
        return false;
    }
    for (share, _) in shares.iter_mut().zip(&short).filter(|&(_, &short)| !short) {
        *share = 0;
    }
    true
}

/// Number of steps between two steps in which short prompts overtake. (ADR-0010)
pub(in crate::engine) const STEPS_BETWEEN_OVERTAKES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_prompt_comes_before_a_long_one_which_keeps_a_quarter() {
        assert_eq!(share_budget(100, 512, &[1000, 60], &[]), [40, 60]);
        assert_eq!(share_budget(100, 512, &[1000, 200], &[]), [25, 75]);
    }

    #[test]
    fn short_prompt_is_not_divided() {
        assert_eq!(share_budget(100, 512, &[60, 60, 30], &[]), [60, 0, 30]);
        assert_eq!(share_budget(40, 512, &[60, 60], &[]), [60, 0], "it exceeds the budget");
        assert_eq!(share_budget(40, 50, &[60, 60], &[]), [40, 0], "it exceeds the limit");
        assert_eq!(share_budget(20, 512, &[60], &[]), [20], "it exceeds twice the budget");
    }

    #[test]
    fn tokens_that_no_slot_needs_are_not_shared() {
        assert_eq!(share_budget(100, 512, &[10, 20], &[]), [10, 20]);
        assert_eq!(share_budget(400, 512, &[70, 20], &[]), [70, 20]);
        assert_eq!(share_budget(100, 512, &[], &[]), [0; 0]);
    }

    #[test]
    fn claimed_prefix_is_prefilled_in_the_turn_of_the_slot_that_waits() {
        let short = PrefixClaim { donor: 1, n_prefix_left: 30, n_prompt_left: 40 };
        assert_eq!(share_budget(100, 512, &[500, 1000], &[]), [100, 0]);
        assert_eq!(
            share_budget(100, 512, &[500, 1000], &[short]),
            [70, 30],
            "no more than the prefix"
        );
        let long = PrefixClaim { n_prompt_left: 600, ..short };
        assert_eq!(
            share_budget(100, 512, &[500, 1000], &[long]),
            [100, 0],
            "the other has fewer left"
        );
    }

    #[test]
    fn short_prompt_overtakes_a_long_one_only_in_small_steps() {
        let overtakes = let_short_prompts_overtake;
        let mut shares = [12, 4];
        assert!(overtakes(&mut shares, &[1000, 4]));
        assert_eq!(shares, [0, 4]);
        let mut shares = [200, 4];
        assert!(!overtakes(&mut shares, &[1000, 4]), "a fast machine prefills both at once");
        let mut shares = [40, 24];
        assert!(!overtakes(&mut shares, &[1000, 24]), "24 tokens are not short");
        let mut shares = [2, 4];
        assert!(!overtakes(&mut shares, &[2, 4]), "both prompts are completed");
        let mut shares = [12, 4];
        assert!(!overtakes(&mut shares, &[17, 4]), "neither prompt is long");
        assert_eq!(shares, [12, 4]);
    }
}
