//! Builds the parts of the daemon, connects them, and shuts them down in order.
//!
//! The only module that knows all others. [`run`] reads the model's header, binds the port and
//! starts the runner, which loads the weights while the server already accepts clients. Shutting
//! down has the reverse order: no new requests, running requests finish or are cancelled, the
//! runner ends, every connection gets its last frames and is closed, the process exits.
//!
//! | file | content |
//! |---|---|
//! | `output` | standard output and standard error, which nobody waits for |
//! | `logging` | the log filter, and where log lines go |
//! | `plan` | from the configuration and the model to the options of every module |
//! | `listen`, `unix_socket` | the sockets |
//! | `tls` | the certificate, which is loaded again when it changes |
//! | `new_tls` | the command that makes certificates |
//! | `reload` | what SIGHUP loads again |
//! | `devices` | the GPUs, as a child process sees them |
//! | `descriptors` | the limit on open files, and how many connections it allows |
//! | `start_screen` | the lines and the progress bar on the terminal |
//! | `contention` | a warning if other programs starve the engine of CPU time |
//! | `child` | how a child process is started |
//! | `runner` | what the child process does |
//! | `spec` | what the daemon tells it |
//! | `chat_template` | the chat template that the user chose |
//! | `keys` | API keys: reads them, reads them again, makes new ones |
//! | `signals` | what each signal does |
//! | `error` | why the daemon stopped, and the exit codes |
//! | `what_if` | plans of the model with other options |
//! | `units`, `columns` | sizes as people read them; lines of 80 columns |

mod chat_template;
mod child;
mod columns;
mod contention;
mod descriptors;
mod devices;
mod error;
mod keys;
mod listen;
mod logging;
mod new_tls;
mod output;
mod plan;
mod reload;
mod runner;
mod signals;
mod spec;
mod start_screen;
mod tls;
mod units;
mod unix_socket;
mod what_if;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::{self, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::build_info;
use crate::cli::{Config, PlanOptions};
use crate::gpu::Monitor;
use crate::llama::{self, HeldFiles, ModelDescription, ModelSource};
use crate::machine;
use crate::models::{Supervisor, SupervisorError, SupervisorOptions};
use crate::runner::{Client, RequestLimits, RunnerPid};
use crate::server::Server;
use crate::watchdog::StallLimit;

use self::chat_template::chosen_template;
use self::child::{build, launcher};
use self::devices::Devices;
use self::listen::Sockets;
use self::plan::ServePlan;
use self::reload::Reloads;
use self::signals::Signals;
use self::spec::RunnerSpec;
use self::tls::{LoadedTls, load_tls};
use self::what_if::PlanInputs;

pub use self::devices::print_devices;
pub use self::error::DaemonError;
pub use self::keys::{NewKeyText, new_key};
pub use self::new_tls::{NewTlsError, new_tls};
pub use self::output::{flush_output, print_error};
pub use self::runner::run_runner;
pub use self::signals::is_hangup_ignored;

/// Serves a model until a signal asks to shut down.
///
/// # Errors
/// [`DaemonError`]. Its text is for the user.
pub fn run(config: &Config) -> Result<(), DaemonError> {
    logging::init(&config.log)?;
    let network = &config.network;
    if !network.insecure_no_auth {
        listen::require_keys(&network.hosts, config.knows_clients())?;
    }
    let keys = keys::load(config)?;
    let tls = load_tls(network)?;
    descriptors::raise_limit();
    llama::send_logs_to_tracing();
    let (mut description, held) = llama::open(&model_source(config))?;
    if let Some(choice) = &config.chat_template {
        description = description.with_chat_template(chosen_template(choice)?);
    }
    let (draft, held_draft) = open_draft(config)?.unzip();
    let Devices { gpus, bus_ids } = Devices::of_machine();
    let available = machine::available_memory();
    let mut plan = ServePlan::new(config, &description, draft.as_ref(), &gpus, available)?;
    plan.gpu.computing = bus_ids;
    plan.server.keys = keys;
    plan.check_memory(&description, available)?;
    let inputs =
        PlanInputs { description: description.clone(), draft: draft.clone(), gpus, available };
    plan.server.planner = Some(inputs.into_planner(config.clone()));
    let runtime = server_runtime()?;
    let pages = pages_runtime()?;
    let models = Models { description, draft, held, held_draft: held_draft.unwrap_or_default() };
    let accepting = Accepting { tls, pages: pages.handle().clone() };
    let result = runtime.block_on(serve(config, models, plan, accepting));
    runtime.shutdown_background();
    pages.shutdown_background();
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
    let draft = open_draft(config)?.map(|(draft, _)| draft);
    let gpus = if options.vram.is_empty() { llama::gpu_devices() } else { Vec::new() };
    let available = machine::available_memory();
    let page = PlanInputs { description, draft, gpus, available }.page(config, options)?;
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

/// The models to serve, and their open files.
struct Models {
    description: ModelDescription,
    draft: Option<ModelDescription>,
    held: HeldFiles,
    held_draft: HeldFiles,
}

/// Opens the draft model, if the configuration names one.
fn open_draft(config: &Config) -> Result<Option<(ModelDescription, HeldFiles)>, DaemonError> {
    let opened = config.draft.clone().map(|path| llama::open(&ModelSource::File(path)));
    opened.transpose().map_err(DaemonError::Draft)
}

/// The runtime of the server. It has a single worker thread, which serves thousands of
/// connections: more workers wake each other more often, and each wake-up takes a CPU from the
/// compute threads.
fn server_runtime() -> Result<Runtime, DaemonError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .thread_name("server")
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("cannot start the server's threads")?;
    Ok(runtime)
}

/// The runtime that accepts connections and serves HTTP. Its thread waits for clients most of the
/// time, so `/healthz` is answered at once also while the server's thread is busy (ADR-0040).
fn pages_runtime() -> Result<Runtime, DaemonError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .thread_name("pages")
        .build()
        .context("cannot start the thread for pages")?;
    Ok(runtime)
}

