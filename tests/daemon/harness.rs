//! An engine with a real model and without sockets: submits requests and collects the answers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inference_core::domain::{
    AccountId, ConnectionId, Conversation, FinishReason, Message, Outcome, Params, Prompt, Refusal,
    Request, Role, Speculation, TokenLogprobs, Usage,
};
use inference_core::engine::{self, Admission, Engine, EngineHandle, JobTicket, Notifier};
use inference_core::llama::{self, LoadError, ModelDescription, ModelSource};

/// Limit of every wait, far above what a test needs.
const DEADLINE: Duration = Duration::from_secs(120);

/// Context of a slot in tokens, unless a test chooses another.
const CTX_SIZE: u32 = 1024;

/// Host RAM for copies, unless a test chooses another amount.
const CACHE_RAM_BYTES: usize = 64 << 20;

/// An engine with a loaded model, stopped on drop.
pub struct Harness {
    engine: Engine<LoadError>,
}

/// The result of a finished request.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    pub reason: FinishReason,
    pub usage: Usage,
    pub logprobs: Vec<TokenLogprobs>,
}

impl Harness {
    /// The demo model.
    pub fn demo(slots: u32) -> Self {
        Self::new(ModelSource::Demo, slots, CTX_SIZE)
    }

    /// The demo model without flash attention, which on a CPU sums in half precision and in an
    /// order that depends on the batch. Without it, fewer differences between texts are due to
    /// llama.cpp.
    pub fn without_flash_attention(slots: u32) -> Self {
        Self::load(ModelSource::Demo, None, slots, CTX_SIZE, Some(false), CACHE_RAM_BYTES)
    }

    /// The demo model without host RAM for copies.
    pub fn without_cache_ram(slots: u32) -> Self {
        Self::load(ModelSource::Demo, None, slots, CTX_SIZE, None, 0)
    }

    /// A model with a draft model, without flash attention.
    pub fn with_draft_model(source: ModelSource, slots: u32, draft: ModelSource) -> Self {
        Self::load(source, Some(draft), slots, CTX_SIZE, Some(false), CACHE_RAM_BYTES)
    }

    /// The model at `path`.
    pub fn file(path: &Path, slots: u32) -> Self {
        Self::new(ModelSource::File(path.to_owned()), slots, CTX_SIZE)
    }

    /// Any model, with a context of `ctx_size` tokens per slot.
    pub fn new(source: ModelSource, slots: u32, ctx_size: u32) -> Self {
        Self::load(source, None, slots, ctx_size, None, CACHE_RAM_BYTES)
    }

    /// The model with this description.
    pub fn described(description: ModelDescription, slots: u32) -> Self {
        Self::load_described((description, None), slots, CTX_SIZE, None, CACHE_RAM_BYTES)
    }

    fn load(
        source: ModelSource,
        draft: Option<ModelSource>,
        slots: u32,
        ctx_size: u32,
        flash_attention: Option<bool>,
        cache_ram_bytes: usize,
    ) -> Self {
        llama::send_logs_to_tracing();
        let description = llama::describe(&source).unwrap();
        let draft = draft.map(|draft| llama::describe(&draft).unwrap());
        Self::load_described(
            (description, draft),
            slots,
            ctx_size,
            flash_attention,
            cache_ram_bytes,
        )
    }

    fn load_described(
        (description, draft): (ModelDescription, Option<ModelDescription>),
        slots: u32,
        ctx_size: u32,
        flash_attention: Option<bool>,
        cache_ram_bytes: usize,
    ) -> Self {
        let options = llama::Options {
            slot_tokens: ctx_size,
            parallel: slots,
            ubatch: 512,
            n_draft: 15,
            // A single thread never waits for other threads, however busy the machine is.
            threads: 1,
            has_adaptive_threads: false,
            flash_attention,
            kv_type: llama::KvType::F16,
            gpu_layers: llama::OffloadTarget::Auto,
            vram_reserve: 0,
        };
        let engine_options = engine::Options {
            ctx_size: ctx_size as usize,
            cache_ram_bytes,
            slow_client_grace: DEADLINE,
            step_target: Duration::from_millis(50),
            speculative: Speculation::Off,
            // Drafts whatever that costs, so that no test depends on measured times.
            speculation_margin_percent: 0,
            ..engine::Options::default()
        };
        let mut engine = Engine::spawn(engine_options, move |progress| {
            let offload_plan = llama::plan_offload(&description, &options, &[]);
            llama::load(&description, draft.as_ref(), options, offload_plan, progress)
        })
        .unwrap();
        runtime().block_on(async { (&mut engine.loaded).await }).expect("the model loads");
        Self { engine }
    }

    pub fn handle(&self) -> &EngineHandle {
        &self.engine.handle
    }

