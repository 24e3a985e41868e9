//! Plans for a model with round numbers.

use proptest::prelude::*;

use super::*;
use crate::llama::file::LayerCache;
use crate::llama::fit::plan::DevicePlan;
use crate::llama::fit::sizes::{KvType, LayerSizes};

const MIB: u64 = 1 << 20;

/// Ten layers of 10 MiB with 4 KiB of KV cache per token, and input and output matrices of 20 MiB.
fn model(experts: u64, is_tied: bool) -> ModelSizes {
    let layer = LayerSizes {
        weights: 10 * MIB,
        experts: experts * MIB,
        cache: LayerCache { keys: 1024, values: 1024, ..LayerCache::default() },
    };
    ModelSizes {
        layers: vec![layer; 10],
        embedding: 20 * MIB,
        output: 20 * MIB,
        is_tied,
        input: 0,
        repacked: 0,
        largest_matrix: 4 * MIB,
        largest_expert_matrix: experts * MIB / 3,
        window: 0,
        n_embd: 1024,
        n_ff: 4096,
        experts_up: 0,
        experts_down: 0,
        n_head: 16,
        query_width: 1024,
        state_width: 0,
        n_vocab: 10_000,
        can_quantize_kv: true,
        head_size: 64,
    }
}

fn demand() -> Demand {
    Demand {
        slot_tokens: 256,
        n_slots: 4,
        n_outputs: 4,
        n_ubatch: 128,
        kv_type: KvType::F16,
        flash_attention: true,
    }
}

fn gpus(free: &[u64]) -> Vec<GpuDevice> {
    free.iter()
        .map(|mib| GpuDevice { name: "GPU".to_owned(), device: String::new(), free: mib * MIB })
        .collect()
}

fn auto(sizes: &ModelSizes, free: &[u64], reserve: u64) -> OffloadPlan {
    arrange(sizes, &demand(), &gpus(free), reserve * MIB, OffloadTarget::Auto)
}

#[test]
fn plan_of_impossible_sizes_is_too_large_and_does_not_overflow() {
    let mut sizes = model(10, true);
    for layer in &mut sizes.layers {
        let state = u64::MAX;
        layer.cache = LayerCache { keys: u64::MAX, values: u64::MAX, state, is_windowed: true };
    }
    for flash_attention in [false, true] {
        let demand = Demand { flash_attention, ..demand() };
        for target in [OffloadTarget::Auto, OffloadTarget::All, OffloadTarget::Layers(5)] {
            let plan = arrange(&sizes, &demand, &gpus(&[1000, 2000]), MIB, target);
            let total: u64 = plan.gpus.iter().chain([&plan.cpu]).map(DevicePlan::total).sum();
            assert!(total > 1 << 50, "{target:?}: {total}");
        }
    }
}

#[test]
fn everything_that_fits_is_offloaded_except_the_embeddings() {
    let plan = auto(&model(0, false), &[1000], 500);
    assert_eq!((plan.gpu_layers, plan.n_layers), (11, 11));
    assert_eq!(plan.gpus[0].weights, 120 * MIB);
    assert_eq!(plan.gpus[0].kv, 10 * 4 * MIB);
    assert_eq!((plan.cpu.weights, plan.cpu.kv), (20 * MIB, 0));
}

#[test]
fn reserve_stays_free() {
    let sizes = model(0, false);
    let needed = auto(&sizes, &[1000], 0).gpus[0].total().div_ceil(MIB);
    assert_eq!(auto(&sizes, &[needed + 300], 300).gpu_layers, 11);
    assert_eq!(auto(&sizes, &[needed + 300], 301).gpu_layers, 10);
}

#[test]
fn tied_output_matrix_is_stored_twice_once_it_is_offloaded() {
    let sizes = model(0, true);
    let with = auto(&sizes, &[1000], 0);
    assert_eq!(with.gpus[0].weights + with.cpu.weights, 140 * MIB);
    let without = auto(&sizes, &[], 0);
    assert_eq!(without.cpu.weights, 120 * MIB);
    let separate = auto(&model(0, false), &[], 0);
    assert_eq!(separate.cpu.weights, 140 * MIB);
}

#[test]
fn experts_of_the_first_layers_stay_on_the_cpu_before_whole_layers_do() {
    let sizes = model(100, false);
    let all = auto(&sizes, &[4000], 0);
    assert_eq!((all.gpu_layers, all.cpu_expert_layers), (11, 0));
    let some = auto(&sizes, &[1000], 0);
    assert_eq!(some.gpu_layers, 11);
    assert!((1..10).contains(&some.cpu_expert_layers), "{}", some.why);
    assert_eq!(some.cpu.weights, (20 + 100 * u64::from(some.cpu_expert_layers)) * MIB);
    let few = auto(&sizes, &[250], 0);
    assert!(few.gpu_layers < 11 && few.cpu_expert_layers == 10, "{}", few.why);
}

