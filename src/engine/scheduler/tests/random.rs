//! Random sequences of client actions.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Submit {
        prompt: usize,
        max_tokens: u32,
        connection: u64,
        cache_prompt: bool,
    },
    Cancel(usize),
    /// Cancels a request in the middle of an iteration.
    CancelLate(usize),
    Iterate(usize),
    /// Lets the engine be idle long enough to mirror.
    Rest(usize),
    Read,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0usize..8, 0u32..40, 0u64..3, any::<bool>()).prop_map(
            |(prompt, max_tokens, connection, cache_prompt)| {
                Action::Submit { prompt, max_tokens, connection, cache_prompt }
            }
        ),
        1 => (0usize..20).prop_map(Action::Cancel),
        1 => (0usize..20).prop_map(Action::CancelLate),
        4 => (1usize..12).prop_map(Action::Iterate),
        2 => (1usize..12).prop_map(Action::Rest),
        1 => Just(Action::Read),
    ]
}

fn apply(action: &Action, rig: &mut Rig, clients: &mut Vec<Client>) {
    match *action {
        Action::Submit { prompt, max_tokens, connection, cache_prompt } => {
            let params = Params { cache_prompt, ..at_most(max_tokens) };
            clients.push(rig.submit_as(connection, PROMPTS[prompt], params));
        }
        Action::Cancel(i) => {
            if let Some(client) = clients.get(i) {
                client.cancel.set();
            }
        }
        Action::CancelLate(i) => {
            let late = clients.get(i).map(|client| client.cancel.clone());
            rig.iterate_with(|| late.iter().for_each(CancelFlag::set));
        }
        Action::Iterate(n) => (0..n).for_each(|_| _ = rig.iterate()),
        Action::Rest(n) => {
            rig.wait_for_mirroring();
            (0..n).for_each(|_| _ = rig.iterate());
        }
        Action::Read => clients.iter_mut().for_each(Client::read),
    }
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
    #[test]
    fn every_request_ends_exactly_once_whatever_clients_do(
        actions in prop::collection::vec(action(), 1..60),
        n_slots in 1usize..4,
        n_cache_seqs in 0usize..3,
        kv_tokens in 64usize..200,
        n_draft in 0usize..20,
        cacheable_tokens in 0usize..80,
        cache_ram_bytes in 0usize..400,
        copy_limit in 1usize..200,
        has_windows in any::<bool>(),
    ) {
        let limits = Limits { n_ubatch: 12, n_slots, n_cache_seqs, kv_tokens, n_draft };
        let mut rig = Rig::with_cache(cacheable_tokens, cache_ram_bytes, limits, 64);
        if has_windows {
            rig = rig.with_windows();
        }
        rig.set_copy_limits(copy_limit);
        let mut clients: Vec<Client> = Vec::new();
        for action in actions {
            apply(&action, &mut rig, &mut clients);
        }
        let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
        rig.drive(&mut refs);
        for client in &clients {
            prop_assert_eq!(client.outcomes.len(), 1);
        }
        let Scheduler { model, cache, .. } = &rig.scheduler;
        let recorded: Vec<_> = cache.resident_by_age().into_iter().map(|(_, seq)| seq).collect();
        for seq in 0..(n_slots + n_cache_seqs) as SeqId {
            prop_assert_eq!(model.n_tokens_of(seq) > 0, recorded.contains(&seq), "{}", seq);
        }
        prop_assert!(cache.host_copies().1 <= cache_ram_bytes);
        prop_assert_eq!(rig.n_active(), 0);
        prop_assert_eq!(rig.n_queued(), 0);
    }
}
