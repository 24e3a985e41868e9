//! Builds the rooms, joins them, and drains them in order.
//!
//! The only room that knows all others. The order is: read the model's header, bind the port,
//! start the engine thread, which loads the weights, and serve meanwhile. Leaving goes the other
//! way round: no new work, running requests finish or are ended, the engine thread ends, every
//! connection gets its last frames and is closed, and then the process ends.

mod advice;
mod contention;
mod error;
mod listen;
mod plan;
mod plan_page;
mod signals;
mod summary;
mod units;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use self::signals::Signals;
use crate::build_info;
use crate::cli::{Config, PlanOptions};
use crate::engine::{Engine, EngineState};
use crate::gpu::Monitor;
use crate::llama::{self, LoadError, ModelDescription, ModelSource};
use crate::server::Server;
use crate::watchdog::Watchdog;

use self::plan::Plan;
use self::plan_page::PlanPage;

pub use error::DaemonError;
pub use signals::survives_its_terminal;

/// Stack of the runtime's threads, which tokenise prompts: some of llama.cpp's pre-tokenisers are
/// regular expressions that recurse, more than a mebibyte deep before a thread apart is taken.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Threads for long tokenisations; the server lets no more than a few run at once.
const BLOCKING_THREADS: usize = 4;

/// How long the engine may take to stop once it was told to: on a CPU it looks at its flag after
/// every operation, so this is only reached when it hangs.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The same for a second signal, whose sender has no patience left.
const HASTY_STOP_GRACE: Duration = Duration::from_millis(300);

/// Serves until a signal asks to leave.
///
/// # Errors
/// [`DaemonError`], whose text is for the person at the terminal.
pub fn run(config: &Config) -> Result<(), DaemonError> {
    let filter = log_filter(&config.log)
        .map_err(|reason| DaemonError::LogFilter { filter: config.log.clone(), reason })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // It would report a standard error that cannot be written with a panic, for want of one
        // that can; and log lines come from llama.cpp's threads, which a panic must not enter.
        .log_internal_errors(false)
        .init();
    llama::send_logs_to_tracing();

    let description = llama::describe(&source(config))?;
    let draft = draft(config)?;
    let plan = Plan::new(config, &description, draft.as_ref(), &llama::gpu_devices())?;
    plan.check_memory(&description.source, llama::available_memory_and_swap())?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        // One, which serves thousands of connections: the more there are, the more often one wakes
        // another, and each time takes a processor from the threads that compute.
        .worker_threads(1)
        .thread_name("server")
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("cannot start the server's threads")?;
    let result = runtime.block_on(serve(config, description, draft, plan));
    runtime.shutdown_background();
    result
}

/// The plan of what of a model would lie where, for people or for programs. Nothing is loaded.
///
/// # Errors
/// [`DaemonError`], where the model cannot be read or the options do not fit it.
pub fn plan(config: &Config, options: &PlanOptions) -> Result<String, DaemonError> {
    llama::send_logs_to_tracing();
    let description = llama::describe_partial(&source(config))?;
    let draft = draft(config)?;
    let cards = match &options.vram[..] {
        [] => llama::gpu_devices(),
        sizes => plan_page::imagined(sizes),
    };
    let plan = Plan::new(config, &description, draft.as_ref(), &cards)?;
    let page = PlanPage::new(&description, &plan);
    Ok(if options.json { page.json() } else { page.table() })
}

/// The parts that log: the daemon, llama.cpp, and libraries.
const PARTS: [&str; 12] = [
    "inference_core",
    "llama_cpp",
    "llama_cpp_2",
    "axum",
    "hyper",
    "hyper_util",
    "mio",
    "nvml_wrapper",
    "tokio",
    "tokio_tungstenite",
    "tokio_util",
    "tungstenite",
];

fn source(config: &Config) -> ModelSource {
    config.model.clone().map_or(ModelSource::Demo, ModelSource::File)
}

fn draft(config: &Config) -> Result<Option<ModelDescription>, DaemonError> {
    let described = config.draft.clone().map(|path| llama::describe(&ModelSource::File(path)));
    described.transpose().map_err(DaemonError::Draft)
}

/// A filter of tracing-subscriber, which would take a word that is no level as the name of a part
/// that logs, and show nothing.
fn log_filter(text: &str) -> Result<EnvFilter, String> {
    for directive in text.split(',').map(str::trim) {
        let is_word = directive.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if directive.is_empty() || is_word && directive.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{directive:?} is no level, use error, warn, info, debug or trace"
            ));
        }
        let target = directive.split(['=', '[', ':']).next().unwrap_or_default();
        if !is_word && !target.is_empty() && !PARTS.contains(&target) {
            let [ours, llama, ..] = PARTS;
            return Err(format!("{target:?} is no part that logs, use {ours} or {llama}"));
        }
    }
    EnvFilter::try_new(text)
        .map_err(|error| format!("{error}, use a level or a filter such as info,llama_cpp=debug"))
}

/// What `--version` prints.
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