/// The plans that are tried until nothing is offloaded, if loading always runs out of memory.
fn tries(sizes: &ModelSizes, free: &[u64]) -> Vec<OffloadPlan> {
    let (mut gpus, mut tries) = (gpus(free), vec![auto(sizes, free, 50)]);
    while tries.last().unwrap().gpu_layers > 0 {
        tries.last().unwrap().lower_free_memory(&mut gpus, 50 * MIB, 8);
        tries.push(arrange(sizes, &demand(), &gpus, 50 * MIB, OffloadTarget::Auto));
        assert!(tries.len() < 100, "the attempts do not end");
    }
    tries
}

#[test]
fn retry_offloads_an_eighth_less_and_drops_experts_first() {
    let on_gpu = |plan: &OffloadPlan| plan.gpus[0].total();
    for experts in [0, 100] {
        let tries = tries(&model(experts, false), &[8000]);
        for pair in tries.windows(2) {
            assert!(on_gpu(&pair[1]) <= on_gpu(&pair[0]) - on_gpu(&pair[0]).div_ceil(8));
        }
        let second = (tries[1].gpu_layers, tries[1].cpu_expert_layers);
        assert!(if experts > 0 { second.0 == 11 && second.1 > 0 } else { second.0 < 11 });
        assert!(tries.len() > 3, "{experts}");
    }
}

#[test]
fn model_that_does_not_fit_one_gpu_is_tried_once_on_the_other() {
    let tries = tries(&model(0, false), &[1000, 1000]);
    let whole = tries.iter().filter(|plan| plan.gpu_layers == 11);
    let gpu_layers: Vec<_> = whole.map(|plan| plan.gpus[0].layers).collect();
    assert_eq!(gpu_layers[..2], [11, 0], "each GPU is tried alone");
    assert!(gpu_layers[2..].iter().all(|layers| (1..11).contains(layers)), "{gpu_layers:?}");
}

#[test]
fn several_gpus_are_filled_one_after_the_other() {
    let plan = auto(&model(0, false), &[260, 260, 260], 0);
    let layers: Vec<u32> = plan.gpus.iter().map(|gpu| gpu.layers).collect();
    assert_eq!(layers.iter().sum::<u32>(), plan.gpu_layers);
    assert_eq!(plan.gpu_layers, 11);
    assert!(layers[0] > 0 && layers[1] > 0, "{layers:?}");
}

#[test]
fn gpu_that_holds_everything_is_used_alone() {
    let layers = |free: &[u64], target| -> Vec<u32> {
        let plan = arrange(&model(0, false), &demand(), &gpus(free), 0, target);
        plan.gpus.iter().map(|gpu| gpu.layers).collect()
    };
    for target in [OffloadTarget::Auto, OffloadTarget::All] {
        assert_eq!(layers(&[260, 1000], target), [0, 11]);
        assert_eq!(layers(&[260, 1000, 900], target), [0, 11, 0], "the first that fits");
        let split = layers(&[260, 260], target);
        assert!(split[0] > 0 && split[1] > 0, "{split:?}");
    }
    assert_eq!(layers(&[215, 1000], OffloadTarget::Layers(9)), [0, 9]);
    assert_eq!(layers(&[1000, 1000], OffloadTarget::Layers(0)), [0, 0]);
}

#[test]
fn requested_layers_are_offloaded_whether_they_fit_or_not() {
    let sizes = model(0, false);
    let asked = |target| arrange(&sizes, &demand(), &gpus(&[1]), 0, target).gpu_layers;
    assert_eq!(asked(OffloadTarget::All), 11);
    assert_eq!(asked(OffloadTarget::Layers(3)), 3);
    assert_eq!(asked(OffloadTarget::Layers(99)), 11);
    assert_eq!(asked(OffloadTarget::Layers(0)), 0);
    assert_eq!(asked(OffloadTarget::Auto), 0);
    let why = |n, free| arrange(&sizes, &demand(), &gpus(&[free]), 0, OffloadTarget::Layers(n)).why;
    assert_eq!(why(99, 1000), "99 layers were requested, but there are only 11");
    assert_eq!(why(3, 1), "3 layers were requested, more than fit according to this plan");
}

/// The plan with a KV cache of `kv_type`.
fn plan_with(kv_type: KvType, target: OffloadTarget, free: u64) -> OffloadPlan {
    let demand = Demand { kv_type, ..demand() };
    arrange(&model(0, false), &demand, &gpus(&[free]), 0, target)
}

