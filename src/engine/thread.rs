//! The engine thread: loads the model, then runs the engine loop until the engine is stopped or
//! drained.
//!
//! The thread owns the model from load to drop. It waits only for its inbox, and only while no slot
//! can run, so an idle engine takes no CPU time. Once it ends, the inbox fails all jobs that are
//! left in it or arrive later. After a panic no job gets an outcome: the owner of the engine
//! decides.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::domain::{EngineState, Failure};

use super::handle::EngineHandle;
use super::load::{LoadProgress, Loaded};
use super::model::{DecodeOutcome, Model};
use super::options::Options;
use super::scheduler::{Scheduler, WaitLimit};
use super::shared::EngineShared;
use super::stats::StepResult;

/// A running engine, for its owner. `E` is the error of a failed load.
pub struct Engine<E> {
    /// The interface for all other threads.
    pub handle: EngineHandle,
    /// Resolves when the model is loaded; fails if it cannot be loaded.
    pub loaded: oneshot::Receiver<()>,
    /// Resolves when the thread has finished, with the error if the model could not be loaded.
    /// Fails if the thread panicked.
    pub ended: oneshot::Receiver<Result<(), E>>,
    /// The engine thread.
    thread: JoinHandle<()>,
}

impl<E: Send + 'static> Engine<E> {
    /// Starts the engine thread. It calls `load`, then serves requests until it is stopped.
    ///
    /// # Errors
    /// Fails if the operating system cannot start a thread.
    pub fn spawn<M, F>(options: Options, load: F) -> io::Result<Self>
    where
        M: Model,
        F: FnOnce(&LoadProgress) -> Result<Loaded<M>, E> + Send + 'static,
    {
        let shared = Arc::new(EngineShared::new(options));
        let (loaded_tx, loaded) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let for_thread = shared.clone();
        let thread = thread::Builder::new()
            .name(ENGINE_THREAD_NAME.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _guard = StopGuard(for_thread.clone());
                let result = run(&for_thread, load, loaded_tx);
                // Fails if the owner has dropped the receiver, which is fine.
                let _ = ended_tx.send(result);
            })?;
        Ok(Self { handle: EngineHandle { shared }, loaded, ended, thread })
    }

    /// Waits until the thread has ended. Blocks, so it is to be called after [`Self::ended`] has
    /// resolved.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the engine thread panicked");
        }
    }
}

/// Marks the engine as stopped when the thread ends, by a panic too, and ends the jobs that are
/// left in the inbox, unless by a panic.
struct StopGuard(Arc<EngineShared>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.stats.set_state(EngineState::Stopped);
        if thread::panicking() {
            return;
        }
        let failure = if self.0.draining.load(Ordering::Acquire) {
            Failure::ShuttingDown
        } else {
            Failure::EngineFailed { reason: "the engine has stopped".to_owned() }
        };
        self.0.inbox.close(&failure);
    }
}

/// Loads the model, shares its vocabulary with the handles, resolves `loaded`, and runs the engine
/// loop.
fn run<M, E, F>(shared: &Arc<EngineShared>, load: F, loaded: oneshot::Sender<()>) -> Result<(), E>
where
    M: Model,
    F: FnOnce(&LoadProgress) -> Result<Loaded<M>, E>,
{
    let Loaded { model, vocabulary } = load(&LoadProgress::new(shared.clone()))?;
    let EngineShared { options, stats, .. } = &**shared;
    let mut scheduler = Scheduler::new(model, vocabulary.clone(), *options, stats.clone());
    // Cannot fail: no other thread sets it.
    let _ = shared.vocabulary.set(vocabulary);
    stats.set_load_progress(1.0);
    stats.set_state(EngineState::Ready);
    // Fails if the owner has dropped the receiver, which is fine.
    let _ = loaded.send(());
    serve(shared, &mut scheduler);
    Ok(())
}

/// The engine loop, which [`super`] describes.
fn serve<M: Model>(shared: &EngineShared, scheduler: &mut Scheduler<M>) {
    let EngineShared { stats, inbox, draining, stopping, .. } = shared;
    loop {
        let jobs = match scheduler.wait_limit(Instant::now()) {
            WaitLimit::NoWait => inbox.take(),
            WaitLimit::AtMost(limit) => inbox.wait(Some(limit)),
            // A drain or stop before this point has set the waker, so the wait returns at once.
            WaitLimit::Unlimited => inbox.wait(None),
        };
        let now = Instant::now();
        scheduler.enqueue(jobs, now);
        if stopping.is_set() {
            return scheduler.end_all(now);
        }
        if draining.load(Ordering::Acquire) {
            stats.set_state(EngineState::Draining);
            scheduler.refuse_waiting(now);
            if scheduler.is_idle() {
                return;
            }
        }
        // The whole iteration is timed. The model also works in admission and planning, where it
        // copies sequences and drafts tokens, and in the commit, where it samples.
        let iteration = stats.iteration(now);
        scheduler.sweep(now);
        scheduler.admit(now);
        let began = Instant::now();
        let Some(step) = scheduler.plan(stopping) else { continue };
        let planned = iteration.planned(Instant::now(), step.drafting_time());
        let result = scheduler.decode(&step, stopping);
        let decoded = Instant::now();
        let committing = planned.decoded(
            decoded,
            match &result {
                DecodeOutcome::Done => StepResult::Computed,
                DecodeOutcome::Failed(_) => StepResult::Failed,
                DecodeOutcome::Cancelled => StepResult::Cancelled,
            },
        );
        scheduler.commit(&step, result, began, decoded);
        committing.committed(Instant::now());
    }
}

/// Name of the engine thread, which llama.cpp's compute threads inherit on Linux.
pub const ENGINE_THREAD_NAME: &str = "engine";

/// Stack size of the engine thread. Graph building and some regex tokenizers in llama.cpp recurse
/// deeply; 2 MiB, Rust's default, leaves little reserve.
const STACK_BYTES: usize = 16 * 1024 * 1024;