async fn serve(
    config: &Config,
    description: ModelDescription,
    draft: Option<ModelDescription>,
    plan: Plan,
) -> Result<(), DaemonError> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let listeners = listen::on_loopback(config.port)?;
    let draft_info = draft.as_ref().map(|draft| &draft.info);
    summary::print(&description, draft_info, &plan, &listeners);

    let about = plan.about(&description.info);
    let began = Instant::now();
    let Plan { llama, offload_plan, .. } = plan.clone();
    let threads = llama.threads;
    let load = move |progress: &_| {
        llama::load(&description, draft.as_ref(), llama, offload_plan, progress)
    };
    let mut engine =
        Engine::spawn(plan.engine, load).context("cannot start the engine's thread")?;

    let closing = CancellationToken::new();
    let watchdog = Watchdog::new(config.stall_limit);
    let monitor = Monitor::spawn(plan.gpu).context("cannot start the monitor's thread")?;
    let readings = monitor.readings();
    let server = Server::new(plan.server, engine.handle.clone(), about, watchdog, readings);
    let mut serving = tokio::spawn(server.serve(listeners, closing.clone()));

    let result = tokio::select! {
        result = attend(&mut engine, began) => result,
        signal = signals.next() => {
            tracing::info!(signal, "leaving");
            leave(&mut engine, &mut signals, config.drain_timeout).await
        }
        never = contention::watch(threads) => match never {},
    };
    if matches!(result, Err(DaemonError::SecondSignal)) {
        return result;
    }
    closing.cancel();
    tokio::select! {
        served = &mut serving => if served.is_err() {
            tracing::error!("the server's task panicked");
        },
        // The engine is through, and who has not read its last frames by now does without them.
        _ = signals.next() => return result.and(Err(DaemonError::SecondSignal)),
    }
    end(engine, result)
}

/// Waits for the engine's thread to be gone, unless it hangs: so would this, deaf to all signals.
fn end(engine: Engine<LoadError>, result: Result<(), DaemonError>) -> Result<(), DaemonError> {
    if !matches!(result, Err(DaemonError::EngineHangs)) {
        engine.join();
    }
    result
}

/// Watches the engine through its life; it ends by itself only when something is wrong.
async fn attend(engine: &mut Engine<LoadError>, began: Instant) -> Result<(), DaemonError> {
    if summary::loading(&engine.handle, &mut engine.loaded).await {
        summary::ready(began.elapsed());
    }
    match (&mut engine.ended).await {
        Ok(Err(error)) => Err(DaemonError::Load(error)),
        Ok(Ok(())) | Err(_) => Err(DaemonError::EngineLost),
    }
}

/// Lets running requests finish for `drain_timeout`, then ends them and the engine.
async fn leave(
    engine: &mut Engine<LoadError>,
    signals: &mut Signals,
    drain_timeout: Duration,
) -> Result<(), DaemonError> {
    if engine.handle.snapshot().state == EngineState::Loading {
        engine.handle.stop();
    } else {
        summary::leaving(&engine.handle, drain_timeout);
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
            // A model that was still being loaded is no longer wanted, nor is why it was not.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(_) => Err(DaemonError::EngineLost),
        }
    };
    tokio::select! {
        result = drained => result,
        _ = signals.next() => {
            engine.handle.stop();
            // Exiting under a thread that computes would pull llama.cpp's globals from under it.
            let _ = tokio::time::timeout(HASTY_STOP_GRACE, &mut engine.ended).await;
            Err(DaemonError::SecondSignal)
        }
    }
}

/// The address people are told.
fn address(listeners: &[TcpListener]) -> String {
    let address = listeners.first().and_then(|listener| listener.local_addr().ok());
    address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{LoadProgress, Loaded, Options};

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_is_left_behind() {
        let (_hold, held) = std::sync::mpsc::channel::<()>();
        let load = move |_: &LoadProgress| {
            // Deaf to being stopped, as a driver's call can be.
            let _ = held.recv();
            Err::<Loaded<llama::LlamaCpp>, _>(LoadError::Interrupted)
        };
        let mut engine = Engine::spawn(Options::default(), load).unwrap();
        let mut signals = Signals::listen().unwrap();
        let result = leave(&mut engine, &mut signals, Duration::from_secs(1)).await;
        assert!(matches!(end(engine, result), Err(DaemonError::EngineHangs)));
    }

    #[test]
    fn a_model_and_its_draft_are_loaded_in_one_progress() {
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
    async fn an_engine_that_panics_while_the_server_leaves_is_no_clean_end() {
        let load = |_: &LoadProgress| -> Result<Loaded<llama::LlamaCpp>, LoadError> {
            panic!("as the engine may")
        };
        let mut engine = Engine::spawn(Options::default(), load).unwrap();
        let mut signals = Signals::listen().unwrap();
        let result = leave(&mut engine, &mut signals, Duration::from_secs(60)).await;
        assert!(matches!(end(engine, result), Err(DaemonError::EngineLost)));
    }

    #[test]
    fn a_log_filter_is_a_level_or_names_parts_and_levels() {
        for filter in ["info", "warn,llama_cpp=off", "OFF", "inference_core::server=debug"] {
            assert!(log_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["lama_cpp=off", "info,lama_cpp=off", "inference-core=debug"] {
            let reason = log_filter(filter).unwrap_err();
            assert!(reason.contains("use inference_core or llama_cpp"), "{reason}");
        }
        for filter in ["debug", "llama_cpp", "inference_core[step]=debug", "[step]=debug"] {
            assert!(log_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["", "verbose", "info,loud", "info,", "llama_cpp=loud"] {
            assert!(log_filter(filter).is_err(), "{filter}");
        }
    }
}
