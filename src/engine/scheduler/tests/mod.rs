//! The rig: a scheduler on the paper model, with a clock that is moved by hand.

use std::sync::Arc;

use super::*;
use crate::domain::{ConnectionId, Outcome, Params, Prompt, Request, Speculation, Usage};
use crate::engine::model::CancelFlag;
use crate::engine::request::{Delivery, Notifier, Outbox};
use crate::scripted::{ScriptedDraft, ScriptedModel, ScriptedVocabulary, StepControl};

mod admission;
mod delivery;
mod drafting;
mod random;
mod swapping;
mod wide;
mod windows;

const GRACE: Duration = Duration::from_secs(5);

struct Rig {
    scheduler: Scheduler<ScriptedModel>,
    stats: Arc<Stats>,
    now: Instant,
    /// What a step takes beside ten milliseconds for each of its tokens.
    per_token: Duration,
}

/// A request as the test holds it.
struct Client {
    outbox: Arc<Outbox>,
    notifier: Arc<Notifier>,
    cancel: CancelFlag,
    text: String,
    queued: Option<usize>,
    outcomes: Vec<Outcome>,
}

impl Client {
    fn read(&mut self) {
        let Delivery { queued, text, outcome, .. } = self.outbox.take();
        self.text += &text;
        self.queued = queued.or(self.queued);
        self.outcomes.extend(outcome);
    }

    fn usage(&self) -> Usage {
        match self.outcomes.as_slice() {
            [Outcome::Finished { usage, .. }] => *usage,
            other => panic!("not finished once: {other:?}"),
        }
    }
}

impl Rig {
    fn new(limits: Limits, ctx_size: usize) -> Self {
        Self::keeping(limits.kv_tokens, 0, limits, ctx_size)
    }

    /// Finished sequences may have `cacheable_tokens` of the KV cache while others run, and `cache_ram_bytes`
    /// outside, of which the paper model needs four for a token.
    fn keeping(
        cacheable_tokens: usize,
        cache_ram_bytes: usize,
        limits: Limits,
        ctx_size: usize,
    ) -> Self {
        let now = Instant::now();
        let stats = Arc::new(Stats::new(now));
        let options = Options {
            ctx_size,
            max_queue: 100,
            cache_ram_bytes,
            slow_client_grace: GRACE,
            step_target: Duration::from_millis(50),
            ..Options::default()
        };
        let model = ScriptedModel::new(limits, StepControl::free_running())
            .with_cacheable_tokens(cacheable_tokens);
        let scheduler = Scheduler::new(model, Arc::new(ScriptedVocabulary), options, stats.clone());
        Self { scheduler, stats, now, per_token: Duration::ZERO }
    }

    /// `n_slots` slots with a context of 100 tokens each and steps of 16.
    fn with_slots(n_slots: usize) -> Self {
        Self::new(
            Limits { n_batch: 16, n_slots, n_cache_seqs: 4, kv_tokens: 100 * n_slots, n_draft: 15 },
            100,
        )
    }

    /// The same on a model whose layers have cells for the windows of its slots alone.
    fn with_windows(mut self) -> Self {
        let model = ScriptedModel::new(self.scheduler.limits, StepControl::free_running());
        self.scheduler.model = model.with_max_sequences(self.scheduler.limits.n_slots);
        self
    }

    /// The same with a draft model, on a machine where a token more costs a millisecond.
    fn with_draft(mut self, draft: ScriptedDraft) -> Self {
        let model = ScriptedModel::new(self.scheduler.limits, StepControl::free_running());
        self.scheduler.model = model.with_draft(draft);
        self.per_token = Duration::from_millis(1);
        self
    }

    fn submit(&mut self, prompt: &str, params: Params) -> Client {
        self.submit_as(1, prompt, params)
    }

