//! A whole server for tests: on a free port, with the scripted model, and with a test client.
//!
//! No test waits for a fixed time. Every wait is for a frame or a counter, and [`GUARD`] turns a
//! wait that would never end into a failure.

mod client;
mod raw;

pub use client::Client;
pub use raw::{http, http_get, upgrade_request};

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use inference_core::domain::{Gpu, GpuReading, MemoryPart, ModelInfo, Speculation};
use inference_core::engine::{self, Engine, EngineHandle, Limits, Loaded, Snapshot};
use inference_core::scripted::{ScriptedModel, ScriptedVocabulary, StepControl};
use inference_core::server::{self, About, Server};
use inference_core::watchdog::Watchdog;
use std::sync::Arc;
use tokio::net::TcpSocket;
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
        }
    }
}

impl Setup {
    /// A setup in which each step waits until the test allows it.
    pub fn by_hand() -> Self {
        Self { pace: StepControl::manual(), ..Self::default() }
    }

    pub async fn start(self) -> TestServer {
        let Self { limits, engine, server, pace, stall_limit, load, send_buffer, offloaded, gpus } =
            self;
        let load_waits = load.is_some();
        let steps = pace.clone();
        let Engine { handle, loaded, .. } = Engine::<()>::spawn(engine, move |progress| {
            if let Some(load) = load {
                // Fails if the test has ended.
                let _ = load.recv();
            }
            let device = "cpu".to_owned();
            progress.memory(vec![MemoryPart {
                name: "kv",
                device,
                planned_bytes: 1000,
                taken_bytes: 1024,
            }]);
            if let Some(layers) = offloaded {
                progress.offloaded(layers);
            }
            let model = ScriptedModel::new(limits, steps);
            Ok(Loaded { model, vocabulary: Arc::new(ScriptedVocabulary) })
        })
        .unwrap();
        if !load_waits {
            timeout(GUARD, loaded).await.unwrap().unwrap();
        }
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = send_buffer {
            socket.set_send_buffer_size(bytes).unwrap();
        }
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let closing = CancellationToken::new();
        let (gpus, readings) = watch::channel(GpuReading { taken: Instant::now(), gpus });
        let watchdog = Watchdog::new(stall_limit);
        let server = Server::new(server, handle.clone(), about(), watchdog, readings);
        let serving = tokio::spawn(server.serve(vec![listener], closing.clone()));
        TestServer { address, engine: handle, pace, closing, gpus, serving: Some(serving) }
    }
}

/// A running server, stopped on drop.
pub struct TestServer {
    pub address: SocketAddr,
    pub engine: EngineHandle,
    pub pace: StepControl,
    pub closing: CancellationToken,
    pub gpus: watch::Sender<GpuReading>,
    serving: Option<JoinHandle<()>>,
}

impl TestServer {
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Waits until the engine's snapshot matches.
    pub async fn until(&self, matches: impl Fn(&Snapshot) -> bool) {
        let polling = async {
            while !matches(&self.engine.snapshot()) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(GUARD, polling).await.is_err() {
            panic!("the engine never reached the expected state: {:?}", self.engine.snapshot());
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

    /// Waits until the server has closed every connection.
    pub async fn until_closed(&mut self) {
        let serving = self.serving.take().expect("a server closes once");
        timeout(GUARD, serving).await.expect("the server closes in time").unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.closing.cancel();
        // Also releases a step that waits for permission.
        self.engine.stop();
    }
}

fn about() -> About {
    About {
        model: ModelInfo {
            name: "scripted".to_owned(),
            arch: "scripted".to_owned(),
            params: 0,
            size_bytes: 0,
            n_ctx_train: 1000,
            n_layers: 1,
            has_chat_template: true,
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
