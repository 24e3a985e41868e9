//! Builds the parts of the daemon, connects them, and shuts them down in order.
//!
//! The only module that knows all others. [`run`] reads the model's header, binds the port and
//! starts the engine thread, which loads the weights while the server already accepts clients.
//! Shutting down has the reverse order: no new requests, running requests finish or are cancelled,
//! the engine thread stops, every connection gets its last frames and is closed, the process exits.
//!
//! | file | content |
//! |---|---|
//! | `logging` | the log filter, and where log lines go |
//! | `plan` | from the configuration and the model to the options of every module |
//! | `listen` | the sockets |
//! | `start_screen` | the lines and the progress bar on the terminal |
//! | `contention` | a warning if other programs starve the engine of CPU time |
//! | `signals` | the signals that ask to shut down |
//! | `error` | why the daemon stopped, and the exit codes |
//! | `units` | sizes as people read them |

mod contention;
mod error;
mod listen;
mod logging;
mod plan;
mod signals;
mod start_screen;
mod units;

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;

use crate::build_info;
use crate::cli::{Config, PlanOptions};
use crate::engine::{Engine, EngineState};
use crate::gpu::Monitor;
use crate::llama::{self, LoadError, ModelDescription, ModelSource};
use crate::server::Server;
use crate::watchdog::Watchdog;

use self::plan::{PlanPage, ServePlan};
use self::signals::Signals;

pub use self::error::DaemonError;
pub use self::signals::is_hangup_ignored;

/// Serves a model until a signal asks to shut down.
///
/// # Errors
/// [`DaemonError`]. Its text is for the user.
pub fn run(config: &Config) -> Result<(), DaemonError> {
    logging::init(&config.log)?;
    llama::send_logs_to_tracing();
    let description = llama::describe(&model_source(config))?;
    let draft = describe_draft(config)?;
    let plan = ServePlan::new(config, &description, draft.as_ref(), &llama::gpu_devices())?;
    plan.check_memory(&description.source, llama::available_memory_and_swap())?;
    let runtime = server_runtime()?;
    let result = runtime.block_on(serve(config, description, draft, plan));
    runtime.shutdown_background();
    result
}

/// Plans how a model would use the memory of the GPUs and the host, without loading it. Returns a
/// table or JSON.
///
/// # Errors
/// [`DaemonError`], if the model cannot be read or the options do not fit it.
pub fn plan(config: &Config, options: &PlanOptions) -> Result<String, DaemonError> {
    llama::send_logs_to_tracing();
    let description = llama::describe_partial(&model_source(config))?;
    let draft = describe_draft(config)?;
    let gpus = match &options.vram[..] {
        [] => llama::gpu_devices(),
        sizes => plan::hypothetical_gpus(sizes),
    };
    let plan = ServePlan::new(config, &description, draft.as_ref(), &gpus)?;
    let page = PlanPage::new(&description, &plan);
    Ok(if options.json { page.json() } else { page.table() })
}

/// The text that `--version` prints.
pub fn version() -> String {
    format!(
        "inference-core {}\ncommit     {}\nllama.cpp  {}\nbackend    {}\ncpu flags  {}",
        build_info::VERSION,
        build_info::COMMIT,
        llama::version(),
        build_info::BACKEND,
        build_info::CPU_FLAGS,
    )
}

/// The model to serve, or the demo model if the configuration names none.
fn model_source(config: &Config) -> ModelSource {
    config.model.clone().map_or(ModelSource::Demo, ModelSource::File)
}

/// Describes the draft model, if the configuration names one.
fn describe_draft(config: &Config) -> Result<Option<ModelDescription>, DaemonError> {
    let description = config.draft.clone().map(|path| llama::describe(&ModelSource::File(path)));
    description.transpose().map_err(DaemonError::Draft)
}

/// The runtime of the server. It has a single worker thread, which serves thousands of
/// connections: more workers wake each other more often, and each wake-up takes a CPU from the
/// compute threads.
fn server_runtime() -> Result<Runtime, DaemonError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .thread_name("server")
        .thread_stack_size(SERVER_STACK_BYTES)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("cannot start the server's threads")?;
    Ok(runtime)
}

/// Starts all parts and runs until a signal comes or the engine fails, then shuts down.
async fn serve(
    config: &Config,
    description: ModelDescription,
    draft: Option<ModelDescription>,
    plan: ServePlan,
) -> Result<(), DaemonError> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let listeners = listen::on_loopback(config.port)?;
    let draft_info = draft.as_ref().map(|draft| &draft.info);
    start_screen::print(&description, draft_info, &plan, &listeners);

    let about = plan.about(&description.info);
    let started = Instant::now();
    let ServePlan { llama, offload_plan, .. } = plan.clone();
    let threads = llama.threads;
    let load = move |progress: &_| {
        llama::load(&description, draft.as_ref(), llama, offload_plan, progress)
    };
    let mut engine = Engine::spawn(plan.engine, load).context("cannot start the engine thread")?;

    let closing = CancellationToken::new();
    let watchdog = Watchdog::new(config.stall_limit);
    let monitor = Monitor::spawn(plan.gpu).context("cannot start the GPU monitor's thread")?;
    let readings = monitor.readings();
    let server = Server::new(plan.server, engine.handle.clone(), about, watchdog, readings);
    let mut serving = tokio::spawn(server.serve(listeners, closing.clone()));

    let result = tokio::select! {
        result = supervise(&mut engine, started) => result,
        signal = signals.next() => {
            tracing::info!(signal, "shutting down");
            drain(&mut engine, &mut signals, config.drain_timeout).await
        }
        never = contention::watch(threads) => match never {},
    };
    if matches!(result, Err(DaemonError::SecondSignal)) {
        return result;
    }
    closing.cancel();
    tokio::select! {
        served = &mut serving => if served.is_err() {
            tracing::error!("the server task panicked");
        },
        // The engine has stopped. Clients that have not read their last frames yet lose them.
        _ = signals.next() => return result.and(Err(DaemonError::SecondSignal)),
    }
    join_engine(engine, result)
}

