//! Random sequences of client actions.

use proptest::prelude::*;

use super::*;
use crate::engine::model::{ChunkRules, SeqId};
use crate::scripted::ScriptedCuts;

#[derive(Debug, Clone)]
enum Action {
    Submit {
        prompt: usize,
        max_tokens: u32,
        account: u64,
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
        4 => (0usize..PROMPTS.len(), 0u32..120, 0u64..3, 0u64..2, any::<bool>()).prop_map(
            |(prompt, max_tokens, connection, account, cache_prompt)| {
                Action::Submit { prompt, max_tokens, account, connection, cache_prompt }
            }
        ),
        1 => (0usize..20).prop_map(Action::Cancel),
        1 => (0usize..20).prop_map(Action::CancelLate),
        4 => (1usize..40).prop_map(Action::Iterate),
        2 => (1usize..12).prop_map(Action::Rest),
        1 => Just(Action::Read),
    ]
}

fn apply(action: &Action, rig: &mut Rig, clients: &mut Vec<Client>) {
    match *action {
        Action::Submit { prompt, max_tokens, account, connection, cache_prompt } => {
            let params = Params { cache_prompt, ..at_most(max_tokens) };
            let connection = 10 * account + connection;
            clients.push(rig.submit_for(account, connection, PROMPTS[prompt], params));
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

/// The text that the model gives for a request without interruption. The answer of a cancelled
/// request is a prefix of it.
fn expected(action: &Action) -> Option<String> {
    let Action::Submit { prompt, max_tokens, .. } = *action else { return None };
    let prompt = PROMPTS[prompt];
    let n = if prompt.starts_with("loop") { max_tokens as usize } else { prompt.len() };
    Some(prompt.chars().cycle().take(n.min(max_tokens as usize)).collect())
}

const PROMPTS: [&str; 9] = [
    "loop abcdefghijkl",
    "loop abcdefghijklmnop",
    "abcdefghijklmnopqrstuvwx",
    "abcdefghijklmnopqrst!",
    "x",
    "nan",
    "loop abcdefghijklmnop and so on and so on",
    "fail",
    "a prompt that is longer than a tile, so that it is divided into a body and a tail, and which \
     goes on for a while after that",
];

proptest! {
    #[test]
    fn every_request_ends_exactly_once_whatever_clients_do(
        actions in prop::collection::vec(action(), 1..60),
        n_slots in 1usize..4,
        n_ubatch in 12usize..200,
        slot_tokens in 140usize..200,
        tile_tokens in prop::option::of(Just(32usize)),
        n_draft in 0usize..20,
        cache_ram_bytes in prop_oneof![0usize..400, 400usize..4000],
        copy_limit in 1usize..200,
        cuts in prop_oneof![
            2 => Just(ScriptedCuts::Anywhere),
            1 => (0usize..20).prop_map(ScriptedCuts::NearEnd),
            1 => Just(ScriptedCuts::Nowhere),
        ],
    ) {
        // Rejected draft tokens have to be cut off.
        let n_draft = if cuts == ScriptedCuts::Anywhere { n_draft } else { 0 };
        let limits = Limits { n_ubatch, n_slots, slot_tokens, n_draft };
        let rules = ChunkRules { align: 2, min_tokens: 8, tile_tokens };
        let mut rig = Rig::with_cache(cache_ram_bytes, limits, slot_tokens);
        let model = ScriptedModel::new(limits, StepControl::free_running());
        rig.scheduler.model = model.with_cuts(cuts).with_chunk_rules(rules);
        rig.set_copy_limits(copy_limit);
        let mut clients: Vec<Client> = Vec::new();
        for action in &actions {
            apply(action, &mut rig, &mut clients);
        }
        let mut refs: Vec<&mut Client> = clients.iter_mut().collect();
        rig.drive(&mut refs);
        for (client, expected) in clients.iter().zip(actions.iter().filter_map(expected)) {
            prop_assert_eq!(client.outcomes.len(), 1);
            match &client.outcomes[0] {
                Outcome::Finished { reason: FinishReason::Stop, .. } => {
                    prop_assert_eq!(&client.text, &expected);
                }
                Outcome::Finished { reason: FinishReason::MaxTokens, usage, .. } => {
                    prop_assert!(expected.starts_with(&client.text));
                    let n_max = slot_tokens - usage.prompt_tokens;
                    prop_assert_eq!(client.text.len(), expected.len().min(n_max));
                }
                _ => prop_assert!(expected.starts_with(&client.text), "{}", client.text),
            }
        }
        let Scheduler { model, kv, .. } = &rig.scheduler;
        for slot in 0..n_slots as SeqId {
            prop_assert_eq!(model.n_tokens_of(slot) > 0, kv.slots().contains(&slot), "{}", slot);
        }
        prop_assert!(kv.copies().1 <= cache_ram_bytes);
        prop_assert_eq!(rig.n_active(), 0);
        prop_assert_eq!(rig.n_queued(), 0);
        prop_assert_eq!(rig.n_suspended(), 0);
    }
}
