//! A whole server for tests: on a free port, with the scripted model, and with a test client.
//!
//! No test waits for a fixed time. Every wait is for a frame or a counter, and [`GUARD`] turns a
//! wait that would never end into a failure.

mod api;
mod client;
mod keys;
mod raw;

pub use api::{ApiConnection, ApiResponse, get_with, post, post_text, post_with};
pub use client::Client;
pub use keys::{KeyFile, at_most, limited_key, new_key};
pub use raw::{http, http_get, upgrade_request};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use inference_core::domain::{Gpu, GpuReading, MemoryPart, ModelInfo, Snapshot, Speculation};
use inference_core::engine::{self, Limits, Loaded};
use inference_core::models::{Supervisor, SupervisorError, SupervisorOptions};
use inference_core::runner::{
    self, EndCause, Health, Launch, Launched, Load, ProcessEnd, ProcessThreads, RunnerPhase,
    RunnerProcess,
};
use inference_core::scripted::{ScriptedModel, ScriptedVocabulary, StepControl};
use inference_core::server::{self, About, Listener, Server, Tls};
use inference_core::watchdog::{Activity, StallLimit};
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Limit of every wait, far above what a busy machine needs.
pub const GUARD: Duration = Duration::from_secs(30);

/// The configuration of a test server.
pub struct Setup {
    pub limits: Limits,
    pub engine: engine::Options,
    pub server: server::Options,
    pub pace: StepControl,
    pub stall_limit: Duration,
    /// A channel on which the load waits for a message. Without one the model is loaded at once.
    pub load: Option<mpsc::Receiver<()>>,
    /// Send buffer of each connection in bytes; the system's default if `None`.
    pub send_buffer: Option<u32>,
    /// Layers that the load reports as offloaded, the output matrix included.
    pub offloaded: Option<u32>,
    /// The first GPU reading.
    pub gpus: Vec<Gpu>,
    /// The runtime that serves HTTP; the one of the test if `None`.
    pub pages: Option<Handle>,
    /// The number of the runner that does not start, counted from 1; 0 if all start.
    pub failing_launch: usize,
    /// Encrypts the connections to [`TestServer::address`].
    pub tls: Option<Arc<Tls>>,
    /// Further sockets that the server listens on.
    pub more_listeners: Vec<Listener>,
}

impl Default for Setup {
    /// Two slots of 1,000 tokens, a queue of four, and steps without delay.
    fn default() -> Self {
        Self {
            limits: Limits { n_ubatch: 512, n_slots: 2, slot_tokens: 1000, n_draft: 15 },
            engine: engine::Options {
                ctx_size: 1000,
                max_queue: 4,
                cache_ram_bytes: 1 << 20,
                slow_client_grace: GUARD,
                step_target: Duration::from_millis(50),
                // Whether to draft depends on measured times.
                speculative: Speculation::Off,
                ..engine::Options::default()
            },
            server: server::Options {
                metrics_interval: Duration::from_millis(20),
                ..server::Options::default()
            },
            pace: StepControl::free_running(),
            stall_limit: GUARD,
            load: None,
            send_buffer: None,
            offloaded: None,
            gpus: Vec::new(),
            pages: None,
            failing_launch: 0,
            tls: None,
            more_listeners: Vec::new(),
        }
    }
}

impl Setup {
    /// A setup in which each step waits until the test allows it.
    pub fn by_hand() -> Self {
        Self { pace: StepControl::manual(), ..Self::default() }
    }

    /// Where an endless request does not fill its context during a test.
    pub fn with_long_context() -> Self {
        let mut setup = Self::default();
        setup.limits.slot_tokens = 20_000_000;
        setup.engine.ctx_size = 10_000_000;
        setup
    }

    pub async fn start(self) -> TestServer {
        let Self { limits, engine, server, pace, stall_limit, load, send_buffer, .. } = self;
        let Self { offloaded, gpus, pages, failing_launch, tls, more_listeners, .. } = self;
        let load_waits = load.is_some();
        let model_limits = runner::RequestLimits {
            ctx_size: engine.ctx_size,
            max_tokens: engine.max_tokens,
            slots: limits.n_slots,
            max_queue: engine.max_queue,
            cache_ram_bytes: engine.cache_ram_bytes,
        };
        let (model, controller) = runner::Client::new(model_limits);
        let launcher = MemoryLauncher {
            limits,
            engine,
            pace: pace.clone(),
            load,
            offloaded,
            n_launched: Arc::default(),
            failing_launch,
        };
        let n_launched = launcher.n_launched.clone();
        let options = SupervisorOptions {
            build: BUILD.to_owned(),
            spec: Vec::new(),
            stall_limit: StallLimit::Fixed(stall_limit),
            first_delay: Duration::from_millis(1),
            exit_on_failure: false,
        };
        let supervising = tokio::spawn(Supervisor::new(launcher, controller, options).run());
        if !load_waits {
            let mut phases = model.phases();
            let ready = phases.wait_for(|phase| *phase == RunnerPhase::Ready);
            timeout(GUARD, ready).await.expect("the model is loaded in time").unwrap();
        }
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = send_buffer {
            socket.set_send_buffer_size(bytes).unwrap();
        }
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let pages = pages.unwrap_or_else(Handle::current);
        let listener = {
            let _pages = pages.enter();
            socket.listen(1024).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let (gpus, readings) = watch::channel(GpuReading { taken: Instant::now(), gpus });
        let server = Server::new(server, model.clone(), about(), readings).unwrap();
        let mut listeners = more_listeners;
        listeners.push(Listener::tcp(listener, tls));
        let serving = tokio::spawn(server.serve(listeners, pages, closing.clone()));
        TestServer {
            address,
            model,
            pace,
            closing,
            gpus,
            n_launched,
            serving: Some(serving),
            supervising,
        }
    }
}

/// A running server, stopped on drop.
pub struct TestServer {
    pub address: SocketAddr,
    pub model: runner::Client,
    pub pace: StepControl,
    pub closing: CancellationToken,
    pub gpus: watch::Sender<GpuReading>,
    /// Number of runners that were started.
    pub n_launched: Arc<AtomicUsize>,
    serving: Option<JoinHandle<()>>,
    supervising: JoinHandle<Result<(), SupervisorError>>,
}

impl TestServer {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// What the engine is doing now.
    pub async fn snapshot(&self) -> Snapshot {
        self.model.refresh().await;
        self.model.snapshot()
    }

