//! The engine's interface for other threads: submit a request, observe, drain, stop.
//!
//! A request is tokenized and accepted or refused on the thread that submits it. A request that
//! cannot run is refused at once and costs the engine thread nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::answer::ReasoningCounter;
use crate::domain::{
    AnswerStart, AnswerStyle, EngineState, MemoryPart, Params, Prompt, Refusal, Request, Snapshot,
    Token,
};

use super::guidance::{guide_for, reasoning_counter};
use super::guide::AnswerGuide;
use super::model::{CancelFlag, ChatTokens, PromptLimit, Vocabulary};
use super::options::max_waiting;
use super::request::{Job, JobTicket, Notifier, Outbox};
use super::scheduler::MAX_SUSPENDED;
use super::shared::EngineShared;

/// A handle to a running engine. Clones are cheap and refer to the same engine.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) shared: Arc<EngineShared>,
}

impl EngineHandle {
    /// Submits a request. The engine notifies `notifier` whenever the returned ticket has a
    /// delivery.
    ///
    /// `received` is when the request reached the server. `admission` says which limit on waiting
    /// requests applies.
    ///
    /// The prompt is tokenized on the calling thread, which takes about a second for 4 MiB. If
    /// the engine begins to drain meanwhile, the request is refused.
    ///
    /// # Errors
    /// The [`Refusal`], if the request is not accepted. Nothing was computed for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::{Duration, Instant};
    ///
    /// use inference_core::domain::{AccountId, ConnectionId, Params, Prompt, Request};
    /// use inference_core::engine::{Admission, Engine, Limits, Loaded, Notifier, Options};
    /// use inference_core::scripted::{ScriptedModel, ScriptedVocabulary, StepControl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::<()>::spawn(Options::default(), |_progress| {
    ///     let limits =
    ///         Limits { n_ubatch: 8, n_slots: 1, slot_tokens: 4096, n_draft: 0 };
    ///     let model = ScriptedModel::new(limits, StepControl::free_running());
    ///     Ok(Loaded { model, vocabulary: Arc::new(ScriptedVocabulary) })
    /// })?;
    /// engine.loaded.await?;
    ///
    /// let request = Request {
    ///     connection: ConnectionId(1),
    ///     account: AccountId(1),
    ///     prompt: Prompt::Text("The scripted model repeats its prompt.".to_owned()),
    ///     params: Params::default(),
    /// };
    /// let notifier = Arc::<Notifier>::default();
    /// let mut ticket =
    ///     engine.handle.submit(request, Instant::now(), notifier.clone(), Admission::First)?;
    /// let mut text = String::new();
    /// loop {
    ///     notifier.urgent().await;
    ///     let delivery = ticket.take();
    ///     text += &delivery.text;
    ///     if delivery.outcome.is_some() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(text, "The scripted model repeats its prompt.");
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit(
        &self,
        request: Request,
        received: Instant,
        notifier: Arc<Notifier>,
        admission: Admission,
    ) -> Result<JobTicket, Refusal> {
        self.submit_with(request, received, notifier, admission, CancelFlag::default())
    }

    /// Submits a request as [`Self::submit`] does. Setting `flag` cancels it, already while its
    /// prompt is tokenized.
    ///
    /// # Errors
    /// Those of [`Self::submit`], and any [`Refusal`] if the request was cancelled.
    pub fn submit_with(
        &self,
        request: Request,
        received: Instant,
        notifier: Arc<Notifier>,
        admission: Admission,
        flag: CancelFlag,
    ) -> Result<JobTicket, Refusal> {
        let EngineShared { inbox, options, .. } = &*self.shared;
        let mut request = request;
        request.params.max_tokens = allowed_tokens(request.params.max_tokens, options.max_tokens)?;
        let AcceptedRequest { prompt, guide, reasoning, is_over_limit } =
            self.accept(&request, admission, &flag)?;
        let outbox = Arc::new(Outbox::new(notifier, inbox.waker().clone()));
        let ticket = JobTicket::new(outbox.clone(), flag.clone(), inbox.waker().clone());
        let mut job = Job::new(request, prompt.tokens, received, outbox, flag);
        job.answer_start = prompt.start;
        job.guide = guide.map(Box::new);
        job.reasoning = reasoning.map(Box::new);
        job.is_over_limit = is_over_limit;
        inbox.push(job);
        Ok(ticket)
    }

