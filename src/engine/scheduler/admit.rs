//! From the queue into a slot: by tokens, and with whatever is kept of earlier requests.
//!
//! A request enters when its prompt and all it may generate fit beside what the running slots
//! have been promised, so the cache cannot overflow later and nobody is ever evicted. Kept
//! prefixes give way first. While the one at the head of the queue finds no room nobody else enters,
//! and whoever comes to stand before it does so by the queue's own rule, which starves nobody.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::domain::Token;
use crate::engine::model::{Model, SeqId};
use crate::engine::prefix_cache::{Kept, Key, common_prefix};
use crate::engine::request::Job;
use crate::engine::speculation::drafters;

use super::Scheduler;
use super::slot::{PrefixWait, Slot, SlotAssignment};
use super::swap::Allowance;

/// Sharing fewer tokens is not worth the bookkeeping: copying a sequence's cells looks at every
/// cell of the cache.
const SMALLEST_SHARE: usize = 8;

/// A swapped sequence comes back in pieces, so of those it must share one part of so many at least:
/// copying that many tokens takes about as long as a small model needs to read one.
const MOST_BY_SHARED: usize = 16;

/// Who holds the beginning of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A running slot, by its sequence.
    Running(SeqId),
    /// A kept sequence.
    Kept(Key),
}

impl Source {
    fn key(self) -> Option<Key> {
        match self {
            Self::Running(_) => None,
            Self::Kept(key) => Some(key),
        }
    }
}

/// How a job would enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JobEntry {
    /// Who holds the beginning of its prompt, and how much of it.
    source: Option<(Source, usize)>,
    /// Tokens that it is promised.
    pub(super) reserved: usize,
    /// Tokens of room in the KV cache that it takes to enter.
    pub(super) wanted: usize,
    /// Whether the kept sequence that it goes on with is kept afterwards.
    pub(super) keeps_spared: bool,
}

impl JobEntry {
    /// The kept sequence that it goes on with.
    pub(super) fn spared(self) -> Option<Key> {
        self.source.and_then(|(source, _)| source.key())
    }
}

impl<M: Model> Scheduler<M> {
    /// Fills free slots from the queue, tells the rest their places, and moves what is kept and shared.
    pub(in crate::engine) fn admit(&mut self, now: Instant) {
        // Before anybody enters who would take what they wait for.
        self.resume_prefix_waits(now);
        // A client that does not read would leave further slots idle, too: they share its socket.
        let slots = self.slots.iter().flatten();
        let unread = slots.filter(|slot| slot.paused.is_some()).map(|slot| slot.job.connection);
        self.queue.exclude(unread.collect());
        let mut allowance = self.allowance_for_next();
        let mut has_room = true;
        while let Some((free, reserved)) = self.next_entry() {
            let Some(job) = self.queue.peek() else { break };
            let entry = self.entry(job, reserved);
            has_room = self.make_room_for(entry, &mut allowance);
            if !has_room {
                break;
            }
            let Some(job) = self.queue.pop() else { break };
            self.start(job, free, entry, now);
        }
        if !has_room {
            // One sequence leaves at a time, and this turn's has begun to.
        } else if self.slots.iter().any(Option::is_some) {
            self.swap_some();
        } else {
            self.copy_some(now);
        }
        self.queue.report_positions();
    }

    /// The free slot for the job that is next, and what this is promised; `None` while it has to wait.
    pub(super) fn next_entry(&self) -> Option<(usize, usize)> {
        let free = self.slots.iter().position(Option::is_none)?;
        let reserved = self.demand(self.queue.peek()?);
        (self.n_reserved() + reserved <= self.limits.kv_tokens).then_some((free, reserved))
    }

    /// Tokens a job may come to need in the KV cache.
    fn demand(&self, job: &Job) -> usize {
        let output = job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        job.tokens.len().saturating_add(output).min(self.options.ctx_size)
    }

