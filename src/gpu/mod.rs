//! Monitors NVIDIA GPUs through NVML.
//!
//! [`Monitor`] publishes the latest reading of every GPU once per interval. Consumers never wait:
//! they always get the latest [`GpuReading`](crate::domain::GpuReading) and the time it was taken.
//! Every value in a reading was measured; a value that the driver does not report is absent.
//!
//! - Without NVML or a GPU the reading stays empty. A driver that is installed later is found.
//! - Each GPU has its own thread, so a driver call that hangs delays no other GPU.
//! - A GPU that falls off the bus is *lost*. It is read again when it returns, for which NVML must
//!   be restarted. No GPU is read during a restart, so a driver that hangs in it stops all of them.
//! - A GPU whose last reading is too old is *stale*: it is reported without values.
//!
//! See ADR-0021.

mod fallback;
mod monitor;
mod nvml;
mod options;
mod selection;
mod table;

pub use monitor::{Monitor, RunnerProcessId};
pub use options::Options;