    fn submit_as(&mut self, connection: u64, prompt: &str, params: Params) -> Client {
        let notifier = Arc::<Notifier>::default();
        let outbox = Arc::new(Outbox::new(notifier.clone(), Arc::default()));
        let cancel = CancelFlag::default();
        let tokens = ScriptedVocabulary.tokenize(prompt);
        let request = Request {
            connection: ConnectionId(connection),
            prompt: Prompt::Text(prompt.to_owned()),
            params,
        };
        self.stats.queued.fetch_add(1, Relaxed);
        let job = Job::new(request, tokens, self.now, outbox.clone(), cancel.clone());
        self.scheduler.accept(vec![job]);
        Client { outbox, notifier, cancel, text: String::new(), queued: None, outcomes: Vec::new() }
    }

    /// One turn of the loop; the size of its step.
    fn turn(&mut self) -> Option<usize> {
        self.turn_with(|| {})
    }

    /// The same, where something happens once those who are gone were looked for.
    fn turn_with(&mut self, meanwhile: impl FnOnce()) -> Option<usize> {
        self.scheduler.sweep(self.now);
        meanwhile();
        self.scheduler.admit(self.now);
        let stop = CancelFlag::default();
        let step = self.scheduler.plan(&stop)?;
        let result = self.scheduler.decode(&step, &stop);
        let began = self.now;
        let n = step.n_tokens();
        self.now += Duration::from_millis(10) + self.per_token * n as u32;
        self.scheduler.commit(&step, result, began, self.now);
        Some(n)
    }

    /// Turns until nothing is left to do, the clients reading after each.
    fn drive(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..10_000 {
            let ran = self.turn().is_some();
            clients.iter_mut().for_each(|client| client.read());
            if !ran && self.scheduler.is_idle() {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }
}

fn at_most(n: u32) -> Params {
    Params { max_tokens: Some(n), ..Params::default() }
}

#[test]
fn a_prompt_longer_than_a_step_is_read_in_chunks_and_answered() {
    let mut rig = Rig::with_slots(1);
    let prompt = "abcdefghijklmnopqrstuvwxyz0123456789";
    let mut client = rig.submit(prompt, Params::default());
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text, prompt);
    assert_eq!(client.usage().prompt_tokens, 36);
    assert_eq!(client.usage().tokens, 36);
}

/// Steps, and what was drafted and accepted, for an answer that repeats its prompt.
fn steps_of(speculative: Speculation) -> (usize, Usage) {
    let mut rig = Rig::with_slots(1);
    let params = Params { speculative: Some(speculative), ..Params::default() };
    let prompt = "abcdefghijklmnopqrstuvwxyz abcdefghijklmnop";
    let mut client = rig.submit(prompt, params);
    let mut steps = 0;
    while rig.turn().is_some() {
        steps += 1;
        client.read();
    }
    client.read();
    assert_eq!(client.text, prompt);
    (steps, client.usage())
}

#[test]
fn a_text_that_repeats_itself_takes_fewer_steps_with_guesses_and_is_the_same() {
    let (plain, usage) = steps_of(Speculation::Off);
    assert_eq!((usage.drafted, usage.accepted), (0, 0));
    let (fewer, usage) = steps_of(Speculation::Ngram);
    assert!(fewer + 20 < plain, "{fewer} instead of {plain}");
    assert!(usage.accepted >= 20 && usage.accepted <= usage.drafted, "{usage:?}");
}

#[test]
fn max_tokens_ends_the_answer_with_length() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("loop", at_most(6));
    rig.drive(&mut [&mut client]);
    assert_eq!(client.text, "looplo");
    let reason = |client: &Client| match client.outcomes[0] {
        Outcome::Finished { reason, .. } => reason,
        Outcome::Failed(_) => panic!("failed"),
    };
    assert_eq!(reason(&client), FinishReason::Length);
    let mut none = rig.submit("loop", at_most(0));
    rig.drive(&mut [&mut none]);
    assert_eq!((none.text.as_str(), reason(&none)), ("", FinishReason::Length));
}

#[test]
fn an_open_ended_answer_ends_when_the_context_is_full() {
    let mut rig = Rig::with_slots(1);
    let mut client = rig.submit("loop", Params::default());
    rig.drive(&mut [&mut client]);
    assert_eq!(client.usage().prompt_tokens + client.usage().tokens, 100);
}

