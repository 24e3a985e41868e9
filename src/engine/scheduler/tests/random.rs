//! Random sequences of what clients do.

use proptest::prelude::*;

use super::*;
use crate::engine::scheduler::swap::REST;

#[derive(Debug, Clone)]
enum Act {
    Submit {
        prompt: usize,
        max_tokens: u32,
        connection: u64,
        cache: bool,
    },
    Cancel(usize),
    /// While a turn of the engine's loop goes on.
    CancelLate(usize),
    Turns(usize),
    Rest(usize),
    Read,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0usize..8, 0u32..40, 0u64..3, any::<bool>()).prop_map(
            |(prompt, max_tokens, connection, cache)| {
                Act::Submit { prompt, max_tokens, connection, cache }
            }
        ),
        1 => (0usize..20).prop_map(Act::Cancel),
        1 => (0usize..20).prop_map(Act::CancelLate),
        4 => (1usize..12).prop_map(Act::Turns),
        2 => (1usize..12).prop_map(Act::Rest),
        1 => Just(Act::Read),
    ]
}

const PROMPTS: [&str; 8] = [
    "loop abcdefghijkl",
    "loop abcdefghijklmnop",
    "abcdefghijklmnopqrstuvwx",
    "abcdefghijklmnopqrst!",
    "x",
    "nan",
    "loop abcdefghijklmnop and so on and so on",
    "fail",
];

proptest! {
    /// The paper model checks positions, contents and the size of the cache in every case.
    #[test]
    fn whatever_clients_do_every_request_ends_exactly_once(
        acts in prop::collection::vec(act(), 1..60),
        n_slots in 1usize..4,
        n_cache_seqs in 0usize..3,
        kv_tokens in 64usize..200,
        n_draft in 0usize..20,
        cacheable_tokens in 0usize..80,
        cache_ram_bytes in 0usize..400,
        swapped_a_turn in 1usize..200,
        has_windows in any::<bool>(),
    ) {
        let limits = Limits { n_batch: 12, n_slots, n_cache_seqs, kv_tokens, n_draft };
        let mut rig = Rig::keeping(cacheable_tokens, cache_ram_bytes, limits, 64);
        if has_windows {
            rig = rig.with_windows();
        }
        rig.scheduler.swapped_a_turn = swapped_a_turn;
        let mut clients: Vec<Client> = Vec::new();
        for act in acts {
            match act {
                Act::Submit { prompt, max_tokens, connection, cache } => {
                    let params = Params { cache_prompt: cache, ..at_most(max_tokens) };
                    clients.push(rig.submit_as(connection, PROMPTS[prompt], params));
                }
                Act::Cancel(i) => {
                    if let Some(client) = clients.get(i) {
                        client.cancel.set();
                    }
                }
                Act::CancelLate(i) => {
                    let late = clients.get(i).map(|client| client.cancel.clone());
                    rig.turn_with(|| late.iter().for_each(CancelFlag::set));
                }
                Act::Turns(n) => (0..n).for_each(|_| _ = rig.turn()),
                Act::Rest(n) => {
                    rig.now += REST;
                    (0..n).for_each(|_| _ = rig.turn());
                }
                Act::Read => clients.iter_mut().for_each(Client::read),
            }
        }
        let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
        rig.drive(&mut refs);
        for client in &clients {
            prop_assert_eq!(client.outcomes.len(), 1);
        }
        let Scheduler { model, cache, .. } = &rig.scheduler;
        let on_the_books: Vec<_> = cache.in_cache().into_iter().map(|(_, seq)| seq).collect();
        for seq in 0..(n_slots + n_cache_seqs) as SeqId {
            prop_assert_eq!(model.n_tokens_of(seq) > 0, on_the_books.contains(&seq), "{}", seq);
        }
        prop_assert!(cache.copied().1 <= cache_ram_bytes);
        prop_assert_eq!(rig.stats.active.load(Relaxed), 0);
        prop_assert_eq!(rig.stats.queued.load(Relaxed), 0);
    }
}