/// Waits until the model is loaded, and then until the engine stops, which is an error: nothing
/// has asked it to.
async fn supervise(engine: &mut Engine<LoadError>, started: Instant) -> Result<(), DaemonError> {
    if start_screen::show_loading(&engine.handle, &mut engine.loaded).await {
        start_screen::print_ready(started.elapsed());
    }
    match (&mut engine.ended).await {
        Ok(Err(error)) => Err(DaemonError::Load(error)),
        Ok(Ok(())) | Err(_) => Err(DaemonError::EngineLost),
    }
}

/// Lets running requests finish for `drain_timeout`, then cancels them and stops the engine. A
/// load is stopped at once.
async fn drain(
    engine: &mut Engine<LoadError>,
    signals: &mut Signals,
    drain_timeout: Duration,
) -> Result<(), DaemonError> {
    if engine.handle.snapshot().state == EngineState::Loading {
        engine.handle.stop();
    } else {
        start_screen::print_draining(&engine.handle, drain_timeout);
        engine.handle.drain();
    }
    let drained = async {
        let ended = match tokio::time::timeout(drain_timeout, &mut engine.ended).await {
            Ok(ended) => ended,
            Err(_) => {
                engine.handle.stop();
                let stopped = tokio::time::timeout(STOP_GRACE, &mut engine.ended).await;
                stopped.map_err(|_| DaemonError::EngineHangs)?
            }
        };
        match ended {
            // If the model did not load, the reason no longer matters.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(_) => Err(DaemonError::EngineLost),
        }
    };
    tokio::select! {
        result = drained => result,
        _ = signals.next() => {
            engine.handle.stop();
            // Exiting destroys llama.cpp's globals, which a computing thread still uses.
            let _ = tokio::time::timeout(SECOND_SIGNAL_STOP_GRACE, &mut engine.ended).await;
            Err(DaemonError::SecondSignal)
        }
    }
}

/// Joins the engine thread, unless it hangs: then the join would hang too, and ignore signals.
fn join_engine(
    engine: Engine<LoadError>,
    result: Result<(), DaemonError>,
) -> Result<(), DaemonError> {
    if !matches!(result, Err(DaemonError::EngineHangs)) {
        engine.join();
    }
    result
}

/// Stack of the server's threads. They tokenize prompts, and some of llama.cpp's pre-tokenizers
/// are regular expressions that recurse more than 1 MiB deep (ADR-0019).
const SERVER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// Maximum number of threads that parse long messages and tokenize long prompts.
const MAX_BLOCKING_THREADS: usize = 4;

/// How long the engine may take to stop. On a CPU it checks its stop flag after every operation,
/// so only a hanging engine takes this long.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long the engine may take to stop after a second signal.
const SECOND_SIGNAL_STOP_GRACE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{LoadProgress, Loaded, Options};

    #[tokio::test(start_paused = true)]
    async fn hanging_engine_is_not_joined() {
        let (_sender, receiver) = std::sync::mpsc::sync_channel::<()>(1);
        let load = move |_: &LoadProgress| {
            // Ignores the request to stop, as a call into a driver can.
            let _ = receiver.recv();
            Err::<Loaded<llama::LlamaCpp>, _>(LoadError::Interrupted)
        };
        let mut engine = Engine::spawn(Options::default(), load).unwrap();
        let mut signals = Signals::listen().unwrap();
        let result = drain(&mut engine, &mut signals, Duration::from_secs(1)).await;
        assert!(matches!(join_engine(engine, result), Err(DaemonError::EngineHangs)));
    }

    #[test]
    fn model_and_draft_share_one_load_progress() {
        let load = |progress: &LoadProgress| {
            let (model, draft) = progress.split_at(0.75);
            model.report(1.0);
            draft.report(0.5);
            Err::<Loaded<llama::LlamaCpp>, _>(LoadError::Interrupted)
        };
        let engine = Engine::spawn(Options::default(), load).unwrap();
        assert!(engine.ended.blocking_recv().unwrap().is_err());
        assert_eq!(engine.handle.snapshot().load_progress, 0.875);
    }

    #[tokio::test]
    async fn engine_panic_during_shutdown_is_an_error() {
        let load = |_: &LoadProgress| -> Result<Loaded<llama::LlamaCpp>, LoadError> {
            panic!("as the engine may")
        };
        let mut engine = Engine::spawn(Options::default(), load).unwrap();
        let mut signals = Signals::listen().unwrap();
        let result = drain(&mut engine, &mut signals, Duration::from_secs(60)).await;
        assert!(matches!(join_engine(engine, result), Err(DaemonError::EngineLost)));
    }
}
