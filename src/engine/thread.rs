//! The engine thread: loads the model, runs the loop, says its last words.
//!
//! The model is born here and never leaves. The loop waits for exactly one thing, its inbox, and
//! only when no slot can run, so an idle engine costs nothing.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::domain::{Failure, MemoryPart};

use super::handle::{EngineHandle, Options, Shared};
use super::inbox::Inbox;
use super::model::{CancelFlag, DecodeOutcome, Model, Vocabulary};
use super::scheduler::{Patience, Scheduler};
use super::stats::{State, Stats};

/// Name of the engine thread, which llama.cpp's compute threads inherit on Linux.
pub const ENGINE_THREAD_NAME: &str = "engine";

/// Stack of the thread. llama.cpp's graph building is recursive and its regex tokenisers are
/// deep; Rust's default of 2 MiB is little for them.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// A loaded model.
pub struct Loaded<M> {
    /// What computes; stays on the thread.
    pub model: M,
    /// What tokenises; shared with everybody.
    pub vocabulary: Arc<dyn Vocabulary>,
}

/// Where a load reports how far it is, and learns that it is no longer wanted.
pub struct LoadProgress {
    shared: Arc<Shared>,
    /// The part of all that is loaded that this one tells of: where it begins and ends, 0 to 1.
    begin: f32,
    end: f32,
}

impl LoadProgress {
    fn whole(shared: Arc<Shared>) -> Self {
        Self { shared, begin: 0.0, end: 1.0 }
    }

    /// Two of which the first tells of so large a part, 0 to 1, and the other of what comes then.
    pub fn split_at(&self, part: f32) -> (Self, Self) {
        let Self { begin, end, .. } = *self;
        let between = begin + (end - begin) * part;
        let half = |begin, end| Self { shared: self.shared.clone(), begin, end };
        (half(begin, between), half(between, end))
    }

    /// Reports the loaded fraction, 0 to 1. False asks to give up.
    pub fn report(&self, fraction: f32) -> bool {
        self.shared.stats.set_load_progress(self.begin + (self.end - self.begin) * fraction);
        !self.shared.stopping.is_set()
    }

    /// Reports what the model takes, once it is loaded.
    pub fn memory(&self, parts: Vec<MemoryPart>) {
        // A load reports once.
        let _ = self.shared.memory.set(parts);
    }

    /// Reports how many layers lie on cards, the output matrix counted as one, once it is loaded.
    pub fn offloaded(&self, layers: u32) {
        // A load reports once.
        let _ = self.shared.offloaded.set(layers);
    }
}

/// A running engine, for the one who owns it.
pub struct Engine<E> {
    /// The door for everybody else.
    pub handle: EngineHandle,
    /// Resolves when the model is loaded; fails when it will not be.
    pub loaded: oneshot::Receiver<()>,
    /// Resolves when the thread is through: well, or with the reason why the model did not load.
    /// Fails when the thread panicked.
    pub ended: oneshot::Receiver<Result<(), E>>,
    thread: JoinHandle<()>,
}

impl<E: Send + 'static> Engine<E> {
    /// Starts the thread, which calls `load` and then serves until it is stopped.
    ///
    /// # Errors
    /// The operating system's, where it has no thread to give.
    pub fn spawn<M, F>(options: Options, load: F) -> io::Result<Self>
    where
        M: Model,
        F: FnOnce(&LoadProgress) -> Result<Loaded<M>, E> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            options,
            stats: Arc::new(Stats::new(Instant::now())),
            inbox: Arc::new(Inbox::default()),
            vocabulary: OnceLock::new(),
            memory: OnceLock::new(),
            offloaded: OnceLock::new(),
            draining: AtomicBool::new(false),
            stopping: CancelFlag::default(),
        });
        let (loaded_tx, loaded) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let for_thread = shared.clone();
        let thread = thread::Builder::new()
            .name(ENGINE_THREAD_NAME.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _last_words = LastWords(for_thread.clone());
                let result = run(&for_thread, load, loaded_tx);
                // Nobody may be left to hear it.
                let _ = ended_tx.send(result);
            })?;
        Ok(Self { handle: EngineHandle { shared }, loaded, ended, thread })
    }

    /// Waits for the thread to be gone; to be called after [`Self::ended`] has resolved.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the engine thread panicked");
        }
    }
}

/// Marks the engine as ended however the thread ends, and ends what it left in the inbox.
struct LastWords(Arc<Shared>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.stats.set_state(State::Ended);
        let failure = if self.0.draining.load(Ordering::Acquire) {
            Failure::ShuttingDown
        } else {
            Failure::EngineFailed { reason: "the engine has stopped".to_owned() }
        };
        self.0.inbox.close(&failure);
    }
}

fn run<M, E, F>(shared: &Arc<Shared>, load: F, loaded: oneshot::Sender<()>) -> Result<(), E>
where
    M: Model,
    F: FnOnce(&LoadProgress) -> Result<Loaded<M>, E>,
{
    let Loaded { model, vocabulary } = load(&LoadProgress::whole(shared.clone()))?;
    let Shared { options, stats, .. } = &**shared;
    let mut scheduler = Scheduler::new(model, vocabulary.clone(), *options, stats.clone());
    // Empty until now: this thread alone sets it.
    let _ = shared.vocabulary.set(vocabulary);
    stats.set_load_progress(1.0);
    stats.set_state(State::Ready);
    // The owner may have lost interest.
    let _ = loaded.send(());
    serve(shared, &mut scheduler);
    Ok(())
}

fn serve<M: Model>(shared: &Shared, scheduler: &mut Scheduler<M>) {
    let Shared { stats, inbox, draining, stopping, .. } = shared;
    loop {
        let jobs = match scheduler.patience(Instant::now()) {
            Patience::None => inbox.take(),
            Patience::Until(limit) => inbox.wait(Some(limit)),
            // A drain or stop that came before this point has rung the bell.
            Patience::Forever => inbox.wait(None),
        };
        let now = Instant::now();
        scheduler.accept(jobs);
        if stopping.is_set() {
            return scheduler.end_all(now);
        }
        if draining.load(Ordering::Acquire) {
            stats.set_state(State::Draining);
            scheduler.refuse_waiting(now);
            if scheduler.is_idle() {
                return;
            }
        }
        // All of a turn may be the model's work: sequences are moved, and a draft model is asked.
        stats.step_begins(now);
        scheduler.sweep(now);
        scheduler.admit(now);
        let began = Instant::now();
        let Some(step) = scheduler.plan(stopping) else {
            stats.step_is_off();
            continue;
        };
        let planned = Instant::now();
        let drafting = step.drafting();
        let result = scheduler.decode(&step, stopping);
        let decoded = Instant::now();
        stats.step_ends(matches!(result, DecodeOutcome::Done));
        scheduler.commit(&step, result, began, decoded);
        let scheduling = (planned - now).saturating_sub(drafting);
        stats.step_took([scheduling, drafting, decoded - planned, decoded.elapsed()]);
    }
}
