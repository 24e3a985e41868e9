//! The state that the engine thread and all handles share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::domain::MemoryPart;

use super::model::{StopFlag, Vocabulary};
use super::options::Options;
use super::request::Inbox;
use super::stats::Stats;

/// State shared by the engine thread and the handles.
pub(super) struct EngineShared {
    pub(super) options: Options,
    /// The counters and the state of the engine.
    pub(super) stats: Arc<Stats>,
    /// Carries accepted requests to the engine thread.
    pub(super) inbox: Inbox,
    /// Set once the model is loaded.
    pub(super) vocabulary: OnceLock<Arc<dyn Vocabulary>>,
    /// The memory that the model takes. Set during the load, if the backend reports it.
    pub(super) memory: OnceLock<Vec<MemoryPart>>,
    /// Number of layers on GPUs. Set during the load, if the backend reports it.
    pub(super) offloaded: OnceLock<u32>,
    /// What makes the model's answers worse. Set during the load, if the backend reports it.
    pub(super) warnings: OnceLock<Vec<String>>,
    /// Set to refuse new and waiting requests. Running requests may finish.
    pub(super) draining: AtomicBool,
    /// Set to end the running requests as well, and then the thread.
    pub(super) stopping: StopFlag,
}

impl EngineShared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            stats: Arc::new(Stats::new(Instant::now())),
            inbox: Inbox::default(),
            vocabulary: OnceLock::new(),
            memory: OnceLock::new(),
            offloaded: OnceLock::new(),
            warnings: OnceLock::new(),
            draining: AtomicBool::new(false),
            stopping: StopFlag::default(),
        }
    }
}
