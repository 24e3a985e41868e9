//! Which parts of a model are offloaded to GPUs, and how much memory every device needs.
//!
//! [`plan_offload`] makes an [`OffloadPlan`] by arithmetic alone, from the sizes of the model's
//! parts, the options of the context and the free memory of the GPUs; nothing is loaded for it.
//! llama.cpp offloads the last layers first and counts the output matrix as one more layer, so a
//! plan is a number of layers and a split between the GPUs. By its own estimates an automatic plan
//! fits every GPU. [`crate::llama::load()`] compares these estimates with what llama.cpp reports
//! ([`report`]).
//!
//! The estimates and the order in which parts are offloaded are explained in ADR-0014.

mod arrange;
mod attention;
mod compute;
mod devices;
mod offload;
mod plan;
pub(super) mod report;
mod sizes;

pub use self::devices::{gpu_bus_ids, gpu_devices};
pub(super) use self::offload::choose_flash_attention;
pub use self::offload::plan_offload;
pub use self::plan::{DevicePlan, GpuDevice, OffloadPlan, OffloadTarget};
pub use self::sizes::KvType;
pub(super) use self::sizes::ModelSizes;
