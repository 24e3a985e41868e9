//! Finished sequences that make way for others and come back.

use super::*;
use crate::engine::scheduler::swap::REST;

/// A rig on which finished sequences leave the KV cache as soon as somebody else comes.
fn swapping(cache_ram_bytes: usize) -> Rig {
    let limits = Limits { n_batch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 };
    Rig::keeping(0, cache_ram_bytes, limits, 60)
}

impl Rig {
    pub(super) fn ask(&mut self, prompt: &str) -> Usage {
        let mut client = self.submit(prompt, at_most(1));
        self.drive(&mut [&mut client]);
        client.usage()
    }

    /// Lets the engine rest until it has nothing left to do.
    fn rest(&mut self) {
        while let Patience::Until(wait) = self.scheduler.patience(self.now) {
            self.now += wait;
            assert_eq!(self.turn(), None);
        }
        assert_eq!(self.scheduler.patience(self.now), Patience::Forever);
    }

    /// Aborts a request and lets the engine come to rest.
    pub(super) fn end(&mut self, mut running: Client) {
        running.cancel.set();
        self.drive(&mut [&mut running]);
    }

    /// How many sequences have a copy in ordinary memory, and the tokens in the KV cache.
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.stats.swapped_sequences.load(Relaxed), self.stats.kv_used_tokens.load(Relaxed))
    }
}

#[test]
fn a_finished_text_makes_way_for_another_and_comes_back_when_it_is_asked_for() {
    let mut rig = swapping(4000);
    rig.ask("the first conversation");
    assert_eq!(rig.kept(), (0, 22), "until somebody else comes it stays");
    rig.ask("another text altogether");
    assert_eq!(rig.kept(), (1, 23));
    let back = rig.ask("the first conversation goes on");
    assert_eq!((back.cached_tokens, back.read_tokens), (22, 8));
    assert_eq!(rig.kept(), (1, 30), "the other one made way, and this one is there once");
    assert_eq!(rig.stats.swapped_in_total.load(Relaxed), 1);
}

#[test]
fn of_a_text_that_comes_back_only_the_common_beginning_is_used_and_the_text_is_kept() {
    let mut rig = swapping(4000);
    rig.ask("instructions for all: the first question");
    rig.ask("another text altogether");
    let branch = rig.ask("instructions for all: a second one");
    assert_eq!(branch.cached_tokens, "instructions for all: ".len());
    let first = rig.ask("instructions for all: the first question?");
    assert_eq!(first.cached_tokens, "instructions for all: the first question".len());
}

#[test]
fn a_text_that_cannot_leave_the_cache_stays_there_while_there_is_room() {
    let mut rig = swapping(10);
    rig.ask("the first conversation");
    rig.ask("another text altogether");
    assert_eq!(rig.kept(), (0, 45));
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    let mut large = [rig.submit("loop", Params::default()), rig.submit("loop", Params::default())];
    let [a, b] = &mut large;
    rig.drive(&mut [a, b]);
    assert_eq!(rig.ask("another text altogether").cached_tokens, 0, "it was in the way");
}

#[test]
fn a_text_that_is_too_long_to_come_back_beside_the_running_ones_is_read_again() {
    let text = "a text of forty-two letters, no less, here";
    // Sixty are promised to the one that runs; the text comes back as a whole.
    for (kv_tokens, prompt, cached) in
        [(120, format!("{text} and more"), 42), (100, text[..19].to_owned(), 0)]
    {
        let limits = Limits { n_batch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens, n_draft: 0 };
        let mut rig = Rig::keeping(0, 4000, limits, 60);
        rig.ask(text);
        let mut running = rig.submit("loop", Params::default());
        rig.turn();
        let mut asking = rig.submit(&prompt, at_most(1));
        rig.turn();
        running.cancel.set();
        rig.drive(&mut [&mut running, &mut asking]);
        assert_eq!(asking.usage().cached_tokens, cached, "of {kv_tokens}");
    }
}

#[test]
fn a_text_that_does_not_come_back_is_read_again_and_forgotten() {
    let mut rig = swapping(4000);
    rig.ask("lost, this conversation");
    rig.ask("another text altogether");
    let again = rig.ask("lost, this conversation goes on");
    assert_eq!((again.cached_tokens, again.read_tokens), (0, 31));
    assert_eq!(rig.stats.swapped_in_total.load(Relaxed), 0);
    assert_eq!(rig.kept().0, 1, "the other text");
}