    /// Refuses new and waiting requests from now on. Running requests may finish; then the engine
    /// thread ends.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.inbox.waker().wake();
    }

    /// Ends all requests, each with an outcome, and then the engine thread.
    pub fn stop(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.stopping.set();
        self.shared.inbox.waker().wake();
    }

    /// The current state of the engine.
    pub fn snapshot(&self) -> Snapshot {
        let EngineShared { stats, inbox, stopping, .. } = &*self.shared;
        let snapshot = stats.snapshot(Instant::now(), stopping.n_polls());
        Snapshot { has_unseen_requests: !inbox.is_empty(), ..snapshot }
    }

    /// Number of steps in a row that could not be computed.
    pub fn failed_steps(&self) -> u32 {
        self.shared.stats.failed_steps()
    }

    /// The memory that the model takes; empty until it is loaded, or if the backend does not
    /// report it.
    pub fn memory(&self) -> &[MemoryPart] {
        self.shared.memory.get().map_or(&[], Vec::as_slice)
    }

    /// Number of layers on GPUs, the output matrix counted as one layer; `None` until the model is
    /// loaded, or if the backend does not report it.
    pub fn offloaded(&self) -> Option<u32> {
        self.shared.offloaded.get().copied()
    }

    /// Why conversations are refused; `None` if they are not, or until the model is loaded.
    pub fn chat_problem(&self) -> Option<&str> {
        self.shared.vocabulary.get()?.chat_problem()
    }

    /// How the model marks the parts of its answers; unmarked until it is loaded.
    pub fn answer_style(&self) -> AnswerStyle {
        self.shared.vocabulary.get().map(|vocabulary| vocabulary.answer_style()).unwrap_or_default()
    }

    /// What makes the model's answers worse, one sentence each; empty until it is loaded.
    pub fn warnings(&self) -> &[String] {
        self.shared.warnings.get().map_or(&[], Vec::as_slice)
    }

    /// [`Options::ctx_size`](super::Options::ctx_size) of this engine.
    pub fn ctx_size(&self) -> usize {
        self.shared.options.ctx_size
    }

    /// Accepts a request: checks and tokenizes it, compiles its constraint, and takes a queue
    /// position.
    fn accept(
        &self,
        request: &Request,
        admission: Admission,
        flag: &CancelFlag,
    ) -> Result<AcceptedRequest, Refusal> {
        let vocabulary = self.vocabulary()?;
        check_logit_bias(&request.params, vocabulary)?;
        let prompt = self.tokenize(&request.prompt, vocabulary, flag)?;
        let limit = PromptLimit::new(flag.clone(), TOKENIZING_BUDGET, "format");
        let guide = guide_for(request, prompt.start, vocabulary, &limit)?;
        let reasoning = reasoning_counter(request, prompt.start, vocabulary);
        // Tokenizing may have taken long enough for the engine to begin draining.
        self.vocabulary()?;
        let is_over_limit = self.take_queue_position(admission)?;
        Ok(AcceptedRequest { prompt, guide, reasoning, is_over_limit })
    }

    /// The vocabulary, if the engine accepts requests.
    pub(super) fn vocabulary(&self) -> Result<&dyn Vocabulary, Refusal> {
        let EngineShared { draining, stats, vocabulary, .. } = &*self.shared;
        if draining.load(Ordering::Acquire) {
            return Err(Refusal::ShuttingDown);
        }
        if stats.state() == EngineState::Stopped {
            return Err(Refusal::EngineFailed { reason: "the engine has stopped".to_owned() });
        }
        vocabulary.get().map(AsRef::as_ref).ok_or(Refusal::Loading)
    }

    /// The tokens of `prompt`, if they leave space for an answer.
    pub(super) fn tokenize(
        &self,
        prompt: &Prompt,
        vocabulary: &dyn Vocabulary,
        flag: &CancelFlag,
    ) -> Result<ChatTokens, Refusal> {
        let ctx_size = self.ctx_size();
        let overflow = |prompt_tokens, is_lower_bound| Refusal::ContextOverflow {
            prompt_tokens,
            ctx_size,
            is_lower_bound,
        };
        if let Prompt::Tokens(tokens) = prompt {
            check_tokens(tokens, "prompt", vocabulary)?;
        }
        let bytes = prompt.n_bytes();
        let min_tokens = match prompt {
            Prompt::Tokens(tokens) => tokens.len(),
            Prompt::Text(_) | Prompt::Chat(_) => bytes / vocabulary.longest_piece().max(1),
        };
        if bytes > EXACT_COUNT_BYTES && min_tokens >= ctx_size {
            return Err(overflow(min_tokens, true));
        }
        let limit = |field| PromptLimit::new(flag.clone(), TOKENIZING_BUDGET, field);
        let ChatTokens { tokens, start } = match prompt {
            Prompt::Text(text) => {
                let tokens = vocabulary.tokenize(text, &limit("prompt"))?;
                ChatTokens { tokens, start: AnswerStart::default() }
            }
            Prompt::Tokens(tokens) => {
                ChatTokens { tokens: tokens.clone(), start: AnswerStart::default() }
            }
            Prompt::Chat(conversation) => {
                vocabulary.tokenize_chat(conversation, &limit("messages"))?
            }
        };
        if tokens.is_empty() {
            let reason = "the prompt is empty and the model has no begin-of-text token, \
                          so there is nothing to continue: send some text";
            return Err(invalid("prompt", reason.to_owned()));
        }
        if tokens.len() >= ctx_size {
            return Err(overflow(tokens.len(), false));
        }
        Ok(ChatTokens { tokens, start })
    }

    /// Counts one more waiting request, if the queue has space. Free slots add to that space,
    /// because a request waits for a moment even if a slot is free. The scheduler subtracts the
    /// request when it gets a slot or ends. True if the request is beyond the limit, so that the
    /// scheduler may have to refuse one. First requests are never refused here: connections limit
    /// their number, and the scheduler knows whose request has to give way.
    fn take_queue_position(&self, admission: Admission) -> Result<bool, Refusal> {
        let EngineShared { stats, options, .. } = &*self.shared;
        let free_slots = stats
            .numbers
            .slots
            .load(Ordering::Relaxed)
            .saturating_sub(stats.numbers.active.load(Ordering::Relaxed));
        let most = max_waiting(options.max_queue);
        let has_space = |n: usize| match admission {
            Admission::Further => n < options.max_queue + free_slots,
            Admission::First | Admission::Accepted => true,
        };
        let update = |n: usize| has_space(n).then_some(n + 1);
        stats
            .numbers
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, update)
            .map(|queued| admission == Admission::First && queued >= most + free_slots)
            .map_err(|queued| Refusal::Busy { queued })
    }
}

