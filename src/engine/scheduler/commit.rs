//! Applies the result of a step: samples tokens and advances the slots.
//!
//! The sampled text goes into the outboxes, and the clients are notified after all slots. Requests
//! that are complete end here. The durations of steps and the results of drafts go to the prefill
//! budget and the speculator, which learn from them.

use std::time::{Duration, Instant};

use crate::domain::{Failure, FinishReason, Params};
use crate::engine::kv::Reused;
use crate::engine::model::{AllowedTokens, DecodeOutcome, Model, Sampled};
use crate::engine::prefill::StepTokens;
use crate::engine::request::End;

use super::Scheduler;
use super::slot::Slot;
use super::step::{Step, StepPart};
use super::waiting::flow_of;

impl<M: Model> Scheduler<M> {
    /// Applies the result of a step that took from `began` to `now`. A failed step ends its
    /// requests; a cancelled one is undone.
    pub(in crate::engine) fn commit(
        &mut self,
        step: &Step,
        outcome: DecodeOutcome,
        began: Instant,
        now: Instant,
    ) {
        match outcome {
            DecodeOutcome::Done => self.commit_computed(step, now - began, now),
            DecodeOutcome::Cancelled => {
                for part in &step.parts {
                    if let Some(slot) = &mut self.slots[part.slot]
                        && !self.model.truncate(slot.seq, slot.n_computed)
                    {
                        self.model.truncate(slot.seq, 0);
                        slot.reuse(Reused::default());
                    }
                }
            }
            DecodeOutcome::Failed(reason) => {
                let requests = step.parts.len();
                tracing::error!(reason, requests, "a step could not be computed");
                for part in &step.parts {
                    let reason = reason.clone();
                    self.discard(part.slot, now, End::Failed(Failure::EngineFailed { reason }));
                }
            }
        }
    }

    /// Applies the result of a computed step, which took `elapsed`.
    fn commit_computed(&mut self, step: &Step, elapsed: Duration, now: Instant) {
        self.learn_from(step, elapsed);
        self.metrics.step_computed(step.n_tokens(), elapsed);
        for part in &step.parts {
            self.account(part, step.n_tokens(), elapsed);
            self.advance(part, now);
            if let Some(slot) = &mut self.slots[part.slot] {
                self.queue.charge(flow_of(&slot.job), slot.take_unpaid());
            }
        }
        // Clients are notified after all slots have advanced, so that the text of all requests of a
        // connection is sent together.
        for slot in step.parts.iter().filter_map(|part| self.slots[part.slot].as_ref()) {
            slot.job.outbox.notify();
        }
        self.report_kv_usage();
    }

    /// Counts the step of `n_tokens` tokens, which took `elapsed`, towards the request of `part`.
    fn account(&mut self, part: &StepPart, n_tokens: usize, elapsed: Duration) {
        if let Some(slot) = &mut self.slots[part.slot] {
            let share = part.n_batch_tokens() as f64 / n_tokens as f64;
            slot.computing += elapsed.mul_f64(share);
        }
    }

    /// Learns how long the step took.
    fn learn_from(&mut self, step: &Step, elapsed: Duration) {
        let n_prompt = step.n_prompt();
        let tokens = StepTokens {
            n_decoding: step.n_decoding,
            n_prompt,
            n_drafted: step.n_drafted(),
            depth: self.prefill_depth(),
        };
        self.prefill.observe(tokens, elapsed);
        if n_prompt == 0 {
            self.speculator.observe_step(step.drafting, step.n_tokens(), elapsed.as_secs_f64());
        }
    }

    /// The largest number of tokens in the KV cache among the prefilling slots, before the step.
    fn prefill_depth(&self) -> usize {
        let prefilling = self.running().filter(|slot| slot.is_prefilling());
        prefilling.map(|slot| slot.n_computed).max().unwrap_or(0)
    }

    /// Advances a slot by the tokens that the step computed for it, and samples if the step has its
    /// output.
    fn advance(&mut self, part: &StepPart, now: Instant) {
        let Some(slot) = &mut self.slots[part.slot] else { return };
        let was_prefilling = slot.is_prefilling();
        slot.computed(part.n_tokens, self.model.chunk_rules());
        if was_prefilling {
            self.metrics.prompt_tokens_computed(part.n_tokens);
            // A text that is prefilled again has had its progress reported.
            if slot.job.params.progress && slot.prefilled_at.is_none() {
                slot.job.outbox.progress(slot.n_computed, slot.n_prompt);
            }
        }
        let Some(output) = part.output else { return };
        slot.prefilled_at.get_or_insert(now);
        if slot.job.params.max_tokens == Some(0) {
            return self.finish(part.slot, now, End::Finished(FinishReason::MaxTokens));
        }
        self.generate(part, output, now);
    }

