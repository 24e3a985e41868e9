//! Lets requests take turns: suspends a running request so that a waiting one gets its slot.
//!
//! A slot belongs to who reads: a paused slot is given up at once. A request that runs gives up its
//! slot for a new flow after a short slice, and for one that has had less after
//! a longer one, if its sequence then has a copy in host RAM. Without waiting requests nothing is
//! suspended (ADR-0041).

use std::cmp::Reverse;

use crate::engine::kv::KeptCost;
use crate::engine::model::Model;
use crate::engine::queue::Standing;

use super::Scheduler;
use super::slot::Slice;
use super::waiting::{Waiting, flow_of};

/// A slot that may be given up.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Index of the slot.
    i: usize,
    standing: Standing,
    /// Whether the client does not read, so that anybody may have the slot.
    is_paused: bool,
    /// For whom the slice of the slot has ended.
    turn: Option<Turn>,
    /// Number of tokens that are computed again when the request goes on.
    n_lost: usize,
}

/// Who may have a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// A flow without a request in a slot or suspended.
    New,
    /// Any flow that has had less.
    Any,
}

impl<M: Model> Scheduler<M> {
    /// Suspends a running request for the next waiting one that may have its slot, and claims the
    /// slot for that one. False if there is none.
    pub(super) fn free_slot(&mut self) -> bool {
        if !self.queue.has_next() || self.queue.n_suspended() >= MAX_SUSPENDED {
            return false;
        }
        let has_new = self.queue.has_new_flow();
        let candidates: Vec<Candidate> =
            (0..self.slots.len()).filter_map(|i| self.candidate(i, has_new)).collect();
        if candidates.is_empty() {
            return false;
        }
        let can_have = |waiting: &Standing, is_overdue: bool| {
            choose(&candidates, waiting, is_overdue).is_some()
        };
        let claim = self.queue.claim(can_have);
        match claim.and_then(|(waiting, is_overdue)| choose(&candidates, &waiting, is_overdue)) {
            Some(i) => {
                self.suspend(i);
                true
            }
            None => false,
        }
    }

    /// The slot with the index `i`, if it may be given up. Without a new flow in the queue, the
    /// sizes of sequences are not computed until a long slice can have ended.
    fn candidate(&mut self, i: usize, has_new: bool) -> Option<Candidate> {
        let slot = self.slots[i].as_ref()?;
        let (is_paused, slice) = (slot.paused.is_some(), slot.slice());
        let is_long_over = || slice.n_done >= SLICE_TOKENS && self.kv.has_space_for_turns();
        let is_nearly_prefilled = slot.is_prefilling()
            && (slot.n_pending() < MIN_PREFILL_LEFT || slice.n_done < SLICE_TOKENS);
        let may_be =
            slice.n_done >= MIN_SLICE_TOKENS && !is_nearly_prefilled && (has_new || is_long_over());
        if !is_paused && !may_be {
            return None;
        }
        let cost = self.kv.cost_to_keep(&mut self.model, slot.seq);
        let turn = slice_end(slice, slot.n_computed, cost);
        let standing = self.queue.standing(flow_of(&slot.job));
        let n_lost = if cost == KeptCost::Lost { slot.n_computed } else { 0 };
        (is_paused || turn.is_some()).then_some(Candidate { i, standing, is_paused, turn, n_lost })
    }

    /// Takes the slot with the index `i` from its request and puts the request into the queue.
    fn suspend(&mut self, i: usize) {
        let Some(mut slot) = self.slots[i].take() else { return };
        let tokens = slot.tokens[..slot.n_computed].to_vec();
        let is_shared = slot.job.params.cache_prompt;
        slot.kept = self.kv.keep(&mut self.model, slot.seq, tokens, slot.record, is_shared);
        self.settle(&mut slot);
        self.metrics.suspended();
        self.queue.push(Waiting::Suspended(Box::new(slot)));
        self.report_kv_usage();
    }
}

