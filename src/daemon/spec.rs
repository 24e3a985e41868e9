//! What the daemon tells a runner to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::SandboxMode;
use crate::engine;
use crate::llama::{self, ModelDescription, OffloadPlan};

/// The work of a runner: what to load, and how to serve it. Made from the plan of the daemon, so
/// that both speak of the same model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunnerSpec {
    pub(super) description: ModelDescription,
    pub(super) draft: Option<ModelDescription>,
    /// Where the runner finds the files of the model, which it inherits.
    pub(super) held: Vec<PathBuf>,
    /// Where it finds those of the draft model.
    pub(super) held_draft: Vec<PathBuf>,
    /// Whether the runner confines itself.
    pub(super) sandbox: SandboxMode,
    pub(super) llama: llama::Options,
    pub(super) offload_plan: OffloadPlan,
    pub(super) engine: engine::Options,
    /// The log filter.
    pub(super) log: String,
}
