//! From the queue into a slot: by tokens, and with whatever is kept of earlier requests.
//!
//! A request enters when its prompt and all it may generate fit beside what the running slots
//! have been promised, so the cache cannot overflow later and nobody is ever evicted. Kept
//! prefixes give way first. The one at the head of the queue is never overtaken by a smaller one,
//! or it might wait for ever.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::domain::Token;
use crate::engine::model::{Model, SeqId};
use crate::engine::prefix::{Home, Key, common_prefix};
use crate::engine::slot::{Job, Place, Slot, Twin};
use crate::engine::speculation::guessers;

use super::Scheduler;

/// Sharing fewer tokens is not worth the bookkeeping: copying a sequence's cells looks at every
/// cell of the cache.
const SMALLEST_SHARE: usize = 8;

/// A swapped sequence comes back as a whole, so it must be shared in one part of so many at least:
/// copying that many tokens takes about as long as a small model needs to read one.
const MOST_BY_SHARED: usize = 16;

/// Bytes of memory that a turn gets ready for sequences that leave the KV cache while somebody is
/// streaming. No step runs meanwhile, and a virtual machine can take two milliseconds a MB to hand out
/// memory it has not used yet. What is then copied is copied ten times as fast.
pub(super) const SWAPPED_A_TURN: usize = 4 << 20;

/// So many times as much where nobody is: who reads a long prompt waits for it in any case, and reads
/// faster afterwards. It bounds what a request may wait that comes meanwhile.
const SWAPPED_WITHOUT_STREAMS: usize = 8;

/// A kept sequence that is about to leave the KV cache.
#[derive(Debug)]
pub(super) struct Leaving {
    key: Key,
    /// Bytes of its copy.
    size: usize,
    /// Where that will be. What of it has been written to is memory already.
    room: Vec<u8>,
}

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

impl<M: Model> Scheduler<M> {
    /// Fills free slots from the queue and tells the rest their places.
    pub(in crate::engine) fn admit(&mut self, now: Instant) {
        while let Some(free) = self.slots.iter().position(Option::is_none) {
            let Some(next) = self.queue.peek() else { break };
            let reserved = self.demand(next);
            if self.n_reserved() + reserved > self.limits.kv_tokens {
                break;
            }
            let Some(job) = self.queue.pop() else { break };
            self.start(job, free, reserved, now);
        }
        if self.slots.iter().any(Option::is_some) {
            self.swap_some();
        } else {
            self.leaving = None;
        }
        self.queue.tell_places();
    }

    /// Tokens a job may come to need in the KV cache.
    fn demand(&self, job: &Job) -> usize {
        let output = job.params.max_tokens.map_or(usize::MAX, |n| n as usize);
        job.tokens.len().saturating_add(output).min(self.options.ctx_size)
    }

    fn start(&mut self, job: Job, free: usize, reserved: usize, now: Instant) {
        let sampler = self.model.sampler(&job.params, &job.tokens);
        let guessers = match self.limits.n_guesses {
            0 => &[],
            _ => guessers(job.params.speculative, self.options.speculative),
        };
        let place = Place { seq: free as SeqId, order: self.admissions, reserved, guessers };
        let mut slot = Slot::new(job, place, sampler, now);
        self.admissions += 1;
        if slot.job.params.cache_prompt {
            let source = self.source(&slot, 0);
            let spared = source.and_then(|(source, _)| source.key());
            // It comes back as a whole, and what is too much is dropped then.
            let back = spared.map_or(0, |key| self.cache.n_swapped_tokens(key));
            self.make_room(reserved.max(back), spared);
            self.reuse(&mut slot, source);
            slot.twin = self.twin_of(&slot);
        }
        self.make_room(reserved, None);
        self.stats.queued.fetch_sub(1, Relaxed);
        self.stats.tally.queue_wait.observe(now.saturating_duration_since(slot.job.received));
        self.stats.active.fetch_add(1, Relaxed);
        self.stats.cached_tokens_total.fetch_add(slot.cached as u64, Relaxed);
        self.slots[free] = Some(slot);
        self.is_crowded = true;
        self.count_kv();
    }

