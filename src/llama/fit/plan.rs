//! The offload plan: which layers go to which device, and what they take there.
//!
//! The types here hold the result. [`super::arrange`] makes it, and `load` passes it to llama.cpp.

use serde::{Deserialize, Serialize};

use super::sizes::KvType;

/// A GPU that layers can be offloaded to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuDevice {
    /// The name of the GPU model, for people.
    pub name: String,
    /// llama.cpp's name for the device (`CUDA0`); empty for a hypothetical GPU.
    pub device: String,
    /// Bytes of free memory.
    pub free: u64,
}

/// How many layers to offload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OffloadTarget {
    /// As many as fit.
    Auto,
    /// All, whether they fit or not.
    All,
    /// This many, with the output matrix counted as one layer, as in llama.cpp.
    Layers(u32),
}

/// What one device holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The device's name, for people.
    pub name: String,
    /// llama.cpp's name for the GPU, or `cpu`.
    pub device: String,
    /// Bytes that may be used; `None` for the CPU, whose memory is not limited by the plan.
    pub budget: Option<u64>,
    /// Number of layers, with the output matrix counted as one.
    pub layers: u32,
    /// Bytes of weights.
    pub weights: u64,
    /// The part of `weights` that is stored a second time: repacked weights on the CPU, and the
    /// matrix of token embeddings that also serves as the output matrix on a GPU.
    pub copies: u64,
    /// Bytes of the KV cache and of recurrent states.
    pub kv: u64,
    /// Bytes of the compute buffer, which holds the intermediate results of a step.
    pub compute: u64,
    /// Bytes of the driver's context.
    pub context: u64,
}

impl DevicePlan {
    /// Sum of all bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.kv + self.compute + self.context
    }

    /// Whether the total is within the budget.
    pub(super) fn fits(&self) -> bool {
        self.budget.is_none_or(|budget| self.total() <= budget)
    }
}

/// Which parts of the model go to which device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffloadPlan {
    /// Number of offloaded layers, with the output matrix counted as one.
    pub gpu_layers: u32,
    /// Number of all layers, counted the same way.
    pub n_layers: u32,
    /// Number of layers, from the first one on, whose experts stay on the CPU even if the layer is
    /// offloaded.
    pub cpu_expert_layers: u32,
    /// Data type of the KV cache.
    pub kv_type: KvType,
    /// Whether flash attention is used, which needs no memory for attention scores.
    pub flash_attention: bool,
    /// The GPUs, in llama.cpp's order.
    pub gpus: Vec<DevicePlan>,
    /// The CPU.
    pub cpu: DevicePlan,
    /// Why the plan offloads this many layers, in one line.
    pub why: String,
}

impl OffloadPlan {
    /// Whether every GPU stays within its budget.
    pub fn fits(&self) -> bool {
        self.gpus.iter().all(DevicePlan::fits)
    }

    /// Whether this plan is better than `other`. A plan that fits is better than a plan that does
    /// not. Otherwise the plan with more offloaded layers is better, then the plan with more
    /// offloaded experts.
    pub fn offloads_more_than(&self, other: &Self) -> bool {
        let rank = |plan: &Self| (plan.fits(), plan.gpu_layers, u32::MAX - plan.cpu_expert_layers);
        rank(self) > rank(other)
    }

    /// Lowers the free memory in `gpus` after loading with this plan ran out of memory.
    ///
    /// Every GPU that holds layers is assumed to have, besides `reserve`, only the bytes that this
    /// plan put there, less one part in `parts`. The driver's figure is not trusted again, since it
    /// was wrong once. Each plan made this way is smaller than the plan before, and the last one
    /// offloads nothing.
    pub(in crate::llama) fn lower_free_memory(
        &self,
        gpus: &mut [GpuDevice],
        reserve: u64,
        parts: u64,
    ) {
        for (planned, gpu) in self.gpus.iter().zip(gpus) {
            let usable = planned.total() - planned.total().div_ceil(parts);
            if planned.layers > 0 {
                gpu.free = gpu.free.min(reserve.saturating_add(usable));
            }
        }
    }
}
