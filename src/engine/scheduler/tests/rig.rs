//! A scheduler with a scripted model, and the clients of its requests.

use super::*;
use crate::domain::{AnswerStart, AnswerStyle, Constraint, TokenLogprobs};
use crate::engine::guide::AnswerGuide;
use crate::engine::kv::{CopyLimits, IDLE_BEFORE_MIRRORING};
use crate::engine::model::{ChunkRules, PromptLimit};
use crate::scripted::ScriptedCuts;

/// How long an outbox may stay full.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A scheduler whose time the test advances.
pub(super) struct Rig {
    pub(super) scheduler: Scheduler<ScriptedModel>,
    pub(super) stats: Arc<Stats>,
    pub(super) now: Instant,
    /// Duration of a step for each of its tokens, in addition to ten milliseconds.
    pub(super) per_token: Duration,
}

impl Rig {
    /// A rig without host RAM for copies.
    pub(super) fn new(limits: Limits, ctx_size: usize) -> Self {
        Self::with_cache(0, limits, ctx_size)
    }

    /// A rig with `cache_ram_bytes` of host RAM. A token of the scripted model takes four bytes.
    pub(super) fn with_cache(cache_ram_bytes: usize, limits: Limits, ctx_size: usize) -> Self {
        let now = Instant::now();
        let stats = Arc::new(Stats::new(now));
        let options = Options {
            ctx_size,
            max_queue: 100,
            cache_ram_bytes,
            slow_client_grace: GRACE,
            step_target: Duration::from_millis(50),
            ..Options::default()
        };
        let model = ScriptedModel::new(limits, StepControl::free_running());
        let scheduler = Scheduler::new(model, Arc::new(ScriptedVocabulary), options, stats.clone());
        Self { scheduler, stats, now, per_token: Duration::ZERO }
    }

    /// A rig with `n_slots` slots, 100 tokens of context for each, and a batch of 16 tokens.
    pub(super) fn with_slots(n_slots: usize) -> Self {
        Self::new(Limits { n_ubatch: 16, n_slots, slot_tokens: 100, n_draft: 15 }, 100)
    }

    /// The same rig with a model whose sequences can be cut only there.
    pub(super) fn with_cuts(mut self, cuts: ScriptedCuts) -> Self {
        let model = ScriptedModel::new(self.scheduler.limits, StepControl::free_running());
        self.scheduler.model = model.with_cuts(cuts);
        self
    }

    /// The same rig with a model that wants prompts to be divided like that.
    pub(super) fn with_chunk_rules(mut self, rules: ChunkRules) -> Self {
        let model = ScriptedModel::new(self.scheduler.limits, StepControl::free_running());
        self.scheduler.model = model.with_chunk_rules(rules);
        self
    }

    /// The same rig with a draft model, on a machine where each token takes a millisecond.
    pub(super) fn with_draft(mut self, draft: ScriptedDraft) -> Self {
        let model = ScriptedModel::new(self.scheduler.limits, StepControl::free_running());
        self.scheduler.model = model.with_draft(draft);
        self.per_token = Duration::from_millis(1);
        self
    }

    /// Sets the bytes that an iteration may copy while a slot decodes. It may copy half of that
    /// while nothing runs, and sixteen times as much during prefill.
    pub(super) fn set_copy_limits(&mut self, decoding: usize) {
        self.scheduler.kv.limits =
            CopyLimits { idle: decoding.div_ceil(2), decoding, prefilling: 16 * decoding };
    }

    /// Submits a request of connection 1.
    pub(super) fn submit(&mut self, prompt: &str, params: Params) -> Client {
        self.submit_as(1, prompt, params)
    }

    /// Submits a request of the given connection.
    pub(super) fn submit_as(&mut self, connection: u64, prompt: &str, params: Params) -> Client {
        let tokens = tokens_of(prompt);
        self.submit_tokens(connection, tokens, params)
    }

    /// Submits a request of a connection of the given account.
    pub(super) fn submit_for(
        &mut self,
        account: u64,
        connection: u64,
        prompt: &str,
        params: Params,
    ) -> Client {
        self.submit_job((account, connection), tokens_of(prompt), params, false)
    }

