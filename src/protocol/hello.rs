//! The `hello` frame: what a client finds here, said before anything else.

use serde::Serialize;

use crate::domain::ModelInfo;

/// The version of the wire contract.
const PROTOCOL: u32 = 1;

/// What computes where no layer lies on a card.
const CPU: &str = "cpu";

/// What a client finds here. The same for every connection to a loaded model.
#[derive(Debug, Clone, Serialize)]
pub struct Hello {
    protocol: u32,
    server: String,
    build: Build,
    model: Model,
    ctx_size: usize,
    parallel: usize,
    backend: String,
    gpu_layers: u32,
    n_layers: u32,
    auth: Auth,
}

/// What this program was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The version of this crate.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// The version of llama.cpp inside, or what stands in its place.
    pub llama_cpp: String,
    /// The vector instructions it was built for, separated by spaces.
    pub cpu_flags: String,
}

/// Where and how the model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// What computes: `cpu`, `cuda`, …
    pub backend: String,
    /// Layers that live on a GPU.
    pub gpu_layers: u32,
    /// Requests that are computed at once.
    pub parallel: usize,
    /// Tokens a request may use, prompt and answer together.
    pub ctx_size: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Model {
    name: String,
    arch: String,
    params: u64,
    size_bytes: u64,
    n_ctx_train: u32,
    chat: bool,
    demo: bool,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Auth {
    Ok,
}

impl Hello {
    /// Puts together what there is to say.
    pub fn new(build: Build, model: ModelInfo, placement: Placement) -> Self {
        let ModelInfo { name, arch, params, size_bytes, n_ctx_train, n_layers, chat, demo } = model;
        let Placement { backend, gpu_layers, parallel, ctx_size } = placement;
        Self {
            protocol: PROTOCOL,
            server: format!("inference-core {}", build.version),
            build,
            model: Model { name, arch, params, size_bytes, n_ctx_train, chat, demo },
            ctx_size,
            parallel,
            backend,
            gpu_layers,
            n_layers,
            auth: Auth::Ok,
        }
    }

    /// The version of this program.
    pub fn version(&self) -> &str {
        &self.build.version
    }

    /// What computes: `cpu`, `cuda`, …
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The model's name for people.
    pub fn model_name(&self) -> &str {
        &self.model.name
    }

    /// How many of the model's layers lie on cards, and how many with the processor; the output
    /// matrix is counted in neither.
    pub fn layers(&self) -> (u32, u32) {
        (self.gpu_layers, self.n_layers.saturating_sub(self.gpu_layers))
    }

    /// The same after a load that put `layers` on cards, the output matrix counted as one.
    #[must_use]
    pub fn offloaded(mut self, layers: u32) -> Self {
        // Clients count the model's layers, without the output matrix.
        self.gpu_layers = layers.saturating_sub(1);
        if layers == 0 {
            CPU.clone_into(&mut self.backend);
        }
        self
    }
}
