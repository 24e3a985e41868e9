//! Divides the prompt tokens of a step among the prefilling slots.

use super::{BLOCK_TOKENS, TILE_TOKENS};

/// The claim of a waiting slot on the prefix that another slot, its donor, is prefilling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct PrefixClaim {
    /// Index of the donor among the prefilling slots.
    pub(in crate::engine) donor: usize,
    /// Tokens that the donor still has to prefill of the shared prefix.
    pub(in crate::engine) prefix_left: usize,
    /// Prompt tokens that the waiting slot would have left if it prefilled the prefix itself.
    pub(in crate::engine) prompt_left: usize,
}

/// Divides `budget` prompt tokens among prefilling slots, which have `remaining[i]` tokens left and
/// are listed in the order of their admission. Returns the share of each.
///
/// The slot with the fewest tokens left comes first, so a short prompt does not wait for a long
/// one. A claimed prefix is prefilled when it would be the turn of the slot that waits for it. The
/// oldest slot always gets a quarter, so short prompts cannot starve a long one.
pub(in crate::engine) fn share_budget(
    budget: usize,
    remaining: &[usize],
    claims: &[PrefixClaim],
) -> Vec<usize> {
    let mut shares = vec![0; remaining.len()];
    let Some(oldest) = remaining.first() else { return shares };
    shares[0] = (budget / 4).max(1).min(budget).min(*oldest);
    let mut left = budget - shares[0];
    // A slot's own prompt is a claim like those of the waiting slots.
    let own = |(donor, &n): (usize, &usize)| PrefixClaim { donor, prefix_left: n, prompt_left: n };
    let mut all: Vec<PrefixClaim> = remaining.iter().enumerate().map(own).collect();
    all.extend(claims);
    all.sort_by_key(|claim| claim.prompt_left);
    for PrefixClaim { donor, prefix_left, .. } in all {
        let wanted = prefix_left.min(remaining[donor]).saturating_sub(shares[donor]);
        let more = left.min(wanted);
        shares[donor] += more;
        left -= more;
    }
    shares
}

/// Gives a small step to short prompts alone if they can be completed in it, which then takes a
/// fraction of the time. Returns whether it did; the next [`STEPS_BETWEEN_OVERTAKES`] steps must
/// not do it again.
///
/// The completed prompts have at most [`BLOCK_TOKENS`] together. No prompt overtakes if all have at
/// most [`TILE_TOKENS`] left: the step would be half as long, but the others would need as many
/// steps as before.
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

/// Steps after one in which short prompts overtook before they may do so again.
pub(in crate::engine) const STEPS_BETWEEN_OVERTAKES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_prompt_comes_before_a_long_one_which_keeps_a_quarter() {
        assert_eq!(share_budget(100, &[1000, 60], &[]), [40, 60]);
        assert_eq!(share_budget(100, &[1000, 200], &[]), [25, 75]);
    }

    #[test]
    fn tokens_that_no_slot_needs_are_not_shared() {
        assert_eq!(share_budget(100, &[10, 20], &[]), [10, 20]);
        assert_eq!(share_budget(100, &[], &[]), [0; 0]);
    }

    #[test]
    fn claimed_prefix_is_prefilled_in_the_turn_of_the_waiting_slot() {
        let short = PrefixClaim { donor: 1, prefix_left: 30, prompt_left: 40 };
        assert_eq!(share_budget(100, &[500, 1000], &[]), [100, 0]);
        assert_eq!(share_budget(100, &[500, 1000], &[short]), [70, 30], "no more than the prefix");
        let long = PrefixClaim { prompt_left: 600, ..short };
        assert_eq!(share_budget(100, &[500, 1000], &[long]), [100, 0], "the other has fewer left");
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