    /// What is kept for `job`, and the room that it takes to enter where it is promised `reserved` tokens.
    fn entry(&self, job: &Job, reserved: usize) -> JobEntry {
        let prompt = job.params.cache_prompt.then(|| job.shareable_prompt());
        let source = prompt.and_then(|prompt| self.source(prompt, self.admissions, 0, 0));
        let kept = source.and_then(|(source, n)| Some((self.cache.look_at(source.key()?)?, n)));
        JobEntry {
            source,
            reserved,
            // What is too much of its last piece is dropped again.
            wanted: reserved.max(kept.map_or(0, |(kept, n)| kept.n_coming_back(n))),
            keeps_spared: kept.is_some_and(|(kept, n)| !is_over(kept, n, self.may_share())),
        }
    }

    /// Starts `job` in the slot `free`, for which room was made.
    fn start(&mut self, job: Job, free: usize, entry: JobEntry, now: Instant) {
        let JobEntry { source, reserved, .. } = entry;
        let sampler = self.model.sampler(&job.params, &job.tokens);
        let drafters = match self.limits.n_draft {
            0 => &[],
            _ => drafters(job.params.speculative, self.options.speculative),
        };
        let assignment =
            SlotAssignment { seq: free as SeqId, order: self.admissions, reserved, drafters };
        let mut slot = Slot::new(job, assignment, sampler, now);
        self.admissions += 1;
        if slot.job.params.cache_prompt {
            self.reuse(&mut slot, source);
            slot.prefix_wait = self.prefix_wait_of(&slot);
        }
        // The sequence that it has a beginning of leaves for its copy where both have no room.
        self.make_room(reserved, None, &mut Allowance::Whatever);
        self.stats.queued.fetch_sub(1, Relaxed);
        self.stats.tally.queue_wait.observe(now.saturating_duration_since(slot.job.received));
        self.stats.active.fetch_add(1, Relaxed);
        self.stats.cached_tokens_total.fetch_add(slot.cached as u64, Relaxed);
        self.slots[free] = Some(slot);
        self.is_crowded = true;
        self.count_kv();
    }

    /// Who holds the longest beginning of `prompt`, of those that run somebody older than `order`, and how
    /// much of it, if that is worth more than the `computed` tokens that are there. Of several the one
    /// that costs least to share with. Kept sequences with `staying` tokens stay in the KV cache whoever
    /// it is.
    fn source(
        &self,
        prompt: &[Token],
        order: u64,
        computed: usize,
        staying: usize,
    ) -> Option<(Source, usize)> {
        let room = self.limits.kv_tokens.saturating_sub(self.n_reserved() + staying);
        let kept = self.cache.longest(prompt, |kept, n| {
            let back = kept.n_coming_back(n);
            back <= room && back <= n * MOST_BY_SHARED
        });
        let kept = kept.map(|(key, n)| (Source::Kept(key), n));
        let sharing = self.others(order).filter(|_| self.may_share());
        let running = sharing.map(|other| {
            let computed = &other.tokens[..other.computed];
            (Source::Running(other.seq), common_prefix(computed, prompt))
        });
        let best = kept.into_iter().chain(running).max_by_key(|&(_, n)| n);
        best.filter(|&(_, n)| n >= computed + SMALLEST_SHARE)
    }

    /// Lets `slot` have the beginning of its prompt from `source`, in place of what it has.
    fn reuse(&mut self, slot: &mut Slot<M::Sampler>, source: Option<(Source, usize)>) {
        let may_share = self.may_share();
        let n = match source {
            None => return,
            Some((Source::Running(from), n)) => self.share(from, slot, n),
            Some((Source::Kept(key), n)) => {
                let Some(kept) = self.cache.get(key) else { return };
                let is_over = is_over(kept, n, may_share);
                let n = match kept.seq {
                    Some(from) => self.share(from, slot, n),
                    None => {
                        self.model.truncate(slot.seq, 0);
                        let mut pieces = kept.copy.iter().flat_map(|copy| copy.pieces(n));
                        let is_back = pieces.all(|piece| self.model.swap_in(slot.seq, piece));
                        self.stats.swapped_in_total.fetch_add(is_back.into(), Relaxed);
                        let n = if is_back { self.model.shareable(slot.seq, n) } else { 0 };
                        self.model.truncate(slot.seq, n);
                        Some(n)
                    }
                };
                // What did not come back once would not the next time.
                let is_gone = n.is_some_and(|n| is_over || n == 0);
                let emptied = if is_gone { self.cache.remove(key) } else { None };
                if let Some(emptied) = emptied {
                    self.model.truncate(emptied, 0);
                }
                n
            }
        };
        let Some(n) = n else { return };
        // Less than before where a sequence did not come back.
        slot.cached = (slot.cached + n).saturating_sub(slot.computed);
        slot.computed = n;
    }