/// Most requests that an engine with `slots` slots keeps, given
/// [`Options::max_queue`](super::Options::max_queue): running, suspended and waiting ones. More may
/// have just arrived, one of each connection, for which others are about to be refused.
pub fn max_requests(max_queue: usize, slots: usize) -> usize {
    slots + MAX_SUSPENDED + max_waiting(max_queue)
}

/// Which limit on waiting requests applies to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its connection has other requests in flight.
    Further,
    /// Its connection has no other request in flight: some queue positions are reserved for such
    /// requests, and if these are taken as well, a request of the account that has most of them
    /// gives way.
    First,
    /// It was accepted before, by an engine that has ended. There is no limit.
    Accepted,
}

/// What [`EngineHandle::accept`] found out about a request.
struct AcceptedRequest {
    prompt: ChatTokens,
    guide: Option<AnswerGuide>,
    reasoning: Option<ReasoningCounter>,
    /// Whether a waiting request has to give way to it.
    is_over_limit: bool,
}

/// Checks that every token in `logit_bias` exists.
fn check_logit_bias(params: &Params, vocabulary: &dyn Vocabulary) -> Result<(), Refusal> {
    let biased = params.logit_bias.iter().map(|(token, _)| token);
    check_tokens(biased, "logit_bias", vocabulary)
}

/// Checks that all `tokens`, which are from `field` of a request, exist.
pub(super) fn check_tokens<'a>(
    tokens: impl IntoIterator<Item = &'a Token>,
    field: &str,
    vocabulary: &dyn Vocabulary,
) -> Result<(), Refusal> {
    let n = vocabulary.n_tokens();
    let is_unknown = |token: Token| !usize::try_from(token).is_ok_and(|id| id < n);
    match tokens.into_iter().find(|&&token| is_unknown(token)) {
        None => Ok(()),
        Some(token) => {
            let reason = format!("there is no token {token}, the model has 0 to {}", n - 1);
            Err(invalid(field, reason))
        }
    }
}

/// The value of `max_tokens` for a request that asks for `requested`, if the server allows at most
/// `ceiling`.
fn allowed_tokens(requested: Option<u32>, ceiling: Option<u32>) -> Result<Option<u32>, Refusal> {
    match (requested, ceiling) {
        (Some(requested), Some(ceiling)) if requested > ceiling => {
            let reason = format!("must be at most {ceiling} on this server, not {requested}");
            Err(invalid("max_tokens", reason))
        }
        (requested, ceiling) => Ok(requested.or(ceiling)),
    }
}

fn invalid(field: &str, reason: String) -> Refusal {
    Refusal::InvalidParams { field: field.to_owned(), reason }
}

/// Longest prompt in bytes that is always tokenized, so that its refusal can name the exact number
/// of tokens. A longer prompt that cannot fit is refused by its length (ADR-0019).
const EXACT_COUNT_BYTES: usize = 256 * 1024;

/// Longest time for tokenizing a prompt. Nothing that ordinary text needs (ADR-0019).
const TOKENIZING_BUDGET: Duration = Duration::from_secs(10);