/// What accepting connections needs.
struct Accepting {
    tls: Option<LoadedTls>,
    /// The runtime that accepts connections and serves HTTP.
    pages: Handle,
}

/// Starts all parts and runs until a signal comes or the model cannot be served, then shuts down.
async fn serve(
    config: &Config,
    models: Models,
    mut plan: ServePlan,
    accepting: Accepting,
) -> Result<(), DaemonError> {
    let Accepting { tls, pages } = accepting;
    let mut reloads = Reloads::default();
    let tls = tls.map(|tls| tls.keep_up_to_date(&mut reloads));
    keys::keep_up_to_date(&plan.server.keys, &mut reloads);
    let mut signals = Signals::listen(reloads).context("cannot listen for signals")?;
    let sockets = Sockets::bind_in(&pages, &config.network.hosts, config.port)?;
    descriptors::limit_connections(&mut plan.server);
    let started = Instant::now();
    let name = models.description.source.name();
    let about = plan.about(&models.description.info);
    let (model, controller) = Client::new(model_limits(&plan));
    let options = supervisor_options(config, &models, &plan)?;
    let runner_pid = RunnerPid::default();
    let Models { description, draft, held, held_draft } = models;
    let launcher = launcher(config.sandbox, [held, held_draft], runner_pid.clone())?;
    let supervisor = Supervisor::new(launcher, controller, options);
    let mut supervising = tokio::spawn(supervisor.run());

    let draft_info = draft.as_ref().map(|draft| &draft.info);
    start_screen::print(&description, draft_info, &plan, &sockets.listening(config));
    // The files of Unix sockets are removed at the end.
    let (listeners, _socket_files) = sockets.into_listeners(tls.as_ref());
    let closing = CancellationToken::new();
    let monitor = Monitor::spawn(plan.gpu, Arc::new(move || runner_pid.get()))
        .context("cannot start the GPU monitor's thread")?;
    let gpu_readings = monitor.readings();
    let server = Server::new(plan.server, model.clone(), about, monitor.readings())
        .context("cannot start the threads that parse messages")?;
    let mut serving = tokio::spawn(server.serve(listeners, pages.clone(), closing.clone()));

    let loading = async {
        if start_screen::show_loading(&model).await {
            start_screen::print_ready(&model, started.elapsed());
            start_screen::note_unused_gpus(gpu_readings).await;
        }
        pending::<Infallible>().await
    };
    let result = tokio::select! {
        supervised = &mut supervising => ended(supervised, name),
        never = loading => match never {},
        signal = signals.next() => {
            tracing::info!(signal, "shutting down");
            drain(&model, &mut supervising, &mut signals, config.drain_timeout, name).await
        }
    };
    if matches!(result, Err(DaemonError::SecondSignal)) {
        return result;
    }
    closing.cancel();
    result.and(closed(&mut serving, &mut signals).await)
}

