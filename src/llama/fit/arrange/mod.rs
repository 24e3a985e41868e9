//! Fits the parts of a model into the memory of the cards.

use super::compute::Behind;
use super::sizes::{Demand, KvType, Sizes};

/// What a CUDA context takes of a card besides what is put there: kernels and the driver's own
/// books. An estimate; NVIDIA publishes no figure, and it grows with the generations.
const CONTEXT_BYTES: u64 = 150 << 20;

/// What the processor is called.
const CPU: &str = "cpu";

/// One card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuDevice {
    /// What to call it.
    pub name: String,
    /// What llama.cpp calls it (`CUDA0`); empty for one that is only imagined.
    pub device: String,
    /// Bytes nobody uses.
    pub free: u64,
}

/// How many layers shall be offloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffloadTarget {
    /// As many as fit.
    Auto,
    /// All, whether they fit or not.
    All,
    /// So many, counted as llama.cpp counts, the output matrix as one.
    Layers(u32),
}

/// What lies in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicePlan {
    /// The card's name, or the processor's.
    pub name: String,
    /// What llama.cpp calls it, or `cpu`.
    pub device: String,
    /// Bytes that may be used there; `None` for the processor, whose memory is not planned.
    pub budget: Option<u64>,
    /// Layers, the output matrix counted as one.
    pub layers: u32,
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of the KV cache.
    pub kv: u64,
    /// Bytes of the buffer a step is computed in.
    pub compute: u64,
    /// Bytes of the driver's context.
    pub context: u64,
}

impl DevicePlan {
    /// All bytes.
    pub fn total(&self) -> u64 {
        self.weights + self.kv + self.compute + self.context
    }

    fn fits(&self) -> bool {
        self.budget.is_none_or(|budget| self.total() <= budget)
    }
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffloadPlan {
    /// Layers on cards, the output matrix counted as one.
    pub gpu_layers: u32,
    /// Layers there are, counted likewise.
    pub n_layers: u32,
    /// Layers, the first ones, whose experts stay with the processor though the layer does not.
    pub cpu_expert_layers: u32,
    /// How the KV cache stores its numbers.
    pub kv_type: KvType,
    /// Whether flash attention computes, which needs no room for scores.
    pub flash_attention: bool,
    /// The cards, in order.
    pub cards: Vec<DevicePlan>,
    /// The processor.
    pub cpu: DevicePlan,
    /// The reason, in a line.
    pub why: String,
}

impl OffloadPlan {
    /// Whether no card holds more than may be used there.
    pub fn fits(&self) -> bool {
        self.cards.iter().all(DevicePlan::fits)
    }

    /// Notes in `cards` that this did not fit: of each that holds something as much is counted on as this
    /// put there less one part in `parts`, beside `reserve`. The driver may say that more is free, but
    /// it was wrong already. So each arrangement is another one, and the last puts nothing on cards.
    pub(in crate::llama) fn count_on_less(
        &self,
        cards: &mut [GpuDevice],
        reserve: u64,
        parts: u64,
    ) {
        for (was, card) in self.cards.iter().zip(cards) {
            let most = was.total() - was.total().div_ceil(parts);
            if was.layers > 0 {
                card.free = card.free.min(reserve.saturating_add(most));
            }
        }
    }

    /// Whether this is better than `other`: it fits and `other` does not, or, where that is the
    /// same, more of the model lies on cards.
    pub fn puts_more_on_cards_than(&self, other: &Self) -> bool {
        let rank = |offload_plan: &Self| {
            (
                offload_plan.fits(),
                offload_plan.gpu_layers,
                u32::MAX - offload_plan.cpu_expert_layers,
            )
        };
        rank(self) > rank(other)
    }
}

/// Arranges a model on `cards`, of each of which `reserve` bytes stay free.
///
/// What is given up first where it is tight is what costs least speed: the experts of a mixture,
/// which a token seldom uses, from the first layer on; then layers, from the first on. Of several
/// cards the first that holds all of this alone is taken, since each step hands its numbers from
/// card to card; where none does, the first ones are filled first.
pub(in crate::llama) fn arrange(
    sizes: &Sizes,
    demand: &Demand,
    cards: &[GpuDevice],
    reserve: u64,
    wanted: OffloadTarget,
) -> OffloadPlan {
    let all = layers_of(sizes);
    let n_experts = sizes.layers.iter().filter(|layer| layer.experts > 0).count() as u32;
    let attempt = |gpu_layers, experts| {
        let split = Attempt { sizes, demand, cards, reserve, first_card: 0, gpu_layers, experts };
        let alone = (0..cards.len()).map(|first_card| Attempt { first_card, ..split });
        alone.into_iter().find(Attempt::fits_one_card).unwrap_or(split)
    };
    let done = |attempt: Attempt<'_>, why: &str| attempt.offload_plan(why.to_owned());
    let asked = |attempt: Attempt<'_>, why: String| {
        let doubt = if attempt.fits() { "" } else { ", more than fit by this plan" };
        attempt.offload_plan(why + doubt)
    };
    if cards.is_empty() {
        return done(attempt(0, 0), "there is no card");
    }
    match wanted {
        OffloadTarget::All => {
            return asked(attempt(all, 0), "all layers were asked for".to_owned());
        }
        OffloadTarget::Auto | OffloadTarget::Layers(_) => {}
    }
    // The experts of layer i stay behind for all i below the number, so only layers count that
    // have some; in a mixture those are all but the first few.
    let most = if n_experts > 0 { sizes.layers.len() as u32 } else { 0 };
    if let OffloadTarget::Layers(n) = wanted {
        let why = match n {
            n if n > all => format!("{n} layers were asked for, and there are {all}"),
            n => format!("{n} layers were asked for"),
        };
        let n = n.min(all);
        let fitting = (0..most).map(|experts| attempt(n, experts)).find(Attempt::fits);
        let attempt = fitting.unwrap_or_else(|| attempt(n, most));
        return asked(attempt, why);
    }
    for experts in 0..=most {
        let attempt = attempt(all, experts);
        if attempt.fits() {
            let why = if experts == 0 {
                "everything fits".to_owned()
            } else {
                format!("everything fits but the experts of the first {experts} layers")
            };
            return attempt.offload_plan(why);
        }
    }
    let fitting = (1..all).rev().map(|n| attempt(n, most)).find(Attempt::fits);
    match fitting {
        Some(attempt) => {
            let beside = if most > 0 { ", and the experts stay with the processor" } else { "" };
            attempt.offload_plan(format!("more do not fit{beside}"))
        }
        None => done(
            attempt(0, 0),
            "not even the output matrix and the buffers of a step fit beside the reserve",
        ),
    }
}

