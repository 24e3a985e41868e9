//! Repeats a load with less on the GPUs if memory runs out.
//!
//! The plan relies on the free memory that the driver reports. Other programs may have taken some
//! of it since, and the plan's estimates may be too low.

use crate::engine::LoadProgress;
use crate::llama::error::LoadError;
use crate::llama::file::ModelDescription;
use crate::llama::fit::{GpuDevice, OffloadPlan, OffloadTarget, gpu_devices, plan_offload};

use super::main_model::{MainModel, load_with_plan};
use super::options::Options;

/// Loads the main model. Each time memory runs out, tries again with less on the GPUs, until
/// nothing is offloaded.
///
/// # Errors
/// [`LoadError`], of the last attempt.
pub(super) fn load_main_model(
    description: &ModelDescription,
    options: Options,
    offload_plan: OffloadPlan,
    progress: &LoadProgress,
) -> Result<MainModel, LoadError> {
    let (mut offload_plan, mut devices) = (offload_plan, None);
    loop {
        match load_with_plan(description, options, &offload_plan, progress) {
            Err(LoadError::Resources { reason, .. }) if offload_plan.gpu_layers > 0 => {
                let gpus = devices.get_or_insert_with(gpu_devices);
                let reduced = reduce(description, options, &offload_plan, gpus);
                let (failed, next) = (offloaded(&offload_plan), offloaded(&reduced));
                tracing::warn!("{failed} do not fit ({reason}); trying {next}");
                offload_plan = reduced;
            }
            result => return result,
        }
    }
}

/// The plan to try after `offload_plan` has failed. Reduces the free memory that is assumed for
/// each of the `gpus`.
fn reduce(
    description: &ModelDescription,
    options: Options,
    offload_plan: &OffloadPlan,
    gpus: &mut [GpuDevice],
) -> OffloadPlan {
    offload_plan.lower_free_memory(gpus, options.vram_reserve, REDUCTION_DIVISOR.into());
    let n = offload_plan.gpu_layers;
    let gpu_layers = match options.gpu_layers {
        // With less free memory, the plan may move experts off the GPUs before whole layers.
        OffloadTarget::Auto => OffloadTarget::Auto,
        OffloadTarget::All | OffloadTarget::Layers(_) => {
            OffloadTarget::Layers(n - (n / REDUCTION_DIVISOR).max(1))
        }
    };
    plan_offload(description, &Options { gpu_layers, ..options }, gpus)
}

/// Each retry assumes an eighth less memory on each GPU than was planned there. A requested number
/// of layers is reduced by an eighth as well, at least by one.
const REDUCTION_DIVISOR: u32 = 8;

/// What a plan offloads, for the log.
fn offloaded(offload_plan: &OffloadPlan) -> String {
    let experts = match offload_plan.cpu_expert_layers {
        0 => String::new(),
        n => format!(" (the experts of {n} on the CPU)"),
    };
    format!("{} layers{experts} on the GPUs", offload_plan.gpu_layers)
}
