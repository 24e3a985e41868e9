//! Guesses for the slots of a step, and what became of them.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::domain::Token;
use crate::engine::model::{CancelFlag, DraftRequest, Interrupt, Model};
use crate::engine::speculation::{Candidate, Drafter, Fate, Outlook};

use super::Scheduler;
use super::slot::Slot;

/// Tokens that may follow a slot's next one.
#[derive(Debug, Default)]
pub(super) struct Guess {
    pub(super) tokens: Vec<Token>,
    /// Whose they are; `None` where nobody was asked. A draft model that was asked may have said nothing.
    pub(super) guesser: Option<Drafter>,
}

/// The guesses of a step.
#[derive(Debug, Default)]
pub(super) struct PlannedGuesses {
    by_slot: HashMap<usize, Guess>,
    /// What the draft model took, also where it says nothing; `None` where it was not asked.
    pub(super) drafting: Option<Duration>,
    /// Whether it had to read a text before, so that the step says nothing about later ones.
    pub(super) reads_first: bool,
}

impl PlannedGuesses {
    /// What was guessed for the slot at `i`.
    pub(super) fn of_slot(&mut self, i: usize) -> Guess {
        self.by_slot.remove(&i).unwrap_or_default()
    }
}

impl<M: Model> Scheduler<M> {
    /// Guesses for a step in which every running slot gets one token.
    pub(super) fn guesses(&mut self, stop: &CancelFlag) -> PlannedGuesses {
        let is_running = |i: &usize| {
            self.slots[*i]
                .as_ref()
                .is_some_and(|slot| slot.paused.is_none() && !slot.is_prefilling())
        };
        let mut running: Vec<usize> = (0..self.slots.len()).filter(is_running).collect();
        let n = running.len();
        // All share the guesses of a step, so each is asked first in its turn.
        self.guess_turn = self.guess_turn.wrapping_add(1);
        running.rotate_left(self.guess_turn % n.max(1));
        let mut left = self.limits.n_draft.min(self.limits.n_batch.saturating_sub(n));
        let mut outlook = Outlook::without_guesses(n);
        let mut planned = PlannedGuesses::default();

        let may_guess = |i: &usize| self.slots[*i].as_ref().is_some_and(Slot::may_draft);
        running.retain(may_guess);
        for &i in &running {
            if let Some(slot) = &mut self.slots[i] {
                slot.drafts.lookup.look(&slot.tokens, slot.n_prompt);
            }
        }
        let sizes = self.sizes(Drafter::Ngram, &running, left, &mut outlook);
        let usual = self.speculator.usual_answer();
        let mut for_draft = Vec::new();
        for (i, n) in running.into_iter().zip(sizes) {
            let Some(slot) = &mut self.slots[i] else { continue };
            let has_all = |n_shared| slot.drafts.are_known(&slot.tokens, n_shared);
            let is_known = self.model.draft_tokens().is_some_and(has_all);
            if n > 0 {
                left -= n;
                let tokens = slot.drafts.lookup.guess(&slot.tokens, n);
                planned.by_slot.insert(i, Guess { tokens, guesser: Some(Drafter::Ngram) });
            } else if is_known && slot.draft_model_pays(usual) {
                for_draft.push(i);
            }
        }
        if !for_draft.is_empty() {
            let sizes = self.sizes(Drafter::Draft, &for_draft, left, &mut outlook);
            self.ask_draft(for_draft.into_iter().zip(sizes).collect(), stop, &mut planned);
        }
        planned
    }

    /// How many tokens `guesser` shall guess for each of these slots, at most `left` together.
    fn sizes(
        &self,
        guesser: Drafter,
        slots: &[usize],
        left: usize,
        outlook: &mut Outlook,
    ) -> Vec<usize> {
        let candidate = |&i: &usize| {
            let slot = self.slots[i].as_ref();
            Candidate {
                chance: slot.map_or(0.0, |slot| self.speculator.chance(guesser, &slot.drafts)),
                most: slot.map_or(0, Slot::max_draft),
            }
        };
        let candidates: Vec<Candidate> = slots.iter().map(candidate).collect();
        self.speculator.choose(guesser, &candidates, left, outlook)
    }

    /// Asks the draft model for so many tokens for each of these slots; 0 is a turn passed.
    fn ask_draft(
        &mut self,
        mut wanted: Vec<(usize, usize)>,
        stop: &CancelFlag,
        planned: &mut PlannedGuesses,
    ) {
        for &(i, _) in wanted.iter().filter(|&&(_, n)| n == 0) {
            if let Some(slot) = &mut self.slots[i] {
                self.speculator.pass_draft(&mut slot.drafts);
            }
        }
        wanted.retain(|&(_, n)| n > 0);
        if wanted.is_empty() {
            return;
        }
        let (texts, requests): (Vec<_>, Vec<_>) = wanted
            .iter()
            .filter_map(|&(i, n)| {
                let slot = self.slots[i].as_ref()?;
                let wanted = DraftRequest { seq: slot.seq, tokens: &slot.tokens, n };
                Some((wanted, slot.job.cancel.clone()))
            })
            .unzip();
        let began = Instant::now();
        let guesses = self.model.draft(&texts, &Interrupt { requests: &requests, stop });
        planned.drafting = Some(began.elapsed());
        for (&(i, n), mut tokens) in wanted.iter().zip(guesses) {
            tokens.truncate(n);
            if let Some(slot) = &mut self.slots[i] {
                let was_read = slot.drafts.is_drafted;
                slot.drafts.is_drafted = !tokens.is_empty();
                planned.reads_first |= !was_read || !slot.drafts.is_drafted;
            }
            planned.by_slot.insert(i, Guess { tokens, guesser: Some(Drafter::Draft) });
        }
    }

    /// Learns what a step without prompts took.
    pub(super) fn learn_cost(&mut self, guesser: Drafter, tokens: usize, elapsed: Duration) {
        self.speculator.observe(guesser, tokens, elapsed.as_secs_f64());
    }

    /// Counts the `right` guesses of a slot, which have cost `price` tokens together, and takes the
    /// others back. Where the text `is_over` those behind the last one say nothing.
    pub(super) fn settle_guess(
        &mut self,
        i: usize,
        guess: &Guess,
        right: usize,
        price: f64,
        is_over: bool,
    ) {
        let Some(slot) = &mut self.slots[i] else { return };
        let guessed = guess.tokens.len();
        let fate = Fate { guessed, right, price, is_over };
        self.speculator.settle(&mut slot.drafts, guess.guesser, fate);
        slot.drafted += guessed;
        slot.accepted += right;
        self.stats.drafted_total.fetch_add(guessed as u64, Relaxed);
        self.stats.accepted_total.fetch_add(right as u64, Relaxed);
        if right < guessed {
            self.model.truncate(slot.seq, slot.computed);
        }
    }
}
