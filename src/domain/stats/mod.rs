//! What the engine reports about itself, as plain data: its state, counters and histograms.
//!
//! The engine writes atomics of its own. What others read is a [`Snapshot`], which is taken at one
//! moment and may be sent to another process.

mod distribution;
mod snapshot;
mod table;

pub use distribution::{BATCH_BOUNDS, DURATION_BOUNDS, Distribution};
pub use snapshot::{EngineState, Phase, Snapshot};
pub use table::{Histograms, Metric, MetricKind, MetricUnit, Numbers};
pub(crate) use table::{engine_histograms, engine_numbers};