    /// Submits a request of the given connection although too many are waiting.
    pub(super) fn submit_over_limit(&mut self, connection: u64, prompt: &str) -> Client {
        let tokens = tokens_of(prompt);
        self.submit_job((connection, connection), tokens, at_most(1), true)
    }

    /// Submits a request of the given connection for a prompt of `tokens`.
    pub(super) fn submit_tokens(
        &mut self,
        connection: u64,
        tokens: Vec<Token>,
        params: Params,
    ) -> Client {
        self.submit_job((connection, connection), tokens, params, false)
    }

    fn submit_job(
        &mut self,
        (account, connection): (u64, u64),
        tokens: Vec<Token>,
        params: Params,
        is_over_limit: bool,
    ) -> Client {
        let notifier = Arc::<Notifier>::default();
        let outbox = Arc::new(Outbox::new(notifier.clone(), Arc::default()));
        let cancel = CancelFlag::default();
        let prompt = Prompt::Text(String::new());
        let request = Request {
            connection: ConnectionId(connection),
            account: AccountId(account),
            prompt,
            params,
        };
        self.stats.numbers.queued.fetch_add(1, Relaxed);
        let mut job = Job::new(request, tokens, self.now, outbox.clone(), cancel.clone());
        job.is_over_limit = is_over_limit;
        job.guide = guide_for(&job.params).map(Box::new);
        self.scheduler.enqueue(vec![job], self.now);
        Client {
            outbox,
            notifier,
            cancel,
            text: String::new(),
            logprobs: Vec::new(),
            queued: None,
            outcomes: Vec::new(),
        }
    }

    /// One iteration of the engine loop. Returns the number of tokens in its step.
    pub(super) fn iterate(&mut self) -> Option<usize> {
        self.iterate_with(|| {})
    }

    /// One iteration in which `meanwhile` runs between sweeping and admission.
    pub(super) fn iterate_with(&mut self, meanwhile: impl FnOnce()) -> Option<usize> {
        self.scheduler.sweep(self.now);
        meanwhile();
        self.scheduler.admit(self.now);
        let stop = StopFlag::default();
        let step = self.scheduler.plan(&stop)?;
        let result = self.scheduler.decode(&step, &stop);
        let began = self.now;
        let n = step.n_tokens();
        self.now += Duration::from_millis(10) + self.per_token * n as u32;
        self.scheduler.commit(&step, result, began, self.now);
        Some(n)
    }

    /// Iterates until all requests have ended. The clients read after each iteration.
    pub(super) fn drive(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..10_000 {
            let ran = self.iterate().is_some();
            clients.iter_mut().for_each(|client| client.read());
            if !ran && self.scheduler.is_idle() {
                return;
            }
        }
        panic!("the requests do not end");
    }

    /// Iterates until the requests of `clients`, who read after each iteration, have ended.
    pub(super) fn drive_ended(&mut self, clients: &mut [&mut Client]) {
        while clients.iter().any(|client| client.outcomes.is_empty()) {
            self.iterate();
            clients.iter_mut().for_each(|client| client.read());
        }
    }

    /// Runs a request for one token alone.
    pub(super) fn ask(&mut self, prompt: &str) -> Usage {
        let mut client = self.submit(prompt, at_most(1));
        self.drive(&mut [&mut client]);
        client.usage()
    }

    /// Runs a request for one token beside others.
    pub(super) fn ask_beside(&mut self, prompt: &str) -> Usage {
        let mut client = self.submit_as(2, prompt, at_most(1));
        while client.outcomes.is_empty() {
            self.iterate();
            client.read();
        }
        client.usage()
    }

    /// Cancels a request and iterates until it has ended.
    pub(super) fn cancel(&mut self, mut running: Client) {
        running.cancel.set();
        self.drive(&mut [&mut running]);
    }

    /// Lets time pass until the engine has nothing more to do while idle.
    pub(super) fn rest(&mut self) {
        while let WaitLimit::AtMost(wait) = self.wait_limit() {
            self.now += wait;
            assert_eq!(self.iterate(), None);
        }
        assert_eq!(self.wait_limit(), WaitLimit::Unlimited);
    }

