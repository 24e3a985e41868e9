//! Plans the next step: which tokens of which slots it computes.
//!
//! Decoding slots get their token first, then prefilling slots share the prompt tokens that fit
//! into the target duration. Tokens are drafted only if no slot prefills.

use crate::engine::model::{Model, StopFlag};
use crate::engine::prefill::{
    NEW_STREAM_TOKENS, PrefixClaim, STEPS_BETWEEN_OVERTAKES, let_short_prompts_overtake,
    share_budget,
};
use crate::engine::speculation::{DecodingText, Draft, DraftingCost};

use super::Scheduler;
use super::slot::{PrefixWait, Slot};
use super::step::Step;

/// A slot that can prefill in the next step.
#[derive(Debug, Clone, Copy)]
struct PrefillingSlot {
    /// [`Slot::order`].
    order: u64,
    /// Number of prompt tokens left.
    n_remaining: usize,
    /// Number of prompt tokens that the step computes.
    n_share: usize,
}

impl<M: Model> Scheduler<M> {
    /// Plans the next step; `None` if no slot can run. Advances no slot. Updates the state of the
    /// speculator and `steps_until_overtake`. The draft model stops early when `stop` is set.
    pub(in crate::engine) fn plan(&mut self, stop: &StopFlag) -> Option<Step> {
        let n_decoding = self.decoding_slots().count();
        let prefilling = self.share_prefill(n_decoding);
        let (drafts, drafting) =
            if prefilling.is_empty() { self.draft(stop) } else { Default::default() };
        let mut drafts = drafts.into_iter();
        let share_of = |slot: &Slot<M::Sampler>| {
            let found = prefilling.iter().find(|prefilling| prefilling.order == slot.order);
            found.map_or(0, |prefilling| prefilling.n_share)
        };
        let mut step = Step { n_decoding, drafting, ..Step::default() };
        for (i, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot.as_ref().filter(|slot| slot.can_run()) else { continue };
            let (n, draft) = if slot.is_prefilling() {
                (share_of(slot), Draft::default())
            } else {
                (1, drafts.next().unwrap_or_default())
            };
            if n > 0 {
                step.add(i, slot, n, draft);
            }
        }
        (!step.parts.is_empty()).then_some(step)
    }

    /// Drafts tokens for a step without prompt tokens. The drafts are in the order of the decoding
    /// slots.
    fn draft(&mut self, stop: &StopFlag) -> (Vec<Draft>, DraftingCost) {
        let slots = self.slots.iter_mut().flatten().filter(|slot| slot.can_decode());
        let mut texts: Vec<DecodingText<'_>> = slots.map(Slot::decoding_text).collect();
        let max_tokens = self.limits.n_draft.min(self.limits.n_ubatch.saturating_sub(texts.len()));
        self.speculator.propose(&mut self.model, &mut texts, max_tokens, stop)
    }

    /// The slots that decode in the next step.
    fn decoding_slots(&self) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.running().filter(|slot| slot.can_decode())
    }

    /// Divides the prompt tokens of a step with `n_decoding` decoding slots among the prefilling
    /// slots, which are returned in the order of their admission.
    fn share_prefill(&mut self, n_decoding: usize) -> Vec<PrefillingSlot> {
        let has_only_new_streams =
            self.decoding_slots().all(|slot| slot.n_generated() <= NEW_STREAM_TOKENS);
        let mut prefilling: Vec<PrefillingSlot> = self
            .running()
            .filter(|slot| slot.can_run() && slot.is_prefilling())
            .map(|slot| PrefillingSlot {
                order: slot.order,
                n_remaining: slot.n_pending(),
                n_share: 0,
            })
            .collect();
        prefilling.sort_unstable_by_key(|slot| slot.order);
        let remaining: Vec<usize> = prefilling.iter().map(|slot| slot.n_remaining).collect();
        let budget = self.prefill.prompt_tokens(n_decoding, has_only_new_streams, &remaining);
        let limit = self.limits.n_ubatch.saturating_sub(n_decoding);
        let claims = self.prefix_claims(&prefilling);
        let mut shares = share_budget(budget, limit, &remaining, &claims);
        if let ([share], [slot], 0) = (&mut shares[..], &prefilling[..], n_decoding)
            && let Some(slot) = self.running().find(|other| other.order == slot.order)
        {
            let rules = self.model.chunk_rules();
            *share = rules.chunk(slot.n_computed, slot.n_prefill, *share, self.limits.n_ubatch);
        }
        self.steps_until_overtake = match self.steps_until_overtake {
            0 if let_short_prompts_overtake(&mut shares, &remaining) => STEPS_BETWEEN_OVERTAKES,
            n => n.saturating_sub(1),
        };
        for (slot, share) in prefilling.iter_mut().zip(shares) {
            slot.n_share = share;
        }
        prefilling
    }

    /// The claims of slots that wait for a prefix, on the `prefilling` slots that compute it.
    fn prefix_claims(&self, prefilling: &[PrefillingSlot]) -> Vec<PrefixClaim> {
        let by_order = |order: u64| self.running().find(|slot| slot.order == order);
        let claim = |slot: &Slot<M::Sampler>| {
            let mut wait = slot.prefix_wait?;
            let mut donor = by_order(wait.donor_order)?;
            // The donor may itself wait for a prefix of a still older slot.
            while let Some(PrefixWait { donor_order, n_shared }) = donor.prefix_wait {
                wait = PrefixWait { donor_order, n_shared: n_shared.min(wait.n_shared) };
                donor = by_order(donor_order)?;
            }
            Some(PrefixClaim {
                donor: prefilling.iter().position(|slot| slot.order == wait.donor_order)?,
                n_prefix_left: wait.n_shared.saturating_sub(donor.n_computed),
                n_prompt_left: slot.n_prompt.saturating_sub(donor.n_computed),
            })
        };
        self.running().filter_map(claim).collect()
    }
}