#[test]
fn two_long_conversations_take_turns_in_a_cache_for_one() {
    let limits = Limits { n_batch: 16, n_slots: 1, n_cache_seqs: 4, kv_tokens: 60, n_draft: 0 };
    for cacheable_tokens in [0, 60] {
        let mut rig = Rig::keeping(cacheable_tokens, 4000, limits, 60);
        rig.ask("the first of them, which has some forty letters");
        rig.ask("and this is the second one, just as long as it");
        let back = rig.ask("the first of them, which has some forty letters more");
        assert_eq!(back.cached_tokens, 47, "it comes back though the other one was there");
        let back = rig.ask("and this is the second one, just as long as it is");
        assert_eq!(back.cached_tokens, 46);
    }
}

#[test]
fn a_conversation_that_is_asked_for_does_not_make_way_for_the_copy_of_another() {
    let limits = Limits { n_batch: 16, n_slots: 1, n_cache_seqs: 4, kv_tokens: 60, n_draft: 0 };
    // Four bytes for a token: either has room outside the cache, both have not.
    for cache_ram_bytes in [200, 370] {
        let mut rig = Rig::keeping(0, cache_ram_bytes, limits, 60);
        rig.ask("the first of them, which has some forty letters");
        rig.ask("and this is the second one, just as long as it");
        let back = rig.ask("the first of them, which has some forty letters more");
        assert_eq!(back.cached_tokens, 47, "with {cache_ram_bytes} bytes");
    }
}

#[test]
fn a_long_text_does_not_come_back_for_a_few_words() {
    let limits = Limits { n_batch: 64, n_slots: 1, n_cache_seqs: 4, kv_tokens: 400, n_draft: 0 };
    let mut rig = Rig::keeping(0, 4000, limits, 200);
    rig.ask(&format!("beginning {}", "and a long text ".repeat(11)));
    rig.ask("another text altogether");
    assert_eq!(rig.ask("beginning of something else").cached_tokens, 0);
    assert_eq!(rig.ask("beginning and a long text").cached_tokens, 24);
}

#[test]
fn a_beginning_that_many_share_is_neither_moved_while_it_is_in_use_nor_copied_twice() {
    let mut rig = swapping(4000);
    for question in ["one", "two", "six"] {
        let used = rig.ask(&format!("instructions that all of them share: {question}"));
        assert!(used.cached_tokens >= 37 || question == "one");
    }
    assert_eq!(rig.stats.swapped_out_total.load(Relaxed), 0);
    rig.ask("another text altogether");
    assert_eq!(rig.kept().0, 1, "the others had the same but for three letters");
    let again = rig.ask("instructions that all of them share: one");
    assert_eq!(again.cached_tokens, 37);
}