    /// Lets pass the time after which an idle engine mirrors cached sequences.
    pub(super) fn wait_for_mirroring(&mut self) {
        self.now += IDLE_BEFORE_MIRRORING;
    }

    /// [`Scheduler::wait_limit`] now.
    pub(super) fn wait_limit(&self) -> WaitLimit {
        self.scheduler.wait_limit(self.now)
    }

    /// Number of running requests.
    pub(super) fn n_active(&self) -> usize {
        self.stats.numbers.active.load(Relaxed)
    }

    /// Number of waiting requests.
    pub(super) fn n_queued(&self) -> usize {
        self.stats.numbers.queued.load(Relaxed)
    }

    /// Number of suspended requests.
    pub(super) fn n_suspended(&self) -> usize {
        self.stats.numbers.suspended.load(Relaxed)
    }

    /// Number of suspensions so far.
    pub(super) fn n_suspensions(&self) -> u64 {
        self.stats.numbers.suspensions_total.load(Relaxed)
    }

    /// Prompt tokens that were computed.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.stats.numbers.prompt_tokens_total.load(Relaxed) as usize
    }

    /// Tokens in the KV cache.
    pub(super) fn kv_used(&self) -> usize {
        self.stats.numbers.kv_used_tokens.load(Relaxed)
    }

    /// Number of copies in host RAM.
    pub(super) fn n_copies(&self) -> usize {
        self.stats.numbers.swapped_sequences.load(Relaxed)
    }

    /// Bytes of copies in host RAM.
    pub(super) fn copy_bytes(&self) -> usize {
        self.stats.numbers.swapped_bytes.load(Relaxed)
    }

    /// Number of sequences swapped out so far.
    pub(super) fn n_swapped_out(&self) -> u64 {
        self.stats.numbers.swapped_out_total.load(Relaxed)
    }

    /// Number of sequences swapped in so far.
    pub(super) fn n_swapped_in(&self) -> u64 {
        self.stats.numbers.swapped_in_total.load(Relaxed)
    }

    /// Whether a copy is in progress.
    pub(super) fn is_copying(&self) -> bool {
        self.scheduler.kv.is_copying()
    }
}

/// The client's side of a request.
pub(super) struct Client {
    pub(super) outbox: Arc<Outbox>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) cancel: CancelFlag,
    pub(super) text: String,
    pub(super) logprobs: Vec<TokenLogprobs>,
    /// The latest queue position.
    pub(super) queued: Option<usize>,
    pub(super) outcomes: Vec<Outcome>,
}

impl Client {
    /// Takes what is in the outbox.
    pub(super) fn read(&mut self) {
        let Delivery { queued, text, logprobs, outcome, .. } = self.outbox.take();
        self.text += &text;
        self.logprobs.extend(logprobs);
        self.queued = queued.or(self.queued);
        self.outcomes.extend(outcome);
    }

    /// The usage of a request that has finished, once.
    pub(super) fn usage(&self) -> Usage {
        match self.outcomes.as_slice() {
            [Outcome::Finished { usage, .. }] => *usage,
            other => panic!("not finished once: {other:?}"),
        }
    }
}

/// Parameters for an answer of at most `n` tokens.
pub(super) fn at_most(n: u32) -> Params {
    Params { max_tokens: Some(n), ..Params::default() }
}

/// The guide of an answer with these parameters.
fn guide_for(params: &Params) -> Option<AnswerGuide> {
    let limit = PromptLimit::none();
    let compile = |constraint: &Constraint| ScriptedVocabulary.constrain(constraint, &limit);
    let constraint = params.constraint.as_deref().map(|constraint| compile(constraint).unwrap());
    let start = (&AnswerStyle::default(), AnswerStart::default());
    AnswerGuide::new(constraint, None, start, &ScriptedVocabulary, &limit).unwrap()
}

/// The tokens of `prompt`.
fn tokens_of(prompt: &str) -> Vec<Token> {
    ScriptedVocabulary.tokenize(prompt, &PromptLimit::none()).unwrap()
}
