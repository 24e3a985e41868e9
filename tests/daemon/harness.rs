//! An engine on a real model, without sockets: what is submitted, and what comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inference_core::domain::{
    ConnectionId, FinishReason, Message, Outcome, Params, Prompt, Refusal, Request, Role,
    Speculation, TokenLogprobs, Usage,
};
use inference_core::engine::{self, Engine, EngineHandle, Notifier, Ticket};
use inference_core::llama::{self, LoadError, ModelSource};

/// Longer than any test needs, so that a hang is a failure and not a wait for ever.
const DEADLINE: Duration = Duration::from_secs(120);

/// A loaded model.
pub struct Harness {
    engine: Engine<LoadError>,
}

/// A finished request.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    pub reason: FinishReason,
    pub usage: Usage,
    pub logprobs: Vec<TokenLogprobs>,
}

impl Harness {
    /// The demo model with `slots` slots.
    pub fn demo(slots: u32) -> Self {
        Self::on(ModelSource::Demo, slots, 1024)
    }

    /// The same without flash attention, which sums in half precision on a CPU and in another
    /// order for other batches: what is left of differences then is ours.
    pub fn exact(slots: u32) -> Self {
        Self::with(ModelSource::Demo, None, slots, 1024, Some(false))
    }

    /// A model with a draft model, likewise.
    pub fn drafted(source: ModelSource, slots: u32, draft: ModelSource) -> Self {
        Self::with(source, Some(draft), slots, 1024, Some(false))
    }

    pub fn on(source: ModelSource, slots: u32, ctx_size: u32) -> Self {
        Self::with(source, None, slots, ctx_size, None)
    }

    fn with(
        source: ModelSource,
        draft: Option<ModelSource>,
        slots: u32,
        ctx_size: u32,
        flash_attention: Option<bool>,
    ) -> Self {
        llama::send_logs_to_tracing();
        let description = llama::describe(&source).unwrap();
        let draft = draft.map(|draft| llama::describe(&draft).unwrap());
        let options = llama::Options {
            kv_tokens: ctx_size * slots,
            parallel: slots,
            ubatch: 512,
            n_draft: 15,
            // With one there is nothing to wait for, however busy the machine is.
            threads: 1,
            flash_attention,
            kv_type: llama::KvType::F16,
            gpu_layers: llama::OffloadTarget::Auto,
            vram_reserve: 0,
        };
        let engine_options = engine::Options {
            ctx_size: ctx_size as usize,
            cache_ram_bytes: 64 << 20,
            slow_client_grace: DEADLINE,
            step_target: Duration::from_millis(50),
            speculative: Speculation::Off,
            // Whether it pays is a matter of time, which no test shall depend on.
            speculation_margin_percent: 0,
            ..engine::Options::default()
        };
        let mut engine = Engine::spawn(engine_options, move |progress| {
            let placement = llama::plan_offload(&description, &options, &[]);
            llama::load(&description, draft.as_ref(), options, placement, progress)
        })
        .unwrap();
        runtime().block_on(async { (&mut engine.loaded).await }).expect("the model loads");
        Self { engine }
    }

    pub fn file(path: &Path, slots: u32) -> Self {
        Self::on(ModelSource::File(path.to_owned()), slots, 1024)
    }

    pub fn handle(&self) -> &EngineHandle {
        &self.engine.handle
    }

    /// Generates one answer.
    pub fn generate(&self, prompt: &str, params: Params) -> Answer {
        self.generate_all(&[prompt], &params).remove(0)
    }

    /// Generates answers to all prompts at once.
    pub fn generate_all(&self, prompts: &[&str], params: &Params) -> Vec<Answer> {
        let submitted: Vec<_> = prompts
            .iter()
            .map(|prompt| self.submit(Prompt::Text((*prompt).to_owned()), params.clone()).unwrap())
            .collect();
        submitted.into_iter().map(|(ticket, notifier)| collect(ticket, &notifier)).collect()
    }

    /// Generates the assistant's next turn after one of the user's.
    pub fn chat(&self, content: &str, params: Params) -> Result<Answer, Refusal> {
        let turn = Message { role: Role::User, content: content.to_owned() };
        let (ticket, notifier) = self.submit(Prompt::Messages(vec![turn]), params)?;
        Ok(collect(ticket, &notifier))
    }

    pub fn submit(
        &self,
        prompt: Prompt,
        params: Params,
    ) -> Result<(Ticket, Arc<Notifier>), Refusal> {
        let notifier = Arc::new(Notifier::default());
        let request = Request { connection: ConnectionId(1), prompt, params };
        let ticket = self.engine.handle.submit(request, Instant::now(), notifier.clone(), true)?;
        Ok((ticket, notifier))
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.engine.handle.stop();
        let ended = async { tokio::time::timeout(DEADLINE, &mut self.engine.ended).await };
        assert!(runtime().block_on(ended).is_ok(), "the engine does not stop");
    }
}

/// Greedy, at most `n` tokens.
pub fn greedy(n: u32) -> Params {
    Params { temp: 0.0, max_tokens: Some(n), ..Params::default() }
}

/// Asserts that two greedy answers to one prompt are the same text, up to a point where the model
/// itself cannot tell two tokens apart. llama.cpp's kernels round differently for different
/// batches, by about a thousandth of a logit on quantised models; where the two likeliest tokens
/// are closer than `near_tie`, either is greedy. `ours` must have been asked for two logprobs.
pub fn assert_same_greedy(prompt: &str, ours: &Answer, theirs: &str, near_tie: f32) {
    if ours.text == theirs {
        return;
    }
    let mut bytes = Vec::new();
    for logprobs in &ours.logprobs {
        let [first, second] = &logprobs.top[..] else { panic!("two logprobs are needed") };
        bytes.extend(&logprobs.chosen.bytes);
        if !theirs.as_bytes().starts_with(&bytes) {
            let gap = first.logprob - second.logprob;
            assert!(gap < near_tie, "{prompt}: gap {gap}: {:?} or {theirs:?}", ours.text);
            return;
        }
    }
    panic!("{prompt}: {:?} ends before {theirs:?}", ours.text);
}

/// Tokens whose log-probabilities differ by less are equals to the kernels' rounding.
pub const NEAR_TIE: f32 = 0.02;

fn collect(mut ticket: Ticket, notifier: &Notifier) -> Answer {
    let (mut text, mut logprobs) = (String::new(), Vec::new());
    runtime().block_on(async {
        let work = async {
            loop {
                let delivery = ticket.take();
                text += &delivery.text;
                logprobs.extend(delivery.logprobs);
                match delivery.outcome {
                    Some(Outcome::Finished { reason, usage }) => {
                        return Answer { text, reason, usage, logprobs };
                    }
                    Some(Outcome::Failed(failure)) => panic!("{failure}"),
                    None => tokio::select! {
                        () = notifier.routine() => {}
                        () = notifier.urgent() => {}
                    },
                }
            }
        };
        tokio::time::timeout(DEADLINE, work).await.expect("the answer ends")
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