    /// Samples the token after the batch token `output`, and further ones while the draft tokens
    /// are accepted.
    fn generate(&mut self, part: &StepPart, output: usize, now: Instant) {
        let n_before = self.slots[part.slot].as_ref().map_or(0, Slot::n_generated);
        let (n_accepted, end) = match self.sample(part, output) {
            Ok(result) => result,
            Err(failure) => {
                return self.discard(part.slot, now, End::Failed(failure));
            }
        };
        let Some(slot) = &mut self.slots[part.slot] else { return };
        // The end token is not part of the text.
        let n = slot.n_generated() - n_before;
        if n > 0
            && let Some(last) = slot.last_token.replace(now)
        {
            self.metrics.tokens_after(now - last, n);
        }
        let n_drafted = part.draft.tokens.len();
        self.speculator.settle(slot.seq, &part.draft, n_accepted, end.is_some());
        slot.speculation.n_drafted += n_drafted;
        slot.speculation.n_accepted += n_accepted;
        self.metrics.drafted(n_drafted, n_accepted);
        if n_accepted < n_drafted {
            self.model.truncate(slot.seq, slot.n_computed);
        }
        if let Some(reason) = end {
            self.finish(part.slot, now, End::Finished(reason));
        }
    }

    /// Samples tokens until one differs from the draft or the answer ends. Returns the number of
    /// accepted draft tokens, and the reason if the answer ends.
    ///
    /// # Errors
    /// The model could not sample, or the constraint cannot go on.
    fn sample(
        &mut self,
        part: &StepPart,
        output: usize,
    ) -> Result<(usize, Option<FinishReason>), Failure> {
        let draft = &part.draft.tokens;
        let mut n_accepted = 0;
        loop {
            let Some(slot) = &mut self.slots[part.slot] else { return Ok((n_accepted, None)) };
            let allowed = match &mut slot.job.guide {
                Some(guide) => match guide.allowed() {
                    Ok(allowed) => allowed,
                    Err(reason) => return Err(constraint_failed(&slot.job.params, reason)),
                },
                None => AllowedTokens::Any,
            };
            if allowed == AllowedTokens::Nothing {
                return Ok((n_accepted, Some(FinishReason::Stop)));
            }
            let sampled = self.model.sample(output + n_accepted, &mut slot.sampler, allowed);
            let sampled = sampled.map_err(|reason| {
                tracing::error!(reason, "no token could be sampled");
                Failure::EngineFailed { reason }
            })?;
            let token = sampled.token;
            if let Some(reason) = self.append(part.slot, sampled)? {
                return Ok((n_accepted, Some(reason)));
            }
            if draft.get(n_accepted) != Some(&token) {
                return Ok((n_accepted, None));
            }
            n_accepted += 1;
            if let Some(slot) = &mut self.slots[part.slot] {
                slot.n_computed += 1;
            }
        }
    }

    /// Adds a sampled token to slot `i`. Returns the reason if the answer ends with it.
    ///
    /// # Errors
    /// The constraint cannot go on.
    fn append(&mut self, i: usize, sampled: Sampled) -> Result<Option<FinishReason>, Failure> {
        let Some(slot) = self.slots[i].as_mut() else { return Ok(None) };
        let Sampled { token, logprobs } = sampled;
        if self.vocabulary.is_end(token) && !slot.job.params.ignore_eos {
            return Ok(Some(FinishReason::Stop));
        }
        slot.tokens.push(token);
        self.metrics.token_generated();
        slot.job.outbox.generated();
        let piece = self.vocabulary.piece(token);
        let is_complete = match &mut slot.job.guide {
            Some(guide) => {
                let accepted = guide.accept(token, piece.bytes);
                accepted.map_err(|reason| constraint_failed(&slot.job.params, reason))?
            }
            None => false,
        };
        let shown = piece.shown(slot.job.shows_marks);
        if shown.is_empty()
            && let Some(stop) = slot.job.params.stop.iter().find(|s| s.as_bytes() == piece.bytes)
        {
            slot.stop = Some(stop.clone());
            return Ok(Some(FinishReason::Stop));
        }
        if slot.push_text(shown, logprobs) {
            return Ok(Some(FinishReason::Stop));
        }
        let max_tokens = slot.job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        if is_complete {
            return Ok(Some(FinishReason::Stop));
        }
        if slot.n_generated() >= max_tokens {
            return Ok(Some(FinishReason::MaxTokens));
        }
        let is_full = slot.tokens.len() >= self.options.ctx_size;
        Ok(is_full.then_some(FinishReason::ContextFull))
    }
}

/// The failure of a request whose constraint cannot go on. That is due to the constraint, which is
/// the client's.
fn constraint_failed(params: &Params, reason: String) -> Failure {
    let default = if params.constraint.is_some() { "format" } else { "tools" };
    let field = params.constraint_field.clone().unwrap_or_else(|| default.to_owned());
    Failure::ConstraintFailed { field, reason }
}
