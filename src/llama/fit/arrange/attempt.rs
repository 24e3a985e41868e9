//! One choice of offloaded layers: what every device then holds, and whether that fits.
//!
//! The layers are assigned in llama.cpp's order: the first layers stay on the CPU, the others fill
//! one GPU after the other, and the output matrix comes last.

use crate::llama::fit::compute::{ComputeBuffers, CpuShare};
use crate::llama::fit::plan::{DevicePlan, GpuDevice, OffloadPlan};
use crate::llama::fit::sizes::{Demand, ModelSizes};

/// One choice: how many layers are offloaded, from which GPU on.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) sizes: &'a ModelSizes,
    pub(super) demand: &'a Demand,
    pub(super) gpus: &'a [GpuDevice],
    /// Bytes that must stay free on each GPU.
    pub(super) reserve: u64,
    /// Index of the first GPU that gets layers; the GPUs before it stay empty.
    pub(super) first_gpu: usize,
    /// Number of offloaded layers, the output matrix counted as one.
    pub(super) gpu_layers: u32,
    /// Number of layers, from the first one on, whose experts stay on the CPU.
    pub(super) cpu_expert_layers: u32,
}

/// What every device holds.
struct Assignment {
    gpus: Vec<DevicePlan>,
    cpu: DevicePlan,
    /// Whether every offloaded layer fit on its GPU when it was added.
    is_placed: bool,
}

/// Bytes of one layer, or of the output matrix.
struct LayerBytes {
    /// Weights that are stored where the layer is computed.
    weights: u64,
    /// Experts that stay on the CPU.
    cpu_experts: u64,
    /// KV cache and recurrent states.
    kv: u64,
}

impl Attempt<'_> {
    /// Whether every GPU stays within its budget.
    pub(super) fn fits(&self) -> bool {
        let Assignment { gpus, is_placed, .. } = self.assign();
        is_placed && gpus.iter().all(DevicePlan::fits)
    }

    /// Whether the GPU at [`Self::first_gpu`] alone holds all offloaded layers within its budget.
    pub(super) fn fits_one_gpu(&self) -> bool {
        let Assignment { gpus, is_placed, .. } = self.assign();
        let alone = gpus.get(self.first_gpu);
        is_placed && alone.is_some_and(|gpu| gpu.layers == self.gpu_layers && gpu.fits())
    }

    /// The plan for this attempt, with its reason.
    pub(super) fn into_plan(self, why: String) -> OffloadPlan {
        let Assignment { gpus, cpu, .. } = self.assign();
        OffloadPlan {
            gpu_layers: self.gpu_layers,
            n_layers: n_layers(self.sizes),
            cpu_expert_layers: if self.gpu_layers == 0 { 0 } else { self.cpu_expert_layers },
            kv_type: self.demand.kv_type,
            flash_attention: self.demand.flash_attention,
            gpus,
            cpu,
            why,
        }
    }

    /// Adds the layers to the devices in order: the first layers to the CPU, the rest to the GPUs.
    fn assign(&self) -> Assignment {
        let compute = self.sizes.compute_buffers(self.demand, self.cpu_share());
        let mut gpus = self.empty_gpus();
        let mut cpu = self.empty_cpu(compute);
        let n = self.sizes.layers.len();
        let first_offloaded = (n + 1).saturating_sub(self.gpu_layers as usize);
        let (mut gpu_index, mut is_placed) = (self.first_gpu, true);
        for i in 0..=n {
            let bytes = self.layer_bytes(i);
            cpu.weights += bytes.cpu_experts;
            if i < first_offloaded {
                // A tied output matrix is the embedding matrix, which the CPU holds already.
                let is_already_counted = i == n && self.sizes.is_tied;
                let counted_bytes = if is_already_counted { self.sizes.embedding } else { 0 };
                cpu.weights += bytes.weights - counted_bytes;
                cpu.kv += bytes.kv;
                cpu.layers += 1;
                continue;
            }
            while gpu_index + 1 < gpus.len() && !fits_with(&gpus[gpu_index], &bytes, compute) {
                gpu_index += 1;
            }
            let Some(gpu) = gpus.get_mut(gpu_index) else { break };
            is_placed &= fits_with(gpu, &bytes, compute);
            gpu.compute = compute.gpu;
            gpu.context = DRIVER_CONTEXT_BYTES;
            gpu.weights += bytes.weights;
            if i == n && self.sizes.is_tied {
                gpu.copies += self.sizes.embedding;
            }
            gpu.kv += bytes.kv;
            gpu.layers += 1;
        }
        Assignment { gpus, cpu, is_placed }
    }

    /// Bytes of layer `i`, or of the output matrix if `i` is the number of layers.
    fn layer_bytes(&self, i: usize) -> LayerBytes {
        let kv = self.sizes.kv_bytes(i, self.demand);
        match self.sizes.layers.get(i) {
            Some(layer) if (i as u32) < self.cpu_expert_layers => {
                LayerBytes { weights: layer.weights, cpu_experts: layer.experts, kv }
            }
            Some(layer) => {
                LayerBytes { weights: layer.weights + layer.experts, cpu_experts: 0, kv }
            }
            None => LayerBytes { weights: self.sizes.output, cpu_experts: 0, kv: 0 },
        }
    }

    /// Which parts of the model stay on the CPU.
    fn cpu_share(&self) -> CpuShare {
        let mut first_layers = self.sizes.layers.iter().take(self.cpu_expert_layers as usize);
        match self.gpu_layers {
            0 => CpuShare::Everything,
            n if n < n_layers(self.sizes) => CpuShare::Layers,
            _ if first_layers.any(|layer| layer.experts > 0) => CpuShare::Experts,
            _ => CpuShare::Embeddings,
        }
    }

    /// The GPUs without layers, with their budgets.
    fn empty_gpus(&self) -> Vec<DevicePlan> {
        let empty = |gpu: &GpuDevice| DevicePlan {
            name: gpu.name.clone(),
            device: gpu.device.clone(),
            budget: Some(gpu.free.saturating_sub(self.reserve)),
            ..DevicePlan::default()
        };
        self.gpus.iter().map(empty).collect()
    }

    /// The CPU without layers: the embeddings, and the repacked copies, which ggml makes only if
    /// nothing is offloaded.
    fn empty_cpu(&self, compute: ComputeBuffers) -> DevicePlan {
        let repacked = if self.gpu_layers == 0 { self.sizes.repacked } else { 0 };
        DevicePlan {
            name: CPU_NAME.to_owned(),
            device: CPU_NAME.to_owned(),
            weights: self.sizes.embedding + self.sizes.input + repacked,
            copies: repacked,
            compute: compute.cpu,
            ..DevicePlan::default()
        }
    }
}

/// Whether `gpu` stays within its budget if the layer is added.
fn fits_with(gpu: &DevicePlan, layer: &LayerBytes, compute: ComputeBuffers) -> bool {
    let first_layer = if gpu.layers == 0 { compute.gpu + DRIVER_CONTEXT_BYTES } else { 0 };
    let needed = gpu.total() + first_layer + layer.weights + layer.kv;
    gpu.budget.is_none_or(|budget| needed <= budget)
}

/// Number of layers, with the output matrix counted as one, as in llama.cpp.
pub(super) fn n_layers(sizes: &ModelSizes) -> u32 {
    sizes.layers.len() as u32 + 1
}

/// Estimated bytes that a CUDA context takes on a GPU, for kernels and driver data (ADR-0014).
const DRIVER_CONTEXT_BYTES: u64 = 150 << 20;

/// The CPU's name in plans.
const CPU_NAME: &str = "cpu";