/// Layers of a model as llama.cpp counts them for offloading.
fn layers_of(sizes: &Sizes) -> u32 {
    sizes.layers.len() as u32 + 1
}

/// One way to do it.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    sizes: &'a Sizes,
    demand: &'a Demand,
    cards: &'a [GpuDevice],
    reserve: u64,
    /// The cards before it stay empty.
    first_card: usize,
    gpu_layers: u32,
    experts: u32,
}

impl Attempt<'_> {
    fn fits(&self) -> bool {
        let (cards, _, is_placed) = self.places();
        is_placed && cards.iter().all(DevicePlan::fits)
    }

    fn fits_one_card(&self) -> bool {
        let (cards, _, is_placed) = self.places();
        let alone = cards.get(self.first_card);
        is_placed && alone.is_some_and(|card| card.layers == self.gpu_layers && card.fits())
    }

    fn offload_plan(&self, why: String) -> OffloadPlan {
        let (cards, cpu, _) = self.places();
        OffloadPlan {
            gpu_layers: self.gpu_layers,
            n_layers: layers_of(self.sizes),
            cpu_expert_layers: if self.gpu_layers == 0 { 0 } else { self.experts },
            kv_type: self.demand.kv_type,
            flash_attention: self.demand.flash_attention,
            cards,
            cpu,
            why,
        }
    }

    /// What stays with the processor.
    fn behind(&self) -> Behind {
        let has_experts =
            |n: u32| self.sizes.layers.iter().take(n as usize).any(|layer| layer.experts > 0);
        match self.gpu_layers {
            0 => Behind::Everything,
            n if n < layers_of(self.sizes) => Behind::Layers,
            _ if has_experts(self.experts) => Behind::Experts,
            _ => Behind::Nothing,
        }
    }

    /// What lies on each card and with the processor, and whether all that was wanted on cards
    /// found room there.
    fn places(&self) -> (Vec<DevicePlan>, DevicePlan, bool) {
        let Self { sizes, demand, .. } = *self;
        let compute = sizes.compute(demand, self.behind());
        let mut cards: Vec<DevicePlan> = self
            .cards
            .iter()
            .map(|card| DevicePlan {
                name: card.name.clone(),
                device: card.device.clone(),
                budget: Some(card.free.saturating_sub(self.reserve)),
                ..DevicePlan::default()
            })
            .collect();
        let mut cpu = DevicePlan {
            name: CPU.to_owned(),
            device: CPU.to_owned(),
            compute: compute.cpu,
            ..DevicePlan::default()
        };
        // Beside cards llama.cpp makes no copies in another order.
        let copied = if self.gpu_layers == 0 { sizes.copied } else { 0 };
        cpu.weights = sizes.embedding + sizes.input + copied;
        let n = sizes.layers.len();
        let first = (n + 1).saturating_sub(self.gpu_layers as usize);
        let (mut at, mut is_placed) = (self.first_card, true);
        for i in 0..=n {
            let (on_card, beside, kv) = match sizes.layers.get(i) {
                Some(layer) if (i as u32) < self.experts => {
                    (layer.weights, layer.experts, sizes.kv(i, demand))
                }
                Some(layer) => (layer.weights + layer.experts, 0, sizes.kv(i, demand)),
                None => (sizes.output, 0, 0),
            };
            if i < first {
                let is_output_here_already = i == n && sizes.is_tied;
                cpu.weights +=
                    if is_output_here_already { sizes.output - sizes.embedding } else { on_card };
                cpu.weights += beside;
                cpu.kv += kv;
                cpu.layers += 1;
                continue;
            }
            cpu.weights += beside;
            let needed = |card: &DevicePlan| {
                let begin = if card.layers == 0 { compute.card + CONTEXT_BYTES } else { 0 };
                card.total() + begin + on_card + kv
            };
            while at + 1 < cards.len() && cards[at].budget.is_some_and(|b| needed(&cards[at]) > b) {
                at += 1;
            }
            let Some(card) = cards.get_mut(at) else { break };
            is_placed &= card.budget.is_none_or(|budget| needed(card) <= budget);
            if card.layers == 0 {
                card.compute = compute.card;
                card.context = CONTEXT_BYTES;
            }
            card.weights += on_card;
            card.kv += kv;
            card.layers += 1;
        }
        (cards, cpu, is_placed)
    }
}

#[cfg(test)]
mod tests;