    /// Waits until the engine's snapshot matches.
    pub async fn until(&self, matches: impl Fn(&Snapshot) -> bool) {
        let polling = async {
            while !matches(&self.snapshot().await) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(GUARD, polling).await.is_err() {
            panic!("the engine never reached the expected state: {:?}", self.model.snapshot());
        }
    }

    /// Allows steps one by one until the engine's snapshot matches.
    pub async fn step_until(&self, matches: impl Fn(&Snapshot) -> bool) {
        self.until(|now| {
            let matches = matches(now);
            if !matches {
                self.pace.allow(1);
            }
            matches
        })
        .await;
    }

    /// Waits until a step waits for permission.
    pub async fn until_held(&self) {
        let pace = self.pace.clone();
        assert!(tokio::task::spawn_blocking(move || pace.wait_until_blocked(GUARD)).await.unwrap());
    }

    /// Waits until the health of the model is this.
    pub async fn until_health(&self, health: Health) {
        let polling = async {
            while self.model.health() != health {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(GUARD, polling).await.is_err() {
            panic!("the model is {:?}, not {health:?}", self.model.health());
        }
    }

    /// Waits until the server has closed every connection.
    pub async fn until_closed(&mut self) {
        let serving = self.serving.take().expect("a server closes once");
        timeout(GUARD, serving).await.expect("the server closes in time").unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.closing.cancel();
        self.supervising.abort();
    }
}

/// Starts runners with the scripted model in this process, each behind a pipe in memory.
struct MemoryLauncher {
    limits: Limits,
    engine: engine::Options,
    pace: StepControl,
    /// What the first load waits for.
    load: Option<mpsc::Receiver<()>>,
    offloaded: Option<u32>,
    n_launched: Arc<AtomicUsize>,
    failing_launch: usize,
}

impl Launch for MemoryLauncher {
    type Process = MemoryProcess;

    async fn launch(&mut self) -> io::Result<Launched<MemoryProcess>> {
        let n = self.n_launched.fetch_add(1, Ordering::Relaxed) + 1;
        if n == self.failing_launch {
            return Err(io::Error::other("no more processes"));
        }
        let (daemon, runner) = tokio::io::duplex(PIPE_BYTES);
        let (reader, writer) = tokio::io::split(daemon);
        let (runner_reader, runner_writer) = tokio::io::split(runner);
        let (limits, steps, offloaded) = (self.limits, self.pace.clone(), self.offloaded);
        let (options, wait) = (self.engine, self.load.take());
        let load: Load<ScriptedModel> = Box::new(move |progress| {
            if let Some(wait) = wait {
                // Fails if the test has ended.
                let _ = wait.recv();
            }
            progress.memory(vec![MemoryPart {
                name: "kv".into(),
                device: "cpu".to_owned(),
                planned_bytes: 1000,
                taken_bytes: 1024,
            }]);
            if let Some(layers) = offloaded {
                progress.offloaded(layers);
            }
            let model = ScriptedModel::new(limits, steps);
            Ok(Loaded { model, vocabulary: Arc::new(ScriptedVocabulary) })
        });
        let serving = async move {
            runner::serve(runner_reader, runner_writer, BUILD, |_| Ok((options, load))).await
        };
        let process = MemoryProcess { task: tokio::spawn(serving) };
        Ok(Launched { reader: Box::new(reader), writer: Box::new(writer), process })
    }
}

/// The task of a runner in this process.
struct MemoryProcess {
    task: JoinHandle<io::Result<()>>,
}

impl RunnerProcess for MemoryProcess {
    async fn wait(&mut self) -> ProcessEnd {
        match (&mut self.task).await {
            Ok(Ok(())) => ProcessEnd::of(EndCause::Exited(0)),
            Ok(Err(error)) => ProcessEnd {
                final_line: Some(error.to_string()),
                ..ProcessEnd::of(EndCause::Exited(1))
            },
            Err(_) => ProcessEnd::of(EndCause::Unknown),
        }
    }

    fn kill(&mut self) {
        self.task.abort();
    }

    fn activity(&self, _: ProcessThreads) -> Option<Activity> {
        None
    }
}

/// Stands for the build of the program on the link.
const BUILD: &str = "test";

/// Size of the pipe between the server and a runner, that of a pipe on Linux.
const PIPE_BYTES: usize = 64 * 1024;

fn about() -> About {
    About {
        model: ModelInfo {
            name: "scripted".to_owned(),
            arch: "scripted".to_owned(),
            params: 0,
            size_bytes: 0,
            n_ctx_train: 1000,
            n_layers: 1,
            chat_problem: None,
            is_demo: true,
        },
        backend: "cpu".to_owned(),
        gpu_layers: 0,
        parallel: 2,
        version: "0.1.0".to_owned(),
        commit: "0000000".to_owned(),
        llama_cpp: "none".to_owned(),
        cpu_flags: "none".to_owned(),
    }
}
