//! What the arithmetic promises, on a model of round numbers.

use proptest::prelude::*;

use super::super::sizes::Layer;
use super::*;
use crate::llama::file::Kept;

const MIB: u64 = 1 << 20;

/// Ten layers of 10 MiB with 4 KiB of KV a token, and matrices of 20 MiB at both ends.
fn model(experts: u64, is_tied: bool) -> Sizes {
    let layer = Layer {
        weights: 10 * MIB,
        experts: experts * MIB,
        kept: Kept { keys: 1024, values: 1024, ..Kept::default() },
    };
    Sizes {
        layers: vec![layer; 10],
        embedding: 20 * MIB,
        output: 20 * MIB,
        is_tied,
        input: 0,
        copied: 0,
        largest: 4 * MIB,
        largest_experts: experts * MIB / 3,
        window: 0,
        n_embd: 1024,
        n_ff: 4096,
        experts_up: 0,
        experts_down: 0,
        n_head: 16,
        queries: 1024,
        inner: 0,
        n_vocab: 10_000,
        is_packable: true,
        head: 64,
    }
}

fn demand() -> Demand {
    Demand {
        kv_tokens: 1024,
        slots: 4,
        outputs: 4,
        ubatch: 128,
        kv_type: KvType::F16,
        flash_attention: true,
    }
}

fn cards(free: &[u64]) -> Vec<GpuDevice> {
    free.iter()
        .map(|mib| GpuDevice { name: "card".to_owned(), device: String::new(), free: mib * MIB })
        .collect()
}

fn auto(sizes: &Sizes, free: &[u64], reserve: u64) -> OffloadPlan {
    arrange(sizes, &demand(), &cards(free), reserve * MIB, OffloadTarget::Auto)
}

#[test]
fn what_fits_goes_onto_the_card_and_the_embeddings_stay() {
    let offload_plan = auto(&model(0, false), &[1000], 500);
    assert_eq!((offload_plan.gpu_layers, offload_plan.n_layers), (11, 11));
    assert_eq!(offload_plan.cards[0].weights, 120 * MIB);
    assert_eq!(offload_plan.cards[0].kv, 10 * 4 * MIB);
    assert_eq!((offload_plan.cpu.weights, offload_plan.cpu.kv), (20 * MIB, 0));
}

#[test]
fn the_reserve_stays_free() {
    let sizes = model(0, false);
    let needed = auto(&sizes, &[1000], 0).cards[0].total().div_ceil(MIB);
    assert_eq!(auto(&sizes, &[needed + 300], 300).gpu_layers, 11);
    assert_eq!(auto(&sizes, &[needed + 300], 301).gpu_layers, 10);
}

#[test]
fn a_tied_output_matrix_is_there_twice_once_it_is_offloaded() {
    let sizes = model(0, true);
    let with = auto(&sizes, &[1000], 0);
    assert_eq!(with.cards[0].weights + with.cpu.weights, 140 * MIB);
    let without = auto(&sizes, &[], 0);
    assert_eq!(without.cpu.weights, 120 * MIB);
    let separate = auto(&model(0, false), &[], 0);
    assert_eq!(separate.cpu.weights, 140 * MIB);
}

