//! Models whose sequences cannot be cut everywhere.

use super::*;
use crate::scripted::ScriptedCuts;

#[test]
fn recurrent_model_goes_on_with_whole_conversations() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 60, n_draft: 0 };
    let mut rig = Rig::with_cache(4000, limits, 60).with_cuts(ScriptedCuts::Nowhere);
    assert_eq!(rig.ask("the first conversation").cached_tokens, 0);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!(rig.ask("another text altogether").cached_tokens, 0);
    assert_eq!(rig.ask("the first conversation goes on and on").cached_tokens, 30);
    assert_eq!(rig.ask("the first thing").cached_tokens, 0, "a beginning is of no use");
}

#[test]
fn sliding_window_model_goes_on_near_the_end() {
    let limits = Limits { n_ubatch: 16, n_slots: 2, slot_tokens: 60, n_draft: 0 };
    let mut rig = Rig::with_cache(4000, limits, 60).with_cuts(ScriptedCuts::NearEnd(8));
    rig.ask("a conversation of some length");
    assert_eq!(rig.ask("a conversation of some words").cached_tokens, 23);
    assert_eq!(rig.ask("a conversation about you").cached_tokens, 0);
}

#[test]
fn cancelled_step_of_a_recurrent_model_leaves_nothing_behind() {
    let limits = Limits { n_ubatch: 16, n_slots: 1, slot_tokens: 60, n_draft: 0 };
    let mut rig = Rig::with_cache(0, limits, 60).with_cuts(ScriptedCuts::Nowhere);
    let client = rig.submit("loop and so on", Params::default());
    rig.iterate();
    rig.scheduler.sweep(rig.now);
    rig.scheduler.admit(rig.now);
    let stop = StopFlag::default();
    let step = rig.scheduler.plan(&stop).unwrap();
    // The model computes the step, and says that it was cancelled.
    rig.scheduler.decode(&step, &stop);
    rig.scheduler.commit(&step, DecodeOutcome::Cancelled, rig.now, rig.now);
    client.cancel.set();
    rig.drive(&mut []);
    assert_eq!(rig.kv_used(), 0);
    assert_eq!(rig.ask("loop and so on").cached_tokens, 0);
}