    /// Generates one answer.
    pub fn generate(&self, prompt: &str, params: Params) -> Answer {
        self.generate_all(&[prompt], &params).remove(0)
    }

    /// Submits all prompts at once and generates their answers.
    pub fn generate_all(&self, prompts: &[&str], params: &Params) -> Vec<Answer> {
        let submitted: Vec<_> = prompts
            .iter()
            .map(|prompt| self.submit(Prompt::Text((*prompt).to_owned()), params.clone()).unwrap())
            .collect();
        submitted.into_iter().map(|(ticket, notifier)| collect(ticket, &notifier)).collect()
    }

    /// Generates the answer to a chat message.
    pub fn chat(&self, content: &str, params: Params) -> Result<Answer, Refusal> {
        let conversation = Conversation::of(vec![Message::text(Role::User, content)]);
        let (ticket, notifier) = self.submit(Prompt::Chat(Box::new(conversation)), params)?;
        Ok(collect(ticket, &notifier))
    }

    /// Submits each prompt at once on a connection of its own, and generates the answers.
    pub fn generate_for_each(&self, prompts: &[&str], params: &Params) -> Vec<Answer> {
        let submitted: Vec<_> = (1..)
            .zip(prompts)
            .map(|(connection, prompt)| {
                let prompt = Prompt::Text((*prompt).to_owned());
                self.submit_as(connection, prompt, params.clone()).unwrap()
            })
            .collect();
        submitted.into_iter().map(|(ticket, notifier)| collect(ticket, &notifier)).collect()
    }

    pub fn submit(
        &self,
        prompt: Prompt,
        params: Params,
    ) -> Result<(JobTicket, Arc<Notifier>), Refusal> {
        self.submit_as(1, prompt, params)
    }

    /// Submits a request of the given connection.
    fn submit_as(
        &self,
        connection: u64,
        prompt: Prompt,
        params: Params,
    ) -> Result<(JobTicket, Arc<Notifier>), Refusal> {
        let notifier = Arc::new(Notifier::default());
        let request =
            Request { connection: ConnectionId(connection), account: AccountId(1), prompt, params };
        let ticket = self.engine.handle.submit(
            request,
            Instant::now(),
            notifier.clone(),
            Admission::First,
        )?;
        Ok((ticket, notifier))
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.engine.handle.stop();
        let ended = async { tokio::time::timeout(DEADLINE, &mut self.engine.ended).await };
        assert!(runtime().block_on(ended).is_ok(), "the engine stops in time");
    }
}

/// Parameters for greedy text of at most `max_tokens` tokens.
pub fn greedy(max_tokens: u32) -> Params {
    Params { temp: 0.0, max_tokens: Some(max_tokens), ..Params::default() }
}

/// Largest difference between the log-probabilities of two tokens that are a near tie.
pub const NEAR_TIE: f32 = 0.02;

/// Asserts that two greedy answers to one prompt have the same text, at least up to a near tie.
///
/// llama.cpp's kernels round differently for different batches, by about a thousandth of a logit
/// with quantised models. If the log-probabilities of the two likeliest tokens differ by less than
/// `near_tie`, either may be chosen. `answer` must have been requested with two logprobs.
pub fn assert_same_greedy_text(prompt: &str, answer: &Answer, expected: &str, near_tie: f32) {
    if answer.text == expected {
        return;
    }
    let mut bytes = Vec::new();
    for logprobs in &answer.logprobs {
        let [first, second] = &logprobs.top[..] else { panic!("two logprobs are needed") };
        bytes.extend(&logprobs.chosen.bytes);
        if !expected.as_bytes().starts_with(&bytes) {
            let difference = first.logprob - second.logprob;
            assert!(
                difference < near_tie,
                "{prompt}: {:?}, not {expected:?}, at a difference of {difference}",
                answer.text
            );
            return;
        }
    }
    panic!("{prompt}: {:?} ends before {expected:?}", answer.text);
}

/// Waits for the end of a request and returns its whole answer.
fn collect(mut ticket: JobTicket, notifier: &Notifier) -> Answer {
    let (mut text, mut logprobs) = (String::new(), Vec::new());
    runtime().block_on(async {
        let work = async {
            loop {
                let delivery = ticket.take();
                text += &delivery.text;
                logprobs.extend(delivery.logprobs);
                match delivery.outcome {
                    Some(Outcome::Finished { reason, usage, .. }) => {
                        return Answer { text, reason, usage, logprobs };
                    }
                    Some(Outcome::Failed(failure)) => panic!("{failure}"),
                    Some(Outcome::Refused(refusal)) => panic!("{refusal}"),
                    None => tokio::select! {
                        () = notifier.coalesced() => {}
                        () = notifier.urgent() => {}
                    },
                }
            }
        };
        tokio::time::timeout(DEADLINE, work).await.expect("the request ends in time")
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