    /// Swaps kept sequences out of the KV cache, or gives them up where they cannot leave, until
    /// there is room for `wanted` tokens beside what running slots were promised. `spared` stays.
    fn make_room(&mut self, wanted: usize, spared: Option<Key>) {
        let room = self.limits.kv_tokens.saturating_sub(self.n_reserved() + wanted);
        for (key, seq) in self.cache.in_cache() {
            if self.cache.n_tokens() <= room {
                return;
            }
            if spared == Some(key) {
                continue;
            }
            if !self.swap_out(key, seq) {
                self.drop_kept(key, seq);
            }
        }
    }

    /// Swaps out what is kept in the KV cache beyond what the model can keep there without being
    /// slowed down: a little a turn, since no step runs meanwhile. What a running request mostly
    /// shares stays: its cells are in the cache in any case.
    fn swap_some(&mut self) {
        let is_streaming = self.slots.iter().flatten().any(|slot| !slot.is_reading());
        let mut left = self.swapped_a_turn * if is_streaming { 1 } else { SWAPPED_WITHOUT_STREAMS };
        while self.is_crowded && left > 0 {
            let in_use = |tokens: &[Token]| {
                self.slots.iter().flatten().any(|slot| {
                    2 * common_prefix(&slot.tokens[..slot.computed], tokens) > tokens.len()
                })
            };
            let is_over = self.cache.n_tokens() > self.model.kept_tokens();
            let next = if is_over { self.cache.next_to_leave(in_use) } else { None };
            match next {
                Some((key, seq)) => left -= self.let_leave(key, seq, left),
                None => {
                    self.is_crowded = false;
                    self.leaving = None;
                }
            }
        }
    }

    /// Gets memory ready for the entry `key`, at most `most` bytes of it, which it returns, and swaps
    /// it out of `seq` once all of it is.
    fn let_leave(&mut self, key: Key, seq: SeqId, most: usize) -> usize {
        let mut leaving = match self.leaving.take().filter(|leaving| leaving.key == key) {
            Some(leaving) => leaving,
            None if self.cache.is_nearly_held(key) => {
                self.drop_kept(key, seq);
                return 0;
            }
            None => {
                let (size, mut room) = (self.model.swap_size(seq), Vec::new());
                let is_possible = size > 0 && size <= self.cache.swap_bytes();
                if !is_possible || room.try_reserve_exact(size).is_err() {
                    self.cache.stays(key);
                    return 0;
                }
                self.cache.make_swap_room(size);
                Leaving { key, size, room }
            }
        };
        let n = most.min(leaving.size - leaving.room.len());
        leaving.room.resize(leaving.room.len() + n, 0);
        let is_ready = leaving.room.len() == leaving.size;
        self.leaving = Some(leaving);
        if is_ready {
            self.swap_out(key, seq);
        }
        n
    }

    /// Swaps the entry `key` out of `seq`, at once; whether it could leave.
    fn swap_out(&mut self, key: Key, seq: SeqId) -> bool {
        // What was made ready for another one goes: it has no room beside this one.
        let leaving = self.leaving.take().filter(|leaving| leaving.key == key);
        if self.cache.is_nearly_held(key) {
            self.drop_kept(key, seq);
            return true;
        }
        let most = self.cache.swap_bytes();
        let room = match leaving {
            Some(leaving) => leaving.room,
            None => {
                let size = self.model.swap_size(seq);
                self.cache.make_swap_room(if size > most { 0 } else { size });
                Vec::new()
            }
        };
        let Some(bytes) = self.model.swap_out(seq, most, room) else {
            self.cache.stays(key);
            return false;
        };
        self.cache.swap_out(key, bytes);
        self.model.truncate(seq, 0);
        self.stats.swapped_out_total.fetch_add(1, Relaxed);
        true
    }

