//! Plans the next step: which tokens of which slots it computes.

use crate::engine::model::{CancelFlag, Model};
use crate::engine::prefill::{
    NEW_STREAM_TOKENS, PrefixClaim, STEPS_BETWEEN_OVERTAKES, let_short_prompts_overtake,
    share_budget,
};

use super::Scheduler;
use super::draft::StepDrafts;
use super::slot::{PrefixWait, Slot};
use super::step::Step;

/// A slot that can prefill in the next step.
#[derive(Debug, Clone, Copy)]
struct PrefillingSlot {
    /// [`Slot::order`].
    order: u64,
    /// Prompt tokens left.
    remaining: usize,
    /// Prompt tokens that the step computes.
    share: usize,
}

impl<M: Model> Scheduler<M> {
    /// Plans the next step; `None` if no slot can run. Does not advance any slot. It changes only
    /// which slot comes first next time, and the state of drafting. `stop` ends the draft model
    /// early.
    pub(in crate::engine) fn plan(&mut self, stop: &CancelFlag) -> Option<Step> {
        let n_decoding = self.decoding_slots().count();
        let prefilling = self.share_prefill(n_decoding);
        let mut drafts =
            if prefilling.is_empty() { self.draft(stop) } else { StepDrafts::default() };
        let share_of = |slot: &Slot<M::Sampler>| {
            let found = prefilling.iter().find(|prefilling| prefilling.order == slot.order);
            found.map_or(0, |prefilling| prefilling.share)
        };
        let mut step = Step {
            n_decoding,
            draft_model_time: drafts.draft_model_time,
            includes_draft_prefill: drafts.includes_prefill,
            ..Step::default()
        };
        for (i, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot.as_ref().filter(|slot| slot.can_run()) else { continue };
            let n = if slot.is_prefilling() { share_of(slot) } else { 1 };
            if n > 0 {
                step.add(i, slot, n, drafts.take(i));
            }
        }
        (!step.parts.is_empty()).then_some(step)
    }

    /// The slots that get a token in every step.
    fn decoding_slots(&self) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.running().filter(|slot| slot.can_decode())
    }

    /// Divides the prompt tokens of a step with `n_decoding` decoding slots among the prefilling
    /// slots, which are returned in the order of their admission.
    fn share_prefill(&mut self, n_decoding: usize) -> Vec<PrefillingSlot> {
        let streams_are_new =
            self.decoding_slots().all(|slot| slot.n_generated() <= NEW_STREAM_TOKENS);
        let mut prefilling: Vec<PrefillingSlot> = self
            .running()
            .filter(|slot| slot.can_run() && slot.is_prefilling())
            .map(|slot| PrefillingSlot { order: slot.order, remaining: slot.n_pending(), share: 0 })
            .collect();
        prefilling.sort_unstable_by_key(|slot| slot.order);
        let remaining: Vec<usize> = prefilling.iter().map(|slot| slot.remaining).collect();
        let budget = self.prefill.prompt_tokens(n_decoding, streams_are_new, &remaining);
        let mut shares = share_budget(budget, &remaining, &self.prefix_claims(&prefilling));
        self.steps_until_overtake = match self.steps_until_overtake {
            0 if let_short_prompts_overtake(&mut shares, &remaining) => STEPS_BETWEEN_OVERTAKES,
            n => n.saturating_sub(1),
        };
        for (slot, share) in prefilling.iter_mut().zip(shares) {
            slot.share = share;
        }
        prefilling
    }

    /// The claims of waiting slots on prefixes that `prefilling` slots are computing.
    fn prefix_claims(&self, prefilling: &[PrefillingSlot]) -> Vec<PrefixClaim> {
        let by_order = |order: u64| self.running().find(|slot| slot.order == order);
        let claim = |slot: &Slot<M::Sampler>| {
            let mut wait = slot.prefix_wait?;
            let mut donor = by_order(wait.donor_order)?;
            // The donor may wait for another slot, which is older still.
            while let Some(PrefixWait { donor_order, shared_len }) = donor.prefix_wait {
                wait = PrefixWait { donor_order, shared_len: shared_len.min(wait.shared_len) };
                donor = by_order(donor_order)?;
            }
            Some(PrefixClaim {
                donor: prefilling.iter().position(|slot| slot.order == wait.donor_order)?,
                n_prefix_left: wait.shared_len.saturating_sub(donor.computed),
                n_prompt_left: slot.n_prompt.saturating_sub(donor.computed),
            })
        };
        self.running().filter_map(claim).collect()
    }
}
