//! Room for newcomers in a KV cache that is full of finished sequences.

use super::*;

const FIRST: &str = "the first conversation";
const OTHER: &str = "another text altogether";

/// What is kept may stay while others run, until its place is needed.
fn full() -> Rig {
    let limits = Limits { n_batch: 32, n_slots: 2, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 };
    let mut rig = Rig::keeping(120, 4000, limits, 60);
    rig.scheduler.swapped_a_turn = 1;
    rig
}

/// The same where `text` is kept beside somebody who streams, and a newcomer asks for `prompt`.
fn crowded(text: &str, prompt: &str) -> (Rig, Client, Client) {
    let mut rig = full();
    rig.ask(text);
    let running = rig.submit("loop", Params::default());
    rig.turn();
    let newcomer = rig.submit(prompt, Params::default());
    (rig, running, newcomer)
}

#[test]
fn a_text_makes_room_for_a_newcomer_over_several_turns_while_others_go_on() {
    let (mut rig, mut running, mut newcomer) = crowded(FIRST, OTHER);
    // Sixteen bytes a turn, of 88.
    for turn in 0..5 {
        assert_eq!((rig.kept().0, rig.stats.active.load(Relaxed)), (0, 1), "turn {turn}");
        assert_eq!(rig.scheduler.patience(rig.now), Patience::None);
        assert_eq!(rig.turn(), Some(1), "the other one is served meanwhile");
    }
    rig.turn();
    assert_eq!((rig.kept().0, rig.stats.active.load(Relaxed)), (1, 2));
    rig.drive(&mut [&mut running, &mut newcomer]);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn a_text_that_began_to_make_room_for_somebody_who_left_is_not_half_copied_for_ever() {
    let (mut rig, running, newcomer) = crowded(FIRST, OTHER);
    rig.turn();
    assert!(rig.scheduler.leaving.is_some());
    newcomer.cancel.set();
    rig.turn();
    assert!(rig.scheduler.leaving.is_none());
    rig.end(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn whoever_leaves_does_not_wait_until_room_is_made_for_somebody_else() {
    let (mut rig, mut running, mut newcomer) = crowded(FIRST, OTHER);
    rig.turn_with(|| running.cancel.set());
    assert!(rig.scheduler.leaving.as_ref().is_some_and(|leaving| leaving.copy.n_tokens() == 0));
    rig.drive(&mut [&mut running, &mut newcomer]);
    assert_eq!(newcomer.usage().tokens, OTHER.len());
}

#[test]
fn while_nobody_streams_room_is_made_as_fast_as_it_takes() {
    let mut rig = full();
    rig.ask(FIRST);
    let mut long = rig.submit(&"a long prompt ".repeat(4), Params::default());
    rig.turn();
    let mut newcomer = rig.submit(OTHER, Params::default());
    rig.turn();
    assert_eq!(rig.stats.active.load(Relaxed), 2, "88 bytes at once");
    rig.drive(&mut [&mut long, &mut newcomer]);
}

#[test]
fn those_who_come_together_share_what_is_copied_for_them_in_a_turn() {
    let limits = Limits { n_batch: 32, n_slots: 3, n_cache_seqs: 4, kv_tokens: 180, n_draft: 0 };
    let mut rig = Rig::keeping(180, 4000, limits, 60);
    let texts = [FIRST, "and then another text"];
    for text in texts {
        rig.ask(text);
    }
    rig.scheduler.swapped_a_turn = 6;
    let mut running = rig.submit("loop", Params::default());
    rig.turn();
    let mut both = texts.map(|_| rig.submit("something else altogether", Params::default()));
    rig.turn();
    // The first text takes 88 of 96 bytes.
    assert_eq!((rig.kept().0, rig.stats.active.load(Relaxed)), (1, 2));
    rig.turn();
    assert_eq!((rig.kept().0, rig.stats.active.load(Relaxed)), (2, 3));
    let [a, b] = &mut both;
    rig.drive(&mut [&mut running, a, b]);
}

#[test]
fn a_newcomer_that_takes_the_beginning_of_a_text_waits_until_the_text_has_a_copy() {
    let (mut rig, mut running, mut newcomer) =
        crowded("instructions for all: the first question", "instructions for all: a second one");
    for _ in 0..9 {
        rig.turn();
    }
    assert_eq!(rig.stats.active.load(Relaxed), 1, "sixteen bytes a turn, of 160");
    rig.turn();
    assert_eq!((rig.kept().0, rig.stats.active.load(Relaxed)), (1, 2));
    rig.drive(&mut [&mut running, &mut newcomer]);
    assert_eq!(newcomer.usage().cached_tokens, "instructions for all: ".len());
    let first = rig.ask("instructions for all: the first question?");
    assert_eq!(first.cached_tokens, "instructions for all: the first question".len());
}
