//! The `hello` frame: the first frame of every connection describes the server and its model.
//!
//! Until the model is loaded, it shows the planned number of GPU layers, and whether the file has a
//! chat template. Afterwards [`Hello::offloaded`] and [`Hello::without_chat`] replace that by what
//! the load has found.

use serde::Serialize;

use crate::domain::ModelInfo;

/// The content of a `hello` frame. It is the same for all connections once the model is loaded.
#[derive(Debug, Clone, Serialize)]
pub struct Hello {
    protocol: u32,
    server: String,
    build: Build,
    model: ModelFields,
    ctx_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    parallel: usize,
    backend: String,
    gpu_layers: u32,
    n_layers: u32,
    auth: Auth,
}

/// How this program was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The version of this crate.
    pub version: String,
    /// The commit that the program was built from.
    pub commit: String,
    /// The version of the linked llama.cpp, or the name of what replaces it in a test build.
    pub llama_cpp: String,
    /// The CPU's vector extensions that the program was built for, separated by spaces.
    pub cpu_flags: String,
}

/// How the model is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingInfo {
    /// The compute backend: `cpu`, `cuda`, …
    pub backend: String,
    /// Transformer layers offloaded to GPUs.
    pub gpu_layers: u32,
    /// Number of slots: requests that are computed at the same time.
    pub parallel: usize,
    /// Maximum number of tokens of a request, prompt and answer together.
    pub ctx_size: usize,
    /// Maximum number of tokens of an answer, if the server limits it.
    pub max_tokens: Option<u32>,
}

/// The `model` object.
#[derive(Debug, Clone, Serialize)]
struct ModelFields {
    name: String,
    arch: String,
    params: u64,
    size_bytes: u64,
    n_ctx_train: u32,
    chat: bool,
    /// Why `chat` is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_problem: Option<String>,
    demo: bool,
}

/// The `auth` field: whether the client has to send an API key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Auth {
    Ok,
    Required,
}

impl Hello {
    /// Number of weights, bytes of all tensors, and the context that the model was trained on.
    pub fn model_sizes(&self) -> (u64, u64, u32) {
        (self.model.params, self.model.size_bytes, self.model.n_ctx_train)
    }

    /// What computes the answers, so that equal requests may get equal answers: the version, the
    /// commit and the compute backend.
    pub fn fingerprint(&self) -> String {
        format!("{}-{}-{}", self.build.version, self.build.commit, self.backend)
    }

    /// Builds the frame's content.
    pub fn new(build: Build, model: ModelInfo, serving: ServingInfo) -> Self {
        let ModelInfo {
            name,
            arch,
            params,
            size_bytes,
            n_ctx_train,
            n_layers,
            chat_problem,
            is_demo: demo,
        } = model;
        let ServingInfo { backend, gpu_layers, parallel, ctx_size, max_tokens } = serving;
        Self {
            protocol: PROTOCOL_VERSION,
            server: format!("inference-core {}", build.version),
            build,
            model: ModelFields {
                name,
                arch,
                params,
                size_bytes,
                n_ctx_train,
                chat: chat_problem.is_none(),
                chat_problem,
                demo,
            },
            ctx_size,
            max_tokens,
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

    /// The compute backend: `cpu`, `cuda`, …
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The model's display name.
    pub fn model_name(&self) -> &str {
        &self.model.name
    }

    /// The number of transformer layers on GPUs and on the CPU. Neither counts the output matrix.
    pub fn layers(&self) -> (u32, u32) {
        (self.gpu_layers, self.n_layers.saturating_sub(self.gpu_layers))
    }

    /// The same content for a model that refuses conversations, and why it does.
    #[must_use]
    pub fn without_chat(mut self, problem: String) -> Self {
        self.model.chat = false;
        self.model.chat_problem = Some(problem);
        self
    }

    /// The same content for a client that has to send an API key.
    #[must_use]
    pub fn with_auth_required(mut self) -> Self {
        self.auth = Auth::Required;
        self
    }

    /// The same content for a load that offloaded `layers` to GPUs. `layers` counts the output
    /// matrix as one layer.
    #[must_use]
    pub fn offloaded(mut self, layers: u32) -> Self {
        // `gpu_layers` on the wire does not count the output matrix.
        self.gpu_layers = layers.saturating_sub(1);
        if layers == 0 {
            CPU_BACKEND.clone_into(&mut self.backend);
        }
        self
    }
}

/// The version of the wire contract in docs/PROTOCOL.md.
const PROTOCOL_VERSION: u32 = 1;

/// The backend's name if no layer is offloaded.
const CPU_BACKEND: &str = "cpu";