    fn drop_kept(&mut self, key: Key, seq: SeqId) {
        self.cache.remove(key);
        self.model.truncate(seq, 0);
    }

    /// Who holds the longest beginning of the prompt of `slot`, and how much of it, if that is
    /// worth more than what the slot has. Of several the one that costs least to share with. Kept
    /// sequences with `staying` tokens stay in the KV cache whoever it is.
    fn source(&self, slot: &Slot<M::Sampler>, staying: usize) -> Option<(Source, usize)> {
        let prompt = slot.shareable_prompt();
        let room = self.limits.kv_tokens.saturating_sub(self.n_reserved() + staying);
        let kept = self.cache.longest(prompt, |kept, n| match kept.home {
            Home::Cache(_) => true,
            Home::Swapped(_) => {
                let length = kept.tokens.len();
                length <= room && length <= n * MOST_BY_SHARED
            }
        });
        let kept = kept.map(|(key, n)| (Source::Kept(key), n));
        let running = self.others(slot.order).map(|other| {
            let computed = &other.tokens[..other.computed];
            (Source::Running(other.seq), common_prefix(computed, prompt))
        });
        let best = kept.into_iter().chain(running).max_by_key(|&(_, n)| n);
        best.filter(|&(_, n)| n >= slot.computed + SMALLEST_SHARE)
    }

    /// Lets `slot` have the beginning of its prompt from `source`, in place of what it has.
    fn reuse(&mut self, slot: &mut Slot<M::Sampler>, source: Option<(Source, usize)>) {
        let n = match source {
            None => return,
            Some((Source::Running(from), n)) => self.share(from, slot, n),
            Some((Source::Kept(key), n)) => {
                let Some(kept) = self.cache.get(key) else { return };
                // The slot goes on with it, and what becomes of that will be kept in its place.
                let is_over = kept.tokens.len() < n + SMALLEST_SHARE;
                let n = match kept.home {
                    Home::Cache(from) => self.share(from, slot, n),
                    Home::Swapped(ref bytes) => {
                        self.model.truncate(slot.seq, 0);
                        let is_back = self.model.swap_in(slot.seq, bytes);
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
    fn twin_of(&self, slot: &Slot<M::Sampler>) -> Option<Twin> {
        if self.limits.n_parked == 0 {
            return None;
        }
        let prompt = slot.shareable_prompt();
        self.others(slot.order)
            .filter(|other| other.is_reading())
            .map(|other| Twin {
                order: other.order,
                common: common_prefix(&other.tokens[..other.n_prompt], prompt),
            })
            .filter(|twin| twin.common >= slot.computed + SMALLEST_SHARE)
            .max_by_key(|twin| twin.common)
    }

    /// The running slots that are older than `order` and may be shared with.
    fn others(&self, order: u64) -> impl Iterator<Item = &Slot<M::Sampler>> {
        self.slots
            .iter()
            .flatten()
            .filter(move |slot| slot.order < order && slot.job.params.cache_prompt)
    }

    /// Lets slots go on that waited for a twin which has now read the common beginning, or ended.
    pub(super) fn meet_twins(&mut self) {
        for i in 0..self.slots.len() {
            let Some(Twin { order, common }) = self.slots[i].as_ref().and_then(|slot| slot.twin)
            else {
                continue;
            };
            let still_reading = self
                .slots
                .iter()
                .flatten()
                .any(|other| other.order == order && other.computed < common);
            if still_reading {
                continue;
            }
            let Some(mut slot) = self.slots[i].take() else { continue };
            slot.twin = None;
            let before = slot.cached;
            let source = self.source(&slot, self.cache.n_tokens());
            self.reuse(&mut slot, source);
            let found = slot.cached.saturating_sub(before) as u64;
            self.stats.cached_tokens_total.fetch_add(found, Relaxed);
            self.slots[i] = Some(slot);
        }
    }
}