/// Waits until the server has closed its connections.
///
/// # Errors
/// [`DaemonError::SecondSignal`]. All requests have ended then; clients that have not read their
/// last frames lose them.
async fn closed(serving: &mut JoinHandle<()>, signals: &mut Signals) -> Result<(), DaemonError> {
    tokio::select! {
        served = serving => {
            if served.is_err() {
                tracing::error!("the server task panicked");
            }
            Ok(())
        }
        _ = signals.next() => Err(DaemonError::SecondSignal),
    }
}

/// How the supervisor of the model called `name` ended.
fn ended(
    supervised: Result<Result<(), SupervisorError>, JoinError>,
    name: String,
) -> Result<(), DaemonError> {
    match supervised {
        Ok(result) => result.map_err(|error| DaemonError::of_supervisor(error, name)),
        Err(error) => Err(anyhow::Error::new(error).context("the supervisor panicked").into()),
    }
}

/// Lets running requests finish for `drain_timeout`, then ends them and the runner. A load is
/// stopped at once. Returns how the supervisor of the model called `name` ended.
async fn drain(
    model: &Client,
    supervising: &mut JoinHandle<Result<(), SupervisorError>>,
    signals: &mut Signals,
    drain_timeout: Duration,
    name: String,
) -> Result<(), DaemonError> {
    model.refresh().await;
    start_screen::print_draining(model, drain_timeout);
    model.drain();
    let drained = async {
        match tokio::time::timeout(drain_timeout, &mut *supervising).await {
            Ok(ended) => ended,
            // The supervisor kills a runner that does not stop.
            Err(_) => {
                model.stop();
                supervising.await
            }
        }
    };
    tokio::select! {
        supervised = drained => ended(supervised, name),
        _ = signals.next() => Err(DaemonError::SecondSignal),
    }
}

/// The limits of requests.
fn model_limits(plan: &ServePlan) -> RequestLimits {
    RequestLimits {
        ctx_size: plan.engine.ctx_size,
        max_tokens: plan.engine.max_tokens,
        slots: plan.llama.parallel as usize,
        max_queue: plan.engine.max_queue,
        cache_ram_bytes: plan.engine.cache_ram_bytes,
    }
}

/// How to keep a runner of these models running.
fn supervisor_options(
    config: &Config,
    models: &Models,
    plan: &ServePlan,
) -> Result<SupervisorOptions, DaemonError> {
    let spec = RunnerSpec {
        description: models.description.clone(),
        draft: models.draft.clone(),
        held: models.held.paths(),
        held_draft: models.held_draft.paths(),
        sandbox: config.sandbox,
        llama: plan.llama,
        offload_plan: plan.offload_plan.clone(),
        engine: plan.engine,
        log: config.log.clone(),
    };
    let spec = postcard::to_stdvec(&spec).context("cannot describe the work of a runner")?;
    Ok(SupervisorOptions {
        build: build(),
        spec,
        stall_limit: config.stall_limit.map_or(StallLimit::Measured, StallLimit::Fixed),
        first_delay: FIRST_RESTART_DELAY,
        exit_on_failure: config.exit_on_failure,
    })
}

/// Delay before the second restart of a runner in a row.
const FIRST_RESTART_DELAY: Duration = Duration::from_secs(1);

/// Maximum number of threads of tokio for blocking work: loading changed files again.
const MAX_BLOCKING_THREADS: usize = 4;
