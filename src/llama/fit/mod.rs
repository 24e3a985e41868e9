//! What of a model goes onto the graphics cards, and why.
//!
//! Pure arithmetic on the tensor table of the file, the wanted context and what the cards have
//! free; nothing is loaded for it. llama.cpp offloads the last layers first and counts the output
//! matrix as one layer more, so a plan is one number and a split between the cards. It promises
//! that what is planned for a card fits into it by the sizes it gives, which [`crate::llama::load()`]
//! compares with what llama.cpp then reports.

mod arrange;
mod attention;
mod compute;
mod devices;
pub(super) mod report;
mod sizes;

pub(super) use self::arrange::arrange;
pub use self::arrange::{DevicePlan, GpuDevice, OffloadPlan, OffloadTarget};
pub(super) use self::attention::Situation;
pub(super) use self::compute::Behind;
pub use self::devices::{gpu_bus_ids, gpu_devices};
pub use self::sizes::KvType;
pub(super) use self::sizes::{Demand, Sizes};
