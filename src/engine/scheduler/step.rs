//! One step: plan a batch, have it decoded, commit what came of it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::domain::{Failure, FinishReason, Token};
use crate::engine::model::{
    Batch, BatchToken, CancelFlag, DecodeOutcome, Interrupt, Model, Sampled,
};
use crate::engine::prefill::{BEGINNING, Claim, STEPS_BETWEEN_PASSES, Tokens, divide, pass};
use crate::engine::request::End;
use crate::engine::speculation::Drafter;
use crate::engine::text::Released;

use super::Scheduler;
use super::draft::{Guess, PlannedGuesses};
use super::slot::{PrefixWait, Slot};

/// What a step computes.
#[derive(Debug, Default)]
pub(in crate::engine) struct Step {
    batch: Batch,
    takes: Vec<Take>,
    cancel: Vec<CancelFlag>,
    decoding: usize,
    /// What the draft model took for it; `None` where it was not asked.
    drafting: Option<Duration>,
    /// Whether it had to read a text before.
    draft_reads_first: bool,
}

/// One slot's part in a step.
#[derive(Debug)]
struct Take {
    slot: usize,
    n: usize,
    /// The batch entry whose output says what follows, if the slot has no more pending.
    output: Option<usize>,
    /// The tokens that may follow, whose entries come right behind that one.
    guess: Guess,
}

impl<M: Model> Scheduler<M> {
    /// Plans the next step; `None` when no slot can run. Moves no slot forward: all that it changes
    /// beside the step is whose turn it is, and what guessing has looked at. `stop` ends the guessing
    /// early.
    pub(in crate::engine) fn plan(&mut self, stop: &CancelFlag) -> Option<Step> {
        let runs = |slot: &Slot<M::Sampler>| slot.paused.is_none() && slot.prefix_wait.is_none();
        let running = || self.slots.iter().flatten().filter(|slot| runs(slot));
        let streaming = || running().filter(|slot| !slot.is_prefilling());
        let decoding = streaming().count();
        let is_beginning = streaming().all(|slot| slot.n_generated() <= BEGINNING);

        let mut readers: Vec<(u64, usize)> = running()
            .filter(|slot| slot.is_prefilling())
            .map(|slot| (slot.order, slot.n_pending()))
            .collect();
        readers.sort_unstable();
        let remaining: Vec<usize> = readers.iter().map(|&(_, pending)| pending).collect();
        let budget = self.budget.prompt_tokens(decoding, is_beginning, &remaining);
        let mut shares = divide(budget, &remaining, &self.claims(&readers));
        self.until_pass = match self.until_pass {
            0 if pass(&mut shares, &remaining) => STEPS_BETWEEN_PASSES,
            n => n.saturating_sub(1),
        };
        let share_of =
            |order: u64| readers.iter().position(|&(o, _)| o == order).map_or(0, |i| shares[i]);

        let mut guesses =
            if readers.is_empty() { self.guesses(stop) } else { PlannedGuesses::default() };
        let PlannedGuesses { drafting, reads_first: draft_reads_first, .. } = guesses;
        let mut step = Step { decoding, drafting, draft_reads_first, ..Step::default() };
        for (i, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot.as_ref().filter(|slot| runs(slot)) else { continue };
            let n = if slot.is_prefilling() { share_of(slot.order) } else { 1 };
            if n > 0 {
                step.take(i, slot, n, guesses.of_slot(i));
            }
        }
        (!step.takes.is_empty()).then_some(step)
    }

    /// What slots that wait for a twin claim of `readers`, which are named by their order.
    fn claims(&self, readers: &[(u64, usize)]) -> Vec<Claim> {
        let slots = || self.slots.iter().flatten();
        let claim = |slot: &Slot<M::Sampler>| {
            let mut wait = slot.prefix_wait?;
            let mut other = slots().find(|other| other.order == wait.donor_order)?;
            // The other may wait for a third, which is older still.
            while let Some(PrefixWait { donor_order, shared_len }) = other.prefix_wait {
                let shared_len = shared_len.min(wait.shared_len);
                wait = PrefixWait { donor_order, shared_len };
                other = slots().find(|other| other.order == donor_order)?;
            }
            Some(Claim {
                reader: readers.iter().position(|&(order, _)| order == wait.donor_order)?,
                upto: wait.shared_len.saturating_sub(other.computed),
                left: slot.n_prompt.saturating_sub(other.computed),
            })
        };
        slots().filter_map(claim).collect()
    }