#[test]
fn experts_are_given_up_before_layers_and_from_the_first_layer_on() {
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

/// What is tried, from the first arrangement to none on a card, where nothing ever fits.
fn tries(sizes: &Sizes, free: &[u64]) -> Vec<OffloadPlan> {
    let (mut cards, mut tries) = (cards(free), vec![auto(sizes, free, 50)]);
    while tries.last().unwrap().gpu_layers > 0 {
        tries.last().unwrap().count_on_less(&mut cards, 50 * MIB, 8);
        tries.push(arrange(sizes, &demand(), &cards, 50 * MIB, OffloadTarget::Auto));
        assert!(tries.len() < 100, "it ends");
    }
    tries
}

#[test]
fn what_does_not_fit_is_tried_again_with_less_on_the_card_experts_first() {
    let on_card = |offload_plan: &OffloadPlan| offload_plan.cards[0].total();
    for experts in [0, 100] {
        let tries = tries(&model(experts, false), &[8000]);
        for pair in tries.windows(2) {
            assert!(on_card(&pair[1]) <= on_card(&pair[0]) - on_card(&pair[0]).div_ceil(8));
        }
        let second = (tries[1].gpu_layers, tries[1].cpu_expert_layers);
        assert!(if experts > 0 { second.0 == 11 && second.1 > 0 } else { second.0 < 11 });
        assert!(tries.len() > 3, "{experts}");
    }
}

#[test]
fn what_does_not_fit_on_one_card_is_tried_on_the_other_once() {
    let tries = tries(&model(0, false), &[1000, 1000]);
    let whole = tries.iter().filter(|offload_plan| offload_plan.gpu_layers == 11);
    let places: Vec<_> = whole.map(|offload_plan| offload_plan.cards[0].layers).collect();
    assert_eq!(places[..2], [11, 0], "alone on either");
    assert!(places[2..].iter().all(|layers| (1..11).contains(layers)), "{places:?}");
}

#[test]
fn several_cards_are_filled_one_after_the_other() {
    let offload_plan = auto(&model(0, false), &[260, 260, 260], 0);
    let layers: Vec<u32> = offload_plan.cards.iter().map(|card| card.layers).collect();
    assert_eq!(layers.iter().sum::<u32>(), offload_plan.gpu_layers);
    assert_eq!(offload_plan.gpu_layers, 11);
    assert!(layers[0] > 0 && layers[1] > 0, "{layers:?}");
}

#[test]
fn one_card_that_holds_everything_is_not_helped_by_another() {
    let layers = |free: &[u64], wanted| -> Vec<u32> {
        let offload_plan = arrange(&model(0, false), &demand(), &cards(free), 0, wanted);
        offload_plan.cards.iter().map(|card| card.layers).collect()
    };
    for wanted in [OffloadTarget::Auto, OffloadTarget::All] {
        assert_eq!(layers(&[260, 1000], wanted), [0, 11]);
        assert_eq!(layers(&[260, 1000, 900], wanted), [0, 11, 0], "the first of them");
        let split = layers(&[260, 260], wanted);
        assert!(split[0] > 0 && split[1] > 0, "{split:?}");
    }
    assert_eq!(layers(&[215, 1000], OffloadTarget::Layers(9)), [0, 9]);
    assert_eq!(layers(&[1000, 1000], OffloadTarget::Layers(0)), [0, 0]);
}

#[test]
fn what_is_asked_for_is_done_without_a_question() {
    let sizes = model(0, false);
    let asked = |wanted| arrange(&sizes, &demand(), &cards(&[1]), 0, wanted).gpu_layers;
    assert_eq!(asked(OffloadTarget::All), 11);
    assert_eq!(asked(OffloadTarget::Layers(3)), 3);
    assert_eq!(asked(OffloadTarget::Layers(99)), 11);
    assert_eq!(asked(OffloadTarget::Layers(0)), 0);
    assert_eq!(asked(OffloadTarget::Auto), 0);
    let why =
        |n, free| arrange(&sizes, &demand(), &cards(&[free]), 0, OffloadTarget::Layers(n)).why;
    assert_eq!(why(99, 1000), "99 layers were asked for, and there are 11");
    assert_eq!(why(3, 1), "3 layers were asked for, more than fit by this plan");
}

/// The same with the cache in `kv_type`.
fn in_type(kv_type: KvType, wanted: OffloadTarget, free: u64) -> OffloadPlan {
    let demand = Demand { kv_type, ..demand() };
    arrange(&model(0, false), &demand, &cards(&[free]), 0, wanted)
}

#[test]
fn a_packed_cache_is_better_where_all_layers_fit_only_with_it() {
    let needed = in_type(KvType::Q8, OffloadTarget::All, 10_000).cards[0].total().div_ceil(MIB);
    let better = |free| {
        let [plain, packed] =
            [KvType::F16, KvType::Q8].map(|t| in_type(t, OffloadTarget::All, free));
        assert_eq!((plain.gpu_layers, packed.gpu_layers), (11, 11));
        packed.puts_more_on_cards_than(&plain)
    };
    assert!(better(needed), "only the packed one fits");
    assert!(!better(needed + 100), "both fit");
    assert!(!better(needed - 1), "neither fits");
}

#[test]
fn a_packed_cache_is_better_where_so_many_layers_fit_only_with_it() {
    let wanted = OffloadTarget::Layers(6);
    let needed = in_type(KvType::Q8, wanted, 10_000).cards[0].total().div_ceil(MIB);
    let better = |free| {
        let [plain, packed] = [KvType::F16, KvType::Q8].map(|t| in_type(t, wanted, free));
        packed.puts_more_on_cards_than(&plain)
    };
    assert!(better(needed) && !better(needed + 100) && !better(needed - 1));
}

#[test]
fn a_packed_cache_is_better_where_more_experts_fit() {
    let sizes = model(100, false);
    let place = |kv_type, free: u64| {
        let demand = Demand { kv_type, ..demand() };
        arrange(&sizes, &demand, &cards(&[free]), 0, OffloadTarget::Auto)
    };
    let is_enough = |free: &u64| {
        let offload_plan = place(KvType::Q8, *free);
        offload_plan.gpu_layers == 11 && offload_plan.cpu_expert_layers < 5
    };
    let free = (1..4000).find(is_enough).unwrap();
    let [plain, packed] = [KvType::F16, KvType::Q8].map(|kv_type| place(kv_type, free));
    assert_eq!((plain.gpu_layers, packed.gpu_layers), (11, 11));
    assert!(packed.puts_more_on_cards_than(&plain));
}

#[test]
fn a_packed_cache_and_a_window_need_less() {
    let mut sizes = model(0, false);
    let kv = |sizes: &Sizes, kv_type| sizes.kv(0, &Demand { kv_type, ..demand() });
    assert_eq!(kv(&sizes, KvType::F16), 4 * MIB);
    assert_eq!(kv(&sizes, KvType::Q8), 4 * MIB * 17 / 32);
    assert_eq!(kv(&sizes, KvType::Q4), 4 * MIB * 9 / 32);
    sizes.window = 64;
    sizes.layers[0].kept.is_windowed = true;
    // Four slots of 64 and a step of 128, in blocks of 256.
    assert_eq!(kv(&sizes, KvType::F16), 2 * MIB);
}

proptest! {
    #[test]
    fn an_automatic_plan_never_needs_more_than_it_may_use(
        free in prop::collection::vec(0u64..2000, 0..4),
        reserve in 0u64..800,
        experts in prop::sample::select(vec![0u64, 30]),
        is_tied: bool,
    ) {
        let sizes = model(experts, is_tied);
        let offload_plan = auto(&sizes, &free, reserve);
        let on_cards: u32 = offload_plan.cards.iter().map(|card| card.layers).sum();
        prop_assert_eq!(on_cards, offload_plan.gpu_layers);
        prop_assert_eq!(on_cards + offload_plan.cpu.layers, offload_plan.n_layers);
        for card in &offload_plan.cards {
            prop_assert!(card.layers == 0 || card.fits(), "{:?}", card);
        }
        let copy = if is_tied && on_cards > 0 { 20 } else { 0 };
        let file = 100 + 10 * experts + if is_tied { 20 } else { 40 };
        let weights = offload_plan.cards.iter().map(|card| card.weights).sum::<u64>();
        prop_assert_eq!(weights + offload_plan.cpu.weights, (file + copy) * MIB);
        let kv = offload_plan.cards.iter().map(|card| card.kv).sum::<u64>();
        prop_assert_eq!(kv + offload_plan.cpu.kv, 40 * MIB);
    }

    #[test]
    fn more_memory_is_never_fewer_layers(free in 0u64..1500, more in 0u64..500) {
        let sizes = model(20, true);
        let (less, more) = (auto(&sizes, &[free], 0), auto(&sizes, &[free + more], 0));
        prop_assert!(more.gpu_layers >= less.gpu_layers);
        prop_assert!(
            more.gpu_layers > less.gpu_layers || more.cpu_expert_layers <= less.cpu_expert_layers
        );
    }
}