#[test]
fn a_second_turn_reads_only_its_new_tokens() {
    let mut rig = Rig::with_slots(2);
    let first = "a story about a dog";
    let mut one = rig.submit(first, Params::default());
    rig.drive(&mut [&mut one]);
    let mut two = rig.submit(&format!("{first}{first} and more"), Params::default());
    rig.drive(&mut [&mut two]);
    assert_eq!(two.usage().cached_tokens, 2 * first.len(), "prompt and answer are both kept");
    assert_eq!(two.text, format!("{first}{first} and more"));
}

#[test]
fn cache_prompt_false_neither_shares_nor_leaves_anything() {
    let mut rig = Rig::with_slots(2);
    let alone = Params { cache_prompt: false, ..Params::default() };
    let mut one = rig.submit("a story about a dog", alone.clone());
    rig.drive(&mut [&mut one]);
    assert_eq!(rig.stats.kv_used_tokens.load(Relaxed), 0);
    let mut kept = rig.submit("a story about a dog", Params::default());
    rig.drive(&mut [&mut kept]);
    let mut two = rig.submit("a story about a dog", alone);
    rig.drive(&mut [&mut two]);
    assert_eq!((kept.usage().cached_tokens, two.usage().cached_tokens), (0, 0));
}

#[test]
fn a_request_whose_twin_is_cancelled_reads_on_by_itself() {
    let mut rig = Rig::with_slots(2);
    let mut first = rig.submit("the same long instructions for everybody, 1", at_most(5));
    let mut second = rig.submit("the same long instructions for everybody, 2", at_most(5));
    rig.turn();
    first.cancel.set();
    rig.drive(&mut [&mut first, &mut second]);
    assert_eq!(second.text, "the s");
}

#[test]
fn a_request_that_ends_while_it_waits_is_in_every_count_that_others_are_in() {
    let mut rig = Rig::with_slots(1);
    let mut running = rig.submit("loop", at_most(20));
    rig.turn();
    let mut regretted = rig.submit("loop", at_most(20));
    rig.turn();
    regretted.cancel.set();
    rig.drive(&mut [&mut running, &mut regretted]);
    rig.submit("loop", at_most(20));
    rig.now += Duration::from_secs(3);
    rig.scheduler.refuse_waiting(rig.now);
    let report = rig.stats.tally.report();
    let ended: u64 = report.endings.iter().map(|&(_, n)| n).sum();
    assert_eq!((ended, report.queue_wait.count(), report.total.count()), (3, 3, 3));
    // One step of ten milliseconds for the one that was aborted.
    assert!((report.queue_wait.sum - 3.01).abs() < 1e-9, "{}", report.queue_wait.sum);
}

#[test]
fn a_long_prompt_does_not_hold_up_a_stream() {
    let mut rig = Rig::with_slots(2);
    let mut stream = rig.submit("loop", at_most(20));
    rig.turn();
    let mut long = rig.submit_as(2, &"x".repeat(90), at_most(1));
    let mut before = 0;
    while long.outcomes.is_empty() {
        rig.turn();
        stream.read();
        long.read();
        assert_eq!(stream.text.len(), before + if before == 0 { 2 } else { 1 });
        before = stream.text.len();
    }
}

#[test]
fn a_request_waits_until_its_tokens_fit_and_is_told_its_place() {
    let mut rig = Rig::new(
        Limits { n_batch: 16, n_slots: 4, n_cache_seqs: 4, kv_tokens: 120, n_draft: 0 },
        100,
    );
    let mut big = rig.submit("loop", at_most(96));
    let mut small = rig.submit_as(2, "loop", at_most(30));
    rig.turn();
    assert_eq!(rig.stats.active.load(Relaxed), 1, "the smaller one goes first");
    big.read();
    assert_eq!(big.queued, Some(1));
    rig.drive(&mut [&mut big, &mut small]);
    assert_eq!((big.text.len(), small.text.len()), (96, 30));
}

