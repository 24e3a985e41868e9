//! Fits the parts of a model into the memory of the GPUs.
//!
//! [`arrange`] tries choices of offloaded layers and experts, from the best one down, until an
//! [`Attempt`] fits. A requested number of layers is planned whether it fits or not.

mod attempt;

use self::attempt::{Attempt, n_layers};
use super::plan::{GpuDevice, OffloadPlan, OffloadTarget};
use super::sizes::{Demand, ModelSizes};

/// Arranges a model on `gpus`, each of which keeps `reserve` bytes free.
///
/// If not everything fits, the parts that cost least speed stay on the CPU: first the experts of a
/// mixture, because a token uses only a few of them, then whole layers. In both cases the first
/// layers stay. Of several GPUs, the first one that holds everything alone is used, because every
/// boundary between GPUs costs a transfer in each step. If none does, they are filled one after the
/// other.
pub(in crate::llama) fn arrange(
    sizes: &ModelSizes,
    demand: &Demand,
    gpus: &[GpuDevice],
    reserve: u64,
    target: OffloadTarget,
) -> OffloadPlan {
    let arranger = Arranger { sizes, demand, gpus, reserve };
    if gpus.is_empty() {
        return arranger.attempt(0, 0).into_plan("there is no GPU".to_owned());
    }
    match target {
        OffloadTarget::All => arranger.all_layers(),
        OffloadTarget::Layers(n) => arranger.fixed_layers(n),
        OffloadTarget::Auto => arranger.most_that_fits(),
    }
}

/// The model, the context and the GPUs that all attempts share.
struct Arranger<'a> {
    sizes: &'a ModelSizes,
    demand: &'a Demand,
    gpus: &'a [GpuDevice],
    reserve: u64,
}

impl<'a> Arranger<'a> {
    /// Offloads `gpu_layers` layers and keeps the experts of the first `cpu_expert_layers` on the
    /// CPU: on one GPU alone if possible, else split over the GPUs.
    fn attempt(&self, gpu_layers: u32, cpu_expert_layers: u32) -> Attempt<'a> {
        let split = Attempt {
            sizes: self.sizes,
            demand: self.demand,
            gpus: self.gpus,
            reserve: self.reserve,
            first_gpu: 0,
            gpu_layers,
            cpu_expert_layers,
        };
        let mut alone = (0..self.gpus.len()).map(|first_gpu| Attempt { first_gpu, ..split });
        alone.find(Attempt::fits_one_gpu).unwrap_or(split)
    }

    /// Maximum number of layers whose experts can stay on the CPU; 0 without experts. Every mixture
    /// has experts in all but the first few layers, so this counts all layers.
    fn max_expert_layers(&self) -> u32 {
        let has_experts = self.sizes.layers.iter().any(|layer| layer.experts > 0);
        if has_experts { self.sizes.layers.len() as u32 } else { 0 }
    }

    /// Offloads all layers and experts.
    fn all_layers(&self) -> OffloadPlan {
        let attempt = self.attempt(n_layers(self.sizes), 0);
        requested(attempt, "all layers were requested".to_owned())
    }

    /// Offloads `n` layers, with as many experts as fit.
    fn fixed_layers(&self, n: u32) -> OffloadPlan {
        let all = n_layers(self.sizes);
        let why = match n {
            n if n > all => format!("{n} layers were requested, but there are only {all}"),
            n => format!("{n} layers were requested"),
        };
        let (n, max) = (n.min(all), self.max_expert_layers());
        let fitting = (0..max).map(|experts| self.attempt(n, experts)).find(Attempt::fits);
        requested(fitting.unwrap_or_else(|| self.attempt(n, max)), why)
    }

    /// Offloads as many layers as fit, and then as many experts.
    fn most_that_fits(&self) -> OffloadPlan {
        let (all, max) = (n_layers(self.sizes), self.max_expert_layers());
        for experts in 0..=max {
            let attempt = self.attempt(all, experts);
            if attempt.fits() {
                let why = match experts {
                    0 => "everything fits".to_owned(),
                    n => format!("everything fits except the experts of the first {n} layers"),
                };
                return attempt.into_plan(why);
            }
        }
        let fitting = (1..all).rev().map(|n| self.attempt(n, max)).find(Attempt::fits);
        match fitting {
            Some(attempt) => {
                let experts = if max > 0 { ", and all experts stay on the CPU" } else { "" };
                attempt.into_plan(format!("more do not fit{experts}"))
            }
            None => self.attempt(0, 0).into_plan(
                "not even the output matrix and the compute buffer fit next to the reserve"
                    .to_owned(),
            ),
        }
    }
}

/// The plan for a requested number of layers, which may not fit.
fn requested(attempt: Attempt<'_>, why: String) -> OffloadPlan {
    let doubt = if attempt.fits() { "" } else { ", more than fit according to this plan" };
    attempt.into_plan(why + doubt)
}

#[cfg(test)]
mod tests;