#[test]
fn quantized_cache_is_better_if_all_layers_fit_only_with_it() {
    let needed = plan_with(KvType::Q8, OffloadTarget::All, 10_000).gpus[0].total().div_ceil(MIB);
    let better = |free| {
        let [f16, q8] = [KvType::F16, KvType::Q8].map(|t| plan_with(t, OffloadTarget::All, free));
        assert_eq!((f16.gpu_layers, q8.gpu_layers), (11, 11));
        q8.offloads_more_than(&f16)
    };
    assert!(better(needed), "only the quantized one fits");
    assert!(!better(needed + 100), "both fit");
    assert!(!better(needed - 1), "neither fits");
}

#[test]
fn quantized_cache_is_better_if_the_requested_layers_fit_only_with_it() {
    let target = OffloadTarget::Layers(6);
    let needed = plan_with(KvType::Q8, target, 10_000).gpus[0].total().div_ceil(MIB);
    let better = |free| {
        let [f16, q8] = [KvType::F16, KvType::Q8].map(|t| plan_with(t, target, free));
        q8.offloads_more_than(&f16)
    };
    assert!(better(needed) && !better(needed + 100) && !better(needed - 1));
}

#[test]
fn quantized_cache_is_better_if_more_experts_fit() {
    let sizes = model(100, false);
    let plan_with = |kv_type, free: u64| {
        let demand = Demand { kv_type, ..demand() };
        arrange(&sizes, &demand, &gpus(&[free]), 0, OffloadTarget::Auto)
    };
    let is_enough = |free: &u64| {
        let plan = plan_with(KvType::Q8, *free);
        plan.gpu_layers == 11 && plan.cpu_expert_layers < 5
    };
    let free = (1..4000).find(is_enough).unwrap();
    let [f16, q8] = [KvType::F16, KvType::Q8].map(|kv_type| plan_with(kv_type, free));
    assert_eq!((f16.gpu_layers, q8.gpu_layers), (11, 11));
    assert!(q8.offloads_more_than(&f16));
}

#[test]
fn quantized_cache_and_sliding_window_need_less_memory() {
    let mut sizes = model(0, false);
    let kv = |sizes: &ModelSizes, kv_type| sizes.kv_bytes(0, &Demand { kv_type, ..demand() });
    assert_eq!(kv(&sizes, KvType::F16), 4 * MIB);
    assert_eq!(kv(&sizes, KvType::Q8), 4 * MIB * 17 / 32);
    assert_eq!(kv(&sizes, KvType::Q4), 4 * MIB * 9 / 32);
    sizes.window = 64;
    sizes.layers[0].cache.is_windowed = true;
    // For each slot a window of 64 tokens and a step of 128, rounded up to a block of 256.
    let long = Demand { slot_tokens: 4096, ..demand() };
    assert_eq!(sizes.kv_bytes(0, &long), 4 * MIB);
}

proptest! {
    #[test]
    fn automatic_plan_never_exceeds_a_budget(
        free in prop::collection::vec(0u64..2000, 0..4),
        reserve in 0u64..800,
        experts in prop::sample::select(vec![0u64, 30]),
        is_tied: bool,
    ) {
        let sizes = model(experts, is_tied);
        let plan = auto(&sizes, &free, reserve);
        let on_gpus: u32 = plan.gpus.iter().map(|gpu| gpu.layers).sum();
        prop_assert_eq!(on_gpus, plan.gpu_layers);
        prop_assert_eq!(on_gpus + plan.cpu.layers, plan.n_layers);
        for gpu in &plan.gpus {
            prop_assert!(gpu.layers == 0 || gpu.fits(), "{:?}", gpu);
        }
        let copy = if is_tied && on_gpus > 0 { 20 } else { 0 };
        let file = 100 + 10 * experts + if is_tied { 20 } else { 40 };
        let weights = plan.gpus.iter().map(|gpu| gpu.weights).sum::<u64>();
        prop_assert_eq!(weights + plan.cpu.weights, (file + copy) * MIB);
        let kv = plan.gpus.iter().map(|gpu| gpu.kv).sum::<u64>();
        prop_assert_eq!(kv + plan.cpu.kv, 40 * MIB);
    }

    #[test]
    fn more_memory_never_offloads_fewer_layers(free in 0u64..1500, more in 0u64..500) {
        let sizes = model(20, true);
        let (less, more) = (auto(&sizes, &[free], 0), auto(&sizes, &[free + more], 0));
        prop_assert!(more.gpu_layers >= less.gpu_layers);
        prop_assert!(
            more.gpu_layers > less.gpu_layers || more.cpu_expert_layers <= less.cpu_expert_layers
        );
    }
}