#[test]
fn a_failed_step_fails_its_requests_once_and_service_goes_on() {
    let mut rig = Rig::with_slots(2);
    let mut bad = rig.submit("fail", Params::default());
    rig.drive(&mut [&mut bad]);
    assert!(matches!(bad.outcomes.as_slice(), [Outcome::Failed(Failure::EngineFailed { .. })]));
    let mut good = rig.submit("hello", Params::default());
    rig.drive(&mut [&mut good]);
    assert_eq!(good.text, "hello");
}

#[test]
fn a_request_without_a_choice_fails_alone() {
    let mut rig = Rig::with_slots(2);
    let mut bad = rig.submit("nan", Params::default());
    let mut good = rig.submit("hello", Params::default());
    rig.drive(&mut [&mut bad, &mut good]);
    assert!(matches!(bad.outcomes[0], Outcome::Failed(Failure::EngineFailed { .. })));
    assert_eq!(good.text, "hello");
}

#[test]
fn leaving_ends_everything_once() {
    let mut rig = Rig::with_slots(1);
    let mut running = rig.submit("loop", Params::default());
    let mut waiting = rig.submit("loop", Params::default());
    rig.turn();
    rig.scheduler.refuse_waiting(rig.now);
    waiting.read();
    assert_eq!(waiting.outcomes, [Outcome::Failed(Failure::ShuttingDown)]);
    rig.scheduler.end_all(rig.now);
    running.read();
    assert_eq!(running.outcomes, [Outcome::Failed(Failure::ShuttingDown)]);
    assert!(rig.scheduler.is_idle());
    assert_eq!(rig.stats.active.load(Relaxed), 0);
    assert_eq!(rig.stats.queued.load(Relaxed), 0);
}

#[test]
fn a_short_prompt_passes_a_long_one_and_the_next_has_to_share() {
    let mut rig = Rig::with_slots(3);
    let _long = rig.submit(&"x".repeat(90), at_most(1));
    assert_eq!(rig.turn(), Some(16));
    let mut first = rig.submit("ab", at_most(1));
    assert_eq!(rig.turn(), Some(2), "the short prompt alone");
    first.read();
    assert_eq!(first.usage().prompt_tokens, 2);
    let mut second = rig.submit("cd", at_most(1));
    assert_eq!(rig.turn(), Some(16), "both");
    second.read();
    assert_eq!(second.usage().prompt_tokens, 2);
}

#[test]
fn slots_take_turns_at_guessing() {
    // A step has three guesses, which one slot takes.
    let limits = Limits { n_batch: 16, n_slots: 2, n_cache_seqs: 4, kv_tokens: 200, n_draft: 3 };
    let mut rig = Rig::new(limits, 100);
    let mut clients = [rig.submit("loop ab", at_most(90)), rig.submit("loop cd", at_most(90))];
    for _ in 0..24 {
        rig.turn();
        clients.iter_mut().for_each(Client::read);
    }
    let [a, b] = clients.map(|client| client.text.len());
    assert!(a + b > 2 * 24 && a.abs_diff(b) <= 4, "{a} and {b}");
}

/// The size of the step with four prompts of 30 tokens that come when another stream has made so
/// many of its tokens.
fn step_beside(n_generated: usize) -> usize {
    let limits = Limits { n_batch: 512, n_slots: 5, n_cache_seqs: 0, kv_tokens: 500, n_draft: 0 };
    let mut rig = Rig::new(limits, 100);
    // A thousand tokens a second, of which a step of 50 ms has 48 and one of 250 ms 256.
    let _first = rig.submit("abcdefghij", Params::default());
    for _ in 0..n_generated {
        rig.turn();
    }
    let prompts = ["1", "2", "3", "4"].map(|digit| digit.repeat(30));
    let _others = prompts.map(|prompt| rig.submit(&prompt, Params::default()));
    rig.turn().unwrap()
}

#[test]
fn prompts_that_come_with_a_stream_are_read_at_once_and_those_that_come_later_bit_by_bit() {
    assert_eq!(step_beside(1), 1 + 4 * 30);
    assert_eq!(step_beside(8), 1 + 4 * 30);
    assert_eq!(step_beside(9), 48);
}