    /// How far those are into their prompts who read, in the step or passed by it: the most of them.
    fn depth(&self) -> usize {
        let slots = self.slots.iter().flatten();
        slots.filter(|slot| slot.is_prefilling()).map(|slot| slot.computed).max().unwrap_or(0)
    }

    /// Has the model compute the step.
    pub(in crate::engine) fn decode(&mut self, step: &Step, stop: &CancelFlag) -> DecodeOutcome {
        let interrupt = Interrupt { requests: &step.cancel, stop };
        self.model.decode(&step.batch, &interrupt)
    }

    /// Applies what the model made of the step, which took from `began` to `now`.
    pub(in crate::engine) fn commit(
        &mut self,
        step: &Step,
        result: DecodeOutcome,
        began: Instant,
        now: Instant,
    ) {
        match result {
            DecodeOutcome::Done => {
                let prompt = step.n_tokens() - step.decoding - step.n_draft();
                let depth = self.depth();
                let tokens =
                    Tokens { decoding: step.decoding, prompt, guessed: step.n_draft(), depth };
                self.budget.observe(tokens, now - began);
                if prompt == 0 && !step.draft_reads_first {
                    self.learn_cost(step.guesser(), step.n_tokens(), now - began);
                }
                self.stats.tally.count_step(step.n_tokens(), now - began);
                let prices = self.prices(step);
                for (take, price) in step.takes.iter().zip(prices) {
                    self.advance(take, price, now);
                }
                for slot in step.takes.iter().filter_map(|take| self.slots[take.slot].as_ref()) {
                    slot.job.outbox.notify();
                }
                self.count_kv();
            }
            DecodeOutcome::Cancelled => {
                for take in &step.takes {
                    if let Some(slot) = &self.slots[take.slot] {
                        self.model.truncate(slot.seq, slot.computed);
                    }
                }
            }
            DecodeOutcome::Failed(reason) => {
                tracing::error!(
                    reason,
                    requests = step.takes.len(),
                    "a step could not be computed"
                );
                for take in &step.takes {
                    let reason = reason.clone();
                    self.discard(take.slot, now, End::Failed(Failure::EngineFailed { reason }));
                }
            }
        }
    }

    /// What the guesses of each slot in the step have cost, in tokens.
    fn prices(&self, step: &Step) -> Vec<f64> {
        let [by_text, by_draft] =
            [Drafter::Ngram, Drafter::Draft].map(|guesser| step.n_by(guesser));
        let price = |take: &Take| {
            let guesser = take.guess.guesser?;
            let each = self.speculator.price(guesser, step.decoding, by_text, by_draft);
            Some(each * take.guess.tokens.len() as f64)
        };
        step.takes.iter().map(|take| price(take).unwrap_or(0.0)).collect()
    }

    /// Moves one slot on by what the step computed for it, where its guesses have cost `price` tokens.
    fn advance(&mut self, take: &Take, price: f64, now: Instant) {
        let Some(slot) = &mut self.slots[take.slot] else { return };
        let was_reading = slot.is_prefilling();
        slot.computed += take.n;
        if was_reading {
            self.stats.prompt_tokens_total.fetch_add(take.n as u64, Relaxed);
            if slot.job.params.progress {
                slot.job.outbox.progress(slot.computed, slot.n_prompt);
            }
        }
        let Some(output) = take.output else { return };
        if was_reading {
            slot.prefilled_at = Some(now);
        }
        if slot.job.params.max_tokens == Some(0) {
            return self.finish(take.slot, now, End::Finished(FinishReason::Length));
        }
        self.draw(take, output, price, now);
    }