    /// Shares the first `n` positions of `from` with `slot`, or as many as the model still has;
    /// `None` where that is no gain.
    fn share(&mut self, from: SeqId, slot: &Slot<M::Sampler>, n: usize) -> Option<usize> {
        let n = self.model.shareable(from, n);
        if n < slot.computed + SMALLEST_SHARE {
            return None;
        }
        self.model.truncate(slot.seq, 0);
        self.model.share(from, slot.seq, n);
        Some(n)
    }

    /// The older reader whose prompt has the longest beginning in common with that of `slot`, if
    /// waiting for it saves something.
    fn prefix_wait_of(&self, slot: &Slot<M::Sampler>) -> Option<PrefixWait> {
        if self.limits.n_cache_seqs == 0 || !self.may_share() {
            return None;
        }
        let prompt = slot.shareable_prompt();
        self.others(slot.order)
            .filter(|other| other.is_prefilling())
            .map(|other| PrefixWait {
                donor_order: other.order,
                shared_len: common_prefix(&other.tokens[..other.n_prompt], prompt),
            })
            .filter(|wait| wait.shared_len >= slot.computed + SMALLEST_SHARE)
            .max_by_key(|wait| wait.shared_len)
    }

    /// Whether two sequences may hold the same cells.
    fn may_share(&self) -> bool {
        self.model.max_sequences().is_none()
    }

    /// The running slots that are older than `order` and may be shared with.
    fn others(&self, order: u64) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.slots
            .iter()
            .flatten()
            .filter(move |slot| slot.order < order && slot.job.params.cache_prompt)
    }

    /// Lets slots go on that waited for a twin which has now read the common beginning. Where it has
    /// ended before that, they wait for the next one that reads it. The oldest comes first: the others share
    /// with it where it goes on with all that was kept.
    fn resume_prefix_waits(&mut self, now: Instant) {
        let waiting = (0..self.slots.len()).filter_map(|i| {
            let slot = self.slots[i].as_ref().filter(|slot| slot.prefix_wait.is_some())?;
            Some((slot.order, i))
        });
        let mut waiting: Vec<(u64, usize)> = waiting.collect();
        waiting.sort_unstable();
        for (_, i) in waiting {
            let Some(PrefixWait { donor_order, shared_len }) =
                self.slots[i].as_ref().and_then(|slot| slot.prefix_wait)
            else {
                continue;
            };
            let still_reading = self
                .slots
                .iter()
                .flatten()
                .any(|other| other.order == donor_order && other.computed < shared_len);
            if still_reading {
                continue;
            }
            let Some(mut slot) = self.slots[i].take() else { continue };
            let before = slot.cached;
            let prompt = slot.shareable_prompt();
            let staying = self.cache.n_tokens();
            let source = self.source(prompt, slot.order, slot.computed, staying);
            self.reuse(&mut slot, source);
            slot.prefix_wait = self.prefix_wait_of(&slot);
            slot.started = now;
            let found = slot.cached.saturating_sub(before) as u64;
            self.stats.cached_tokens_total.fetch_add(found, Relaxed);
            self.slots[i] = Some(slot);
        }
    }
}

/// Whether a kept sequence of which a slot takes the first `n` tokens is over with that: the slot goes on
/// with it, and what becomes of that will be kept in its place.
fn is_over(kept: &Kept, n: usize, may_share: bool) -> bool {
    kept.tokens.len() < n + SMALLEST_SHARE || !may_share
}