#[test]
fn memory_for_a_long_text_that_leaves_is_made_ready_over_several_turns() {
    let mut rig = swapping(4000);
    rig.scheduler.swapped_a_turn = 8;
    rig.ask("the first conversation");
    let running = rig.submit("loop", Params::default());
    // Eight times as much in the first turn, in which nobody is streaming.
    for ready in [0, 64, 72, 80] {
        assert_eq!(rig.kept().0, 0, "{ready} of 88 bytes, for 22 tokens");
        assert!(rig.turn().is_some(), "and somebody is served meanwhile");
    }
    assert_eq!(rig.kept().0, 1);
    rig.end(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn whoever_leaves_does_not_wait_for_what_slows_down_others_to_leave_either() {
    let mut rig = swapping(4000);
    rig.scheduler.swapped_a_turn = 1;
    rig.ask("the first conversation");
    let running = ["loop", "loop too"].map(|prompt| rig.submit(prompt, at_most(12)));
    rig.turn();
    assert!(rig.scheduler.leaving.is_some() && rig.scheduler.is_crowded);
    rig.turn_with(|| running[0].cancel.set());
    assert!(rig.scheduler.leaving.is_some() && rig.scheduler.is_crowded, "it goes on later");
    running[1].cancel.set();
    rig.drive(&mut []);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn a_text_that_is_asked_for_while_it_is_leaving_stays() {
    let mut rig = swapping(4000);
    rig.scheduler.swapped_a_turn = 8;
    rig.ask("the first conversation");
    let mut running = rig.submit("loop", Params::default());
    rig.turn();
    assert!(rig.scheduler.leaving.is_some());
    let mut back = rig.submit("the first conversation goes on", at_most(5));
    rig.turn();
    assert!(rig.scheduler.leaving.is_none());
    running.cancel.set();
    rig.drive(&mut [&mut running, &mut back]);
    assert_eq!(back.usage().cached_tokens, 22);
    assert_eq!(rig.stats.swapped_in_total.load(Relaxed), 0);
}

#[test]
fn what_is_swapped_out_makes_room_before_memory_is_taken_for_the_next() {
    let mut rig = swapping(100);
    rig.scheduler.swapped_a_turn = 8;
    rig.ask("the first conversation");
    let mut running = rig.submit("loop", at_most(16));
    rig.drive(&mut [&mut running]);
    assert_eq!(rig.stats.swapped_bytes.load(Relaxed), 88);
    let running = rig.submit("another text", Params::default());
    rig.turn();
    assert!(rig.scheduler.leaving.is_some());
    assert_eq!(rig.stats.swapped_bytes.load(Relaxed), 0, "both would be more than a hundred");
    rig.end(running);
}

#[test]
fn at_rest_a_finished_text_is_copied_so_that_it_can_leave_at_once_and_it_stays_until_then() {
    let mut rig = swapping(4000);
    rig.ask("the first conversation");
    assert_eq!(rig.scheduler.patience(rig.now), Patience::Until(REST));
    rig.turn();
    assert_eq!(rig.kept(), (0, 22), "who goes on at once does not wait");
    rig.rest();
    assert_eq!(rig.kept(), (1, 22), "in both places");
    rig.scheduler.swapped_a_turn = 1;
    let running = rig.submit("loop", Params::default());
    rig.turn();
    assert_eq!(rig.stats.swapped_out_total.load(Relaxed), 1, "though a byte a turn is little");
    assert_eq!(rig.kept(), (1, 4));
    rig.end(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!(rig.stats.swapped_in_total.load(Relaxed), 1);
}

#[test]
fn a_copy_that_is_begun_at_rest_is_finished_when_somebody_else_has_come() {
    let mut rig = swapping(4000);
    rig.scheduler.swapped_a_turn = 80;
    rig.ask("the first conversation");
    rig.now += REST;
    assert_eq!((rig.turn(), rig.kept()), (None, (0, 22)), "forty of 88 bytes");
    rig.scheduler.swapped_a_turn = 6;
    let running = rig.submit("loop", Params::default());
    rig.turn();
    assert_eq!(rig.kept(), (1, 4), "for which 48 were left");
    rig.end(running);
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
}

#[test]
fn who_goes_on_with_a_text_that_was_copied_finds_it_in_the_cache() {
    let mut rig = swapping(4000);
    rig.ask("the first conversation");
    rig.rest();
    assert_eq!(rig.ask("the first conversation goes on").cached_tokens, 22);
    assert_eq!(rig.stats.swapped_in_total.load(Relaxed), 0);
    assert_eq!(rig.stats.swapped_bytes.load(Relaxed), 0, "the copy went with what it is no longer");
    rig.rest();
    assert_eq!(rig.stats.swapped_bytes.load(Relaxed), 4 * 30);
}

#[test]
fn nothing_that_is_kept_makes_way_for_a_copy_made_at_rest() {
    let mut rig = swapping(100);
    rig.ask("the first conversation");
    rig.ask("another text");
    assert_eq!(rig.kept().0, 1);
    rig.rest();
    assert_eq!(rig.kept().0, 1, "both would be more than a hundred bytes");
    assert_eq!(rig.ask("the first conversation").cached_tokens, 21);
}

#[test]
fn at_rest_what_may_stay_in_the_cache_is_not_copied() {
    let limits = Limits { n_batch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 };
    let mut rig = Rig::keeping(120, 4000, limits, 60);
    rig.ask("the first conversation");
    rig.rest();
    assert_eq!(rig.kept(), (0, 22));
}

#[test]
fn what_was_copied_at_rest_gives_way_like_anything_else_when_it_is_the_oldest() {
    let mut rig = swapping(150);
    rig.ask("the first conversation");
    rig.rest();
    assert_eq!(rig.stats.swapped_bytes.load(Relaxed), 88);
    rig.ask("and then another text");
    assert_eq!(rig.kept(), (1, 21), "the first has left");
    rig.ask("something else");
    assert_eq!(rig.stats.swapped_bytes.load(Relaxed), 84, "of the second");
}