    /// Draws the token behind `output`, and further ones as long as they are the guessed ones,
    /// whose numbers the step has computed too.
    fn draw(&mut self, take: &Take, output: usize, price: f64, now: Instant) {
        let guess = &take.guess.tokens;
        let before = self.slots[take.slot].as_ref().map_or(0, Slot::n_generated);
        let (mut drawn, mut right) = (0, 0);
        let end = loop {
            let Some(slot) = &mut self.slots[take.slot] else { return };
            let token = match self.model.sample(output + drawn, &mut slot.sampler) {
                Ok(sampled) => {
                    drawn += 1;
                    let token = sampled.token;
                    if let Some(end) = self.append(take.slot, sampled) {
                        break Some(End::Finished(end));
                    }
                    token
                }
                Err(reason) => {
                    tracing::error!(reason, "no token could be drawn");
                    let failure = Failure::EngineFailed { reason };
                    return self.discard(take.slot, now, End::Failed(failure));
                }
            };
            if guess.get(drawn - 1) != Some(&token) {
                break None;
            }
            right += 1;
            if let Some(slot) = &mut self.slots[take.slot] {
                slot.computed += 1;
            }
        };
        let Some(slot) = &mut self.slots[take.slot] else { return };
        // The token that ends the text is none of it.
        let made = slot.n_generated() - before;
        if made > 0
            && let Some(last) = slot.last_token.replace(now)
        {
            // Tokens of one step come at once; each is counted with its share of the time.
            let each = (now - last) / made as u32;
            (0..made).for_each(|_| self.stats.tally.inter_token.observe(each));
        }
        self.settle_guess(take.slot, &take.guess, right, price, end.is_some());
        if let Some(end) = end {
            self.finish(take.slot, now, end);
        }
    }

    /// Adds a drawn token to the slot at `i`; says why the generation ends, if it does.
    fn append(&mut self, i: usize, sampled: Sampled) -> Option<FinishReason> {
        let slot = self.slots[i].as_mut()?;
        let Sampled { token, logprobs } = sampled;
        if self.vocabulary.is_end(token) && !slot.job.params.ignore_eos {
            return Some(FinishReason::Stop);
        }
        slot.tokens.push(token);
        self.stats.tokens_total.fetch_add(1, Relaxed);
        match slot.text.push(self.vocabulary.piece(token)) {
            Released::Stopped(text) => {
                slot.job.outbox.push(&text, logprobs);
                return Some(FinishReason::Stop);
            }
            Released::Text(text) => slot.job.outbox.push(&text, logprobs),
        }
        let wanted = slot.job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        let is_full = slot.n_generated() >= wanted || slot.tokens.len() >= self.options.ctx_size;
        is_full.then_some(FinishReason::Length)
    }
}

impl Step {
    /// Tokens the model has to compute.
    pub(in crate::engine) fn n_tokens(&self) -> usize {
        self.batch.tokens.len()
    }

    /// Guessed tokens among them.
    fn n_draft(&self) -> usize {
        self.takes.iter().map(|take| take.guess.tokens.len()).sum()
    }

    /// Those of one guesser.
    fn n_by(&self, guesser: Drafter) -> usize {
        let guesses = self.takes.iter().map(|take| &take.guess);
        guesses.filter(|guess| guess.guesser == Some(guesser)).map(|guess| guess.tokens.len()).sum()
    }

    /// What the draft model took for its guesses.
    pub(in crate::engine) fn drafting(&self) -> Duration {
        self.drafting.unwrap_or_default()
    }

    /// Whose guesses decided what the step cost.
    fn guesser(&self) -> Drafter {
        if self.drafting.is_some() { Drafter::Draft } else { Drafter::Ngram }
    }

    /// Adds the next `n` pending tokens of `slot`, which stands at `index`, and what is guessed
    /// to follow them.
    fn take<S>(&mut self, index: usize, slot: &Slot<S>, n: usize, guess: Guess) {
        let Batch { tokens: entries } = &mut self.batch;
        let pending: &[Token] = &slot.tokens[slot.computed..slot.computed + n];
        let first = entries.len();
        entries.extend(pending.iter().enumerate().map(|(i, &token)| BatchToken {
            token,
            pos: slot.computed + i,
            seq: slot.seq,
            output: false,
        }));
        let output = (n == slot.n_pending()).then_some(first + n - 1);
        if let Some(i) = output {
            entries[i].output = true;
        }
        entries.extend(guess.tokens.iter().enumerate().map(|(i, &token)| BatchToken {
            token,
            pos: slot.tokens.len() + i,
            seq: slot.seq,
            output: true,
        }));
        self.takes.push(Take { slot: index, n, output, guess });
        self.cancel.push(slot.job.cancel.clone());
    }
}