/// The index of the slot that a job with the standing `waiting` may have, if there is one: one that
/// is paused, then one whose tokens need not be computed again, then one of the flow that has had
/// most.
fn choose(candidates: &[Candidate], waiting: &Standing, is_overdue: bool) -> Option<usize> {
    let allowed = candidates.iter().filter(|candidate| may_have(candidate, waiting, is_overdue));
    let key = |candidate: &&Candidate| {
        let Standing { account, connection, .. } = candidate.standing;
        let had = (account.tag, connection.tag);
        (!candidate.is_paused, candidate.n_lost, Reverse(had), candidate.i)
    };
    allowed.min_by_key(key).map(|candidate| candidate.i)
}

/// Whether a job with the standing `waiting` may have the slot of `candidate`. An overdue one may
/// have what a new flow may have.
fn may_have(candidate: &Candidate, waiting: &Standing, is_overdue: bool) -> bool {
    let Some((own, other)) = waiting.against(&candidate.standing) else { return false };
    if candidate.is_paused {
        return true;
    }
    let has_fewer = own.n_running < other.n_running;
    // A new connection of an account that has fewer slots even with this one.
    let is_new = own.is_new() || waiting.connection.is_new() && own.n_running + 1 < other.n_running;
    match candidate.turn {
        Some(Turn::New) => is_new || is_overdue && has_fewer,
        Some(Turn::Any) => is_new || has_fewer && (is_overdue || own.tag <= other.tag),
        None => false,
    }
}

/// For whom the slice of a slot with `n_computed` tokens has ended after `slice`, given what it
/// costs to keep its sequence.
fn slice_end(slice: Slice, n_computed: usize, cost: KeptCost) -> Option<Turn> {
    let Slice { n_done, n_generated } = slice;
    let is_short_over = n_done >= MIN_SLICE_TOKENS.max(n_computed / COPIED_PER_SHORT_SLICE_TOKEN);
    let is_long_over = n_done >= SLICE_TOKENS.max(n_computed / COPIED_PER_SLICE_TOKEN);
    match cost {
        KeptCost::Copied if is_long_over => Some(Turn::Any),
        KeptCost::Copied | KeptCost::CopiedInReserve if is_short_over => Some(Turn::New),
        KeptCost::Copied | KeptCost::CopiedInReserve => None,
        KeptCost::Lost => (n_generated >= n_computed.div_ceil(2)).then_some(Turn::New),
    }
}

/// Most suspended requests. Each takes memory for its tokens and its sampler, and may have a copy
/// in host RAM (ADR-0041).
pub(in crate::engine) const MAX_SUSPENDED: usize = 1024;

/// Number of tokens that a request computes at least before a new flow gets its
/// slot (ADR-0041).
const MIN_SLICE_TOKENS: usize = 16;

/// The same for other flows (ADR-0041).
const SLICE_TOKENS: usize = 128;

/// A request whose prompt has fewer tokens left keeps its slot until its first token, so that new
/// flows do not interrupt each other (ADR-0041).
const MIN_PREFILL_LEFT: usize = 512;

/// A slice has at least a token for each 8 tokens that have to be copied, so that copies take a few
/// percent of the time (ADR-0041).
const COPIED_PER_SLICE_TOKEN: usize = 8;

/// The same for a slice before a new flow (ADR-0041).
const COPIED_PER_SHORT_SLICE_TOKEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_is_longer_the_more_it_costs_to_go_on() {
        use KeptCost::{Copied, CopiedInReserve, Lost};
        let slice = |n_done, n_generated| Slice { n_done, n_generated };
        for (slice, n_computed, cost, expected) in [
            (slice(15, 0), 15, Copied, None),
            (slice(16, 0), 16, Copied, Some(Turn::New)),
            (slice(127, 100), 600, Copied, Some(Turn::New)),
            (slice(128, 100), 600, Copied, Some(Turn::Any)),
            (slice(499, 499), 4000, Copied, Some(Turn::New)),
            (slice(500, 500), 4000, Copied, Some(Turn::Any)),
            (slice(61, 61), 4000, Copied, None),
            (slice(2000, 2000), 4000, CopiedInReserve, Some(Turn::New)),
            (slice(3999, 1999), 4000, Lost, None),
            (slice(4000, 2000), 4000, Lost, Some(Turn::New)),
        ] {
            let case = format!("{slice:?} {n_computed} {cost:?}");
            assert_eq!(slice_end(slice, n_computed, cost), expected, "{case}");
        }
    }
}
