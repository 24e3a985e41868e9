//! Refuses a model that takes more host RAM than this process may take.
//!
//! Otherwise the system would kill this process, or others, while the model is loaded or at the
//! first long prompt.

use crate::llama::{self, DevicePlan, ModelDescription, OffloadPlan};
use crate::machine::AvailableMemory;

use crate::daemon::units::bytes;

/// The host RAM that a model takes for good, in bytes. Pages of mapped files are left out: the
/// system can drop them and read them again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HostDemand {
    weights: u64,
    kv: u64,
    compute: u64,
}

impl HostDemand {
    /// The demand of a model, and of its draft model with the plan for it.
    pub(super) fn of_models(
        description: &ModelDescription,
        offload_plan: &OffloadPlan,
        draft: Option<(&ModelDescription, &DevicePlan)>,
    ) -> Self {
        let is_offloaded = offload_plan.gpu_layers > 0;
        let model = Self::of(description, &offload_plan.cpu, is_offloaded);
        draft.map_or(model, |(draft, cpu)| model.plus(Self::of(draft, cpu, false)))
    }

    /// The demand of a model of which `cpu` is planned for the CPU.
    fn of(description: &ModelDescription, cpu: &DevicePlan, is_offloaded: bool) -> Self {
        Self {
            weights: llama::private_weights(description, cpu, is_offloaded),
            kv: cpu.kv,
            compute: cpu.compute,
        }
    }

    /// With what the processes take beside the model's buffers.
    pub(super) fn total(self) -> u64 {
        self.fixed().saturating_add(self.kv)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            weights: self.weights.saturating_add(other.weights),
            kv: self.kv.saturating_add(other.kv),
            compute: self.compute.saturating_add(other.compute),
        }
    }

    /// [`Self::total`] without the KV cache.
    fn fixed(self) -> u64 {
        self.weights.saturating_add(self.compute).saturating_add(PROCESS_BYTES)
    }

    /// Why the demand of a model with a KV cache of `kv_tokens` cannot be met, and what to do;
    /// `None` if it can.
    pub(super) fn refusal(self, kv_tokens: u32, available: AvailableMemory) -> Option<String> {
        let needed = self.total();
        let AvailableMemory { bytes: free, is_limited } = available;
        if needed <= free {
            return None;
        }
        let size = |n: u64| bytes(n as f64);
        let help = match (self.fixed() < free, is_limited) {
            (true, _) => "lower --ctx-size, --parallel or --kv-size",
            (false, true) => "use a smaller model, or raise that limit",
            (false, false) => "use a smaller model, or end other programs",
        };
        Some(format!(
            "it needs {} of host RAM (weights {}, a KV cache of {kv_tokens} tokens {}, the rest \
             {}), but only {} are free{}: {help}",
            size(needed),
            size(self.weights),
            size(self.kv),
            size(self.compute.saturating_add(PROCESS_BYTES)),
            size(free),
            if is_limited { " within the memory limit of its cgroup" } else { "" },
        ))
    }
}

/// Bytes that the processes take beside the model's buffers: its vocabulary, the stacks and heaps
/// of both processes, and buffers of connections (ADR-0034).
const PROCESS_BYTES: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn refusal(demand: [u64; 3], free: u64, is_limited: bool) -> Option<String> {
        let [weights, kv, compute] = demand.map(|mib| mib * MIB);
        let available = AvailableMemory { bytes: free * MIB, is_limited };
        HostDemand { weights, kv, compute }.refusal(4096, available)
    }

    #[test]
    fn demand_that_fits_is_not_refused() {
        assert_eq!(refusal([500, 200, 100], 832, true), None);
        assert!(refusal([500, 200, 100], 831, true).is_some());
    }

    #[test]
    fn refusal_advises_what_helps() {
        let lines = [
            refusal([500, 300, 68], 700, true),
            refusal([500, 300, 68], 200, true),
            refusal([500, 300, 68], 200, false),
        ]
        .map(Option::unwrap);
        assert_eq!(
            lines[0],
            "it needs 900.0 MiB of host RAM (weights 500.0 MiB, a KV cache of 4096 tokens 300.0 \
             MiB, the rest 100.0 MiB), but only 700.0 MiB are free within the memory limit of its \
             cgroup: lower --ctx-size, --parallel or --kv-size"
        );
        assert!(lines[1].ends_with("cgroup: use a smaller model, or raise that limit"));
        assert!(lines[2].ends_with("are free: use a smaller model, or end other programs"));
    }

    #[test]
    fn huge_demand_does_not_overflow() {
        let demand = HostDemand { weights: u64::MAX, kv: u64::MAX, compute: 1 };
        let available = AvailableMemory { bytes: 1, is_limited: false };
        assert!(demand.plus(demand).refusal(1, available).is_some());
    }
}
