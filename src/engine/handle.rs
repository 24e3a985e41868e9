//! The engine as everybody else sees it: submit, look, drain, stop.
//!
//! Admission is decided here, on the caller's thread: a request that cannot run is refused at
//! once and costs the engine nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::domain::{MemoryPart, Prompt, Refusal, Request, Token};

use super::model::{CancelFlag, Vocabulary};
use super::options::Options;
use super::request::{Canceller, Inbox, Job, Notifier, Outbox, Ticket};
use super::stats::{Snapshot, State, Stats};
use super::tally::{Ending, Report};

/// A text this long is tokenised to the end even if it cannot fit, so that the refusal names the
/// exact number; a longer one is refused by its length. 256 KiB take about a tenth of a second.
const EXACT_COUNT_BYTES: usize = 256 * 1024;

/// Of the queue one part in so many is added for connections that have nothing else under way: those
/// that fill it cannot keep a newcomer out.
const NEWCOMERS_PART: usize = 4;

/// What the handles and the thread share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) stats: Arc<Stats>,
    pub(super) inbox: Inbox,
    /// Set once the model is loaded.
    pub(super) vocabulary: OnceLock<Arc<dyn Vocabulary>>,
    /// Set by a load that knows.
    pub(super) memory: OnceLock<Vec<MemoryPart>>,
    /// Likewise.
    pub(super) offloaded: OnceLock<u32>,
    /// No new requests; the running ones may finish.
    pub(super) draining: AtomicBool,
    /// End what runs, with an outcome, and leave.
    pub(super) stopping: CancelFlag,
}

/// The engine's door. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) shared: Arc<Shared>,
}

impl EngineHandle {
    /// Accepts a request or refuses it. `received` is when the request came in, `bell` is rung
    /// whenever the ticket has something to take, and a newcomer is a connection that has no other
    /// request under way.
    ///
    /// The prompt is tokenised on the calling thread, which takes about a second for 4 MiB; a
    /// server that leaves meanwhile refuses it after that.
    ///
    /// # Errors
    /// Every [`Refusal`]; nothing has been computed then.
    pub fn submit(
        &self,
        request: Request,
        received: Instant,
        notifier: Arc<Notifier>,
        is_newcomer: bool,
    ) -> Result<Ticket, Refusal> {
        let Shared { stats, inbox, .. } = &*self.shared;
        let tokens = self
            .admit(&request, is_newcomer)
            .inspect_err(|refusal| stats.tally.count(refusal.into()))?;
        let outbox = Arc::new(Outbox::new(notifier, inbox.waker().clone()));
        let flag = CancelFlag::default();
        let ticket = Ticket::new(
            outbox.clone(),
            Canceller::new(flag.clone(), inbox.waker().clone()),
            stats.clone(),
            received,
        );
        inbox.push(Job::new(request, tokens, received, outbox, flag));
        Ok(ticket)
    }

    /// Distributions and counts since the start.
    pub fn report(&self) -> Report {
        self.shared.stats.tally.report()
    }

    /// What the loaded model takes; empty before, and where nobody knows.
    pub fn memory(&self) -> &[MemoryPart] {
        self.shared.memory.get().map_or(&[], Vec::as_slice)
    }

    /// Layers of the loaded model that lie on cards, the output matrix counted as one; `None`
    /// before, and where nobody knows.
    pub fn offloaded(&self) -> Option<u32> {
        self.shared.offloaded.get().copied()
    }

    /// What the engine is doing now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.stats.snapshot(Instant::now())
    }

    /// Tokens a request may use, prompt and answer together.
    pub fn ctx_size(&self) -> usize {
        self.shared.options.ctx_size
    }

    /// Requests that may wait for a slot.
    pub fn max_queue(&self) -> usize {
        self.shared.options.max_queue
    }

    /// Bytes of ordinary memory for finished sequences that are kept beside the KV cache.
    pub fn cache_ram_bytes(&self) -> usize {
        self.shared.options.cache_ram_bytes
    }

    /// Refuses everything new and everything that waits; what runs may finish.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.inbox.waker().wake();
    }

    /// Ends what runs, each request with an outcome, and then the thread.
    pub fn stop(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.stopping.set();
        self.shared.inbox.waker().wake();
    }

    /// The tokens of a request that has a place in the queue now.
    fn admit(&self, request: &Request, is_newcomer: bool) -> Result<Vec<Token>, Refusal> {
        let tokens = self.tokens(self.vocabulary()?, request)?;
        self.vocabulary()?;
        self.take_place(is_newcomer)?;
        Ok(tokens)
    }

    fn vocabulary(&self) -> Result<&dyn Vocabulary, Refusal> {
        let Shared { draining, stats, vocabulary, .. } = &*self.shared;
        if draining.load(Ordering::Acquire) {
            return Err(Refusal::ShuttingDown);
        }
        if stats.state() == State::Ended {
            return Err(Refusal::EngineFailed);
        }
        vocabulary.get().map(AsRef::as_ref).ok_or(Refusal::Loading)
    }

    /// Tokenises the prompt, and refuses what cannot run.
    fn tokens(
        &self,
        vocabulary: &dyn Vocabulary,
        request: &Request,
    ) -> Result<Vec<Token>, Refusal> {
        let invalid = |field: &str, reason: String| Refusal::InvalidParams {
            field: field.to_owned(),
            reason,
        };
        for &(token, _) in &request.params.logit_bias {
            if !usize::try_from(token).is_ok_and(|id| id < vocabulary.n_tokens()) {
                let n = vocabulary.n_tokens();
                return Err(invalid(
                    "logit_bias",
                    format!("there is no token {token}, the model has 0 to {}", n - 1),
                ));
            }
        }
        let ctx_size = self.ctx_size();
        let overflow = |prompt_tokens, at_least| Refusal::ContextOverflow {
            prompt_tokens,
            ctx_size,
            at_least,
        };
        let bytes = match &request.prompt {
            Prompt::Text(text) => text.len(),
            Prompt::Messages(messages) => messages.iter().map(|m| m.content.len()).sum(),
        };
        let fewest = bytes / vocabulary.longest_piece().max(1);
        if bytes > EXACT_COUNT_BYTES && fewest >= ctx_size {
            return Err(overflow(fewest, true));
        }
        let tokens = match &request.prompt {
            Prompt::Text(text) => vocabulary.tokenize(text),
            Prompt::Messages(messages) => vocabulary.tokenize_chat(messages)?,
        };
        if tokens.is_empty() {
            let reason = "the prompt is empty and the model has no begin-of-text token, \
                          so there is nothing to continue: send some text";
            return Err(invalid("prompt", reason.to_owned()));
        }
        if tokens.len() >= ctx_size {
            return Err(overflow(tokens.len(), false));
        }
        Ok(tokens)
    }

    /// Counts a request that was refused before it came here.
    pub fn count_refused(&self, ending: Ending) {
        self.shared.stats.tally.count(ending);
    }

    /// Takes a place in the bounded queue; the scheduler gives it back.
    fn take_place(&self, is_newcomer: bool) -> Result<(), Refusal> {
        let Shared { stats, options, .. } = &*self.shared;
        let free_slots = stats
            .slots
            .load(Ordering::Relaxed)
            .saturating_sub(stats.active.load(Ordering::Relaxed));
        let reserve = if is_newcomer { options.max_queue.div_ceil(NEWCOMERS_PART) } else { 0 };
        let limit = options.max_queue + reserve + free_slots;
        stats
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < limit).then_some(n + 1))
            .map(|_| ())
            .map_err(|queued| Refusal::Busy { queued })
    }
}
