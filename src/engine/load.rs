//! What a backend provides once its model is loaded, and how it reports progress until then.

use std::sync::Arc;

use crate::domain::MemoryPart;

use super::model::{StopFlag, Vocabulary};
use super::shared::EngineShared;

/// A loaded model.
pub struct Loaded<M> {
    /// The model, which stays on the engine thread.
    pub model: M,
    /// Its vocabulary, which all threads share.
    pub vocabulary: Arc<dyn Vocabulary>,
}

/// Receives the progress of a load. Its [`Self::report`] returns whether the load is to continue.
pub struct LoadProgress {
    shared: Arc<EngineShared>,
    /// Where this load begins in the progress of the whole, 0 to 1.
    start: f32,
    /// Where this load ends in the progress of the whole, 0 to 1.
    end: f32,
}

impl LoadProgress {
    /// The progress of the whole load.
    pub(super) fn new(shared: Arc<EngineShared>) -> Self {
        Self { shared, start: 0.0, end: 1.0 }
    }

    /// Splits the progress for two loads in a row. The first is `fraction` (0 to 1) of the work.
    pub fn split_at(&self, fraction: f32) -> (Self, Self) {
        let Self { start, end, .. } = *self;
        let middle = start + (end - start) * fraction;
        let part = |start, end| Self { shared: self.shared.clone(), start, end };
        (part(start, middle), part(middle, end))
    }

    /// Reports the fraction that is loaded, from 0 to 1. Returns false if the load is to be
    /// abandoned because the engine stops.
    pub fn report(&self, fraction: f32) -> bool {
        self.shared.stats.set_load_progress(self.start + (self.end - self.start) * fraction);
        !self.shared.stopping.is_set()
    }

    /// Set when the load is to be abandoned.
    pub fn stop_flag(&self) -> &StopFlag {
        &self.shared.stopping
    }

    /// Reports the memory that the loaded model takes. Only the first call counts.
    pub fn memory(&self, parts: Vec<MemoryPart>) {
        let _ = self.shared.memory.set(parts);
    }

    /// Reports what makes the answers of the loaded model worse, one sentence each. Only the first
    /// call counts.
    pub fn warnings(&self, warnings: Vec<String>) {
        let _ = self.shared.warnings.set(warnings);
    }

    /// Reports how many layers of the loaded model are on GPUs, the output matrix counted as one
    /// layer. Only the first call counts.
    pub fn offloaded(&self, layers: u32) {
        let _ = self.shared.offloaded.set(layers);
    }
}
