//! Out of the KV cache: kept sequences that make way for those that run.
//!
//! They leave for a copy in ordinary memory and come back from it when somebody goes on with them
//! (`admit.rs`). Copying takes time in which no step runs, so it is done while there is nothing else
//! to do, or a little a turn. What is promised to running slots is never touched.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::domain::Token;
use crate::engine::model::{Model, SeqId};
use crate::engine::prefix_cache::{Copied, Key, common_prefix};

use super::Scheduler;
use super::admit::JobEntry;

/// Bytes of a piece in which a sequence leaves the KV cache, about. llama.cpp needs memory of its own
/// for a copy, up to sixteen times the size of the values where they lie transposed.
const PIECE: usize = 1 << 20;

/// Bytes of sequences that leave the KV cache in a turn while somebody is streaming. No step runs
/// meanwhile, and a virtual machine can take two milliseconds a MB to hand out memory it has not used
/// yet, or llama.cpp twelve to collect transposed values from cells that lie apart.
pub(super) const SWAPPED_A_TURN: usize = 2 << 20;

/// So many times as much where nobody is: who reads a long prompt waits for it in any case, and reads
/// faster afterwards. It bounds what a request may wait that comes meanwhile.
const SWAPPED_WITHOUT_STREAMS: usize = 8;

/// So many times as much while streams go on and somebody waits for the room. For a text of 1,500 tokens
/// of a 1B model, 50 MB, a newcomer's first token came after 90 to 300 ms, with a quarter of it after 380
/// to 480, and the longest gap of the stream beside it was 90 to 160 ms either way (two cores).
const SWAPPED_FOR_NEXT: usize = 16;

/// The same where nobody streams. Between two turns a long prompt is read for a quarter of a second: with
/// 16 MB a turn somebody who came beside one waited 1.1 to 1.3 s for 90 MB to leave, and 0.2 to 0.4 with this.
const SWAPPED_FOR_NEXT_WITHOUT_STREAMS: usize = 128;

/// One part in so many of it where nothing runs at all: a request that comes meanwhile waits for one
/// piece.
const PARTS_AT_REST: usize = 2;

/// How long the engine has had nothing to do before it copies what may have to leave later: who goes
/// on at once finds it at rest.
pub(super) const REST: Duration = Duration::from_millis(100);

/// A kept sequence that is about to be copied, or to leave the KV cache.
#[derive(Debug)]
pub(super) struct Leaving {
    key: Key,
    /// Bytes of the whole copy, about.
    size: usize,
    /// What there is of it.
    pub(super) copy: Copied,
}

/// How much may be copied before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowance {
    /// So many bytes, but for the rest of a piece; nothing more once somebody is gone, who waits to be
    /// struck out.
    Bytes(usize),
    /// All that it takes.
    Whatever,
}

impl Allowance {
    fn is_used_up(self) -> bool {
        self == Self::Bytes(0)
    }

    /// Bytes of the next piece.
    fn piece(self) -> usize {
        match self {
            Self::Bytes(left) => PIECE.min(left),
            Self::Whatever => PIECE,
        }
    }

    fn spend(&mut self, bytes: usize) {
        if let Self::Bytes(left) = self {
            *left = left.saturating_sub(bytes);
        }
    }
}

/// What became of a kept sequence that was to be copied, or to leave the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Departure {
    /// It has its copy, or has left.
    Done,
    /// A part of it is copied: the next turn goes on.
    Begun,
    /// There can be no copy.
    Impossible,
}

/// What becomes of other copies where there is no room for one more.
#[derive(Debug, Clone, Copy)]
enum Others {
    /// They stay.
    Keep,
    /// Those that were not used for longest go, but not that of `spared`, which is about to be used.
    GiveWay { spared: Option<Key> },
}

impl<M: Model> Scheduler<M> {
    /// When what may have to leave the KV cache later can be copied, if there is any; while there is
    /// nothing else to do.
    pub(super) fn copies_at(&self) -> Option<Instant> {
        self.rests_since.filter(|_| self.is_uncopied).map(|since| since + REST)
    }

    /// Copies a little of what may have to leave the KV cache when the next request comes, so that
    /// this one need not wait for it. It stays in the cache for whoever goes on with it, and nothing
    /// that is kept makes way for the copy.
    pub(super) fn copy_some(&mut self, now: Instant) {
        let Some(at) = self.copies_at() else {
            self.leaving = None;
            return;
        };
        if now < at {
            return;
        }
        let begun = self.leaving.as_ref().map(|leaving| leaving.key);
        let begun = begun.and_then(|key| Some((key, self.cache.look_at(key)?.seq?)));
        let next = match self.holds_too_much() {
            true => begun.or_else(|| self.cache.next_to_copy()),
            false => None,
        };
        let mut allowance = Allowance::Bytes(self.swapped_a_turn.div_ceil(PARTS_AT_REST));
        match next.map(|(key, seq)| self.copy(key, seq, &mut allowance, Others::Keep)) {
            Some(Departure::Done | Departure::Begun) => self.count_kv(),
            Some(Departure::Impossible) | None => {
                self.is_uncopied = false;
                self.leaving = None;
            }
        }
    }

    /// Whether more is kept in the KV cache than may be there while others run.
    fn holds_too_much(&self) -> bool {
        self.cache.n_tokens() > self.model.cacheable_tokens()
    }

    /// Swaps kept sequences out of the KV cache, or gives them up where they cannot leave, until
    /// there is room for one more slot with `wanted` tokens beside what running ones were promised.
    /// `spared`, which that slot is to go on with, stays. Whether there is room: the allowance may not
    /// suffice for it.
    pub(super) fn make_room(
        &mut self,
        wanted: usize,
        spared: Option<Key>,
        allowance: &mut Allowance,
    ) -> bool {
        let room = self.room_beside(wanted);
        let running = self.slots.iter().flatten().count();
        let sequences = self.model.max_sequences().map_or(usize::MAX, |most| {
            (most + usize::from(spared.is_some())).saturating_sub(running + 1)
        });
        let in_cache = self.cache.in_cache();
        let mut n_cache_seqs = in_cache.len();
        for (key, seq) in in_cache {
            if self.cache.n_tokens() <= room && n_cache_seqs <= sequences {
                return true;
            }
            if spared == Some(key) {
                continue;
            }
            match self.let_leave(key, seq, allowance, spared) {
                Departure::Done => {}
                Departure::Begun => return false,
                Departure::Impossible => self.drop_kept(key, seq),
            }
            n_cache_seqs -= 1;
        }
        true
    }

    /// What may be copied in a turn to make room for those who wait.
    pub(super) fn allowance_for_next(&self) -> Allowance {
        let times = match self.is_streaming() {
            true => SWAPPED_FOR_NEXT,
            false => SWAPPED_FOR_NEXT_WITHOUT_STREAMS,
        };
        Allowance::Bytes(self.swapped_a_turn * times)
    }

    /// Makes room for a job to enter, so that `start` has nothing more to copy. Whether there is enough.
    pub(super) fn make_room_for(&mut self, entry: JobEntry, allowance: &mut Allowance) -> bool {
        let has_room = self.make_room(entry.wanted, entry.spared(), allowance);
        // Where the job takes but the beginning of the spared one, this may have to leave for the job.
        let room = self.room_beside(entry.reserved);
        let leaves = entry.spared().filter(|_| entry.keeps_spared && self.cache.n_tokens() > room);
        let is_ready = has_room && leaves.is_none_or(|key| self.prepare(key, allowance));
        // Whoever it was begun for may leave before it is whole, and then somebody has to end it.
        self.is_crowded |= !is_ready;
        is_ready
    }

    /// Goes on with the copy for which the entry `key` can leave at once. Whether there is one, or can be
    /// none.
    fn prepare(&mut self, key: Key, allowance: &mut Allowance) -> bool {
        let kept = self.cache.look_at(key).filter(|kept| kept.copy.is_none());
        let Some(seq) = kept.and_then(|kept| kept.seq) else { return true };
        let others = Others::GiveWay { spared: None };
        self.copy(key, seq, allowance, others) != Departure::Begun
    }

    /// Tokens that may be kept in the KV cache beside `wanted` and what running slots were promised.
    fn room_beside(&self, wanted: usize) -> usize {
        self.limits.kv_tokens.saturating_sub(self.n_reserved() + wanted)
    }

    /// Whether somebody who runs, or who is next, waits for nothing any more but to be struck out.
    fn is_anybody_gone(&self) -> bool {
        let running = self.slots.iter().flatten().map(|slot| &slot.job);
        running.chain(self.queue.peek()).any(|job| job.cancel.is_set())
    }

    fn is_streaming(&self) -> bool {
        self.slots.iter().flatten().any(|slot| !slot.is_prefilling())
    }

    /// Swaps out what is kept in the KV cache beyond what the model can keep there without being
    /// slowed down: a little a turn, since no step runs meanwhile. What a running request mostly
    /// shares stays: its cells are in the cache in any case.
    pub(super) fn swap_some(&mut self) {
        let times = if self.is_streaming() { 1 } else { SWAPPED_WITHOUT_STREAMS };
        let mut allowance = Allowance::Bytes(self.swapped_a_turn * times);
        while self.is_crowded && !allowance.is_used_up() {
            let in_use = |tokens: &[Token]| {
                self.slots.iter().flatten().any(|slot| {
                    2 * common_prefix(&slot.tokens[..slot.computed], tokens) > tokens.len()
                })
            };
            let next = match self.holds_too_much() {
                true => self.cache.next_to_leave(in_use),
                false => None,
            };
            match next {
                Some((key, seq)) => {
                    if self.let_leave(key, seq, &mut allowance, None) == Departure::Begun {
                        return;
                    }
                }
                None => {
                    self.is_crowded = false;
                    self.leaving = None;
                }
            }
        }
    }

    /// Has the entry `key` leave `seq` once it has a copy, on which it goes on. Others may lose their
    /// copies for it, but not `spared`.
    fn let_leave(
        &mut self,
        key: Key,
        seq: SeqId,
        allowance: &mut Allowance,
        spared: Option<Key>,
    ) -> Departure {
        let is_begun = self.leaving.as_ref().is_some_and(|leaving| leaving.key == key);
        if !is_begun && self.cache.is_nearly_held(key) {
            self.drop_kept(key, seq);
            return Departure::Done;
        }
        let has_copy = self.cache.look_at(key).is_some_and(|kept| kept.copy.is_some());
        let departure = match has_copy {
            true => Departure::Done,
            false => self.copy(key, seq, allowance, Others::GiveWay { spared }),
        };
        match departure {
            Departure::Done => {
                if let Some(emptied) = self.cache.leave(key) {
                    self.model.truncate(emptied, 0);
                    self.stats.swapped_out_total.fetch_add(1, Relaxed);
                }
            }
            Departure::Begun => {}
            Departure::Impossible => self.cache.stays(key),
        }
        departure
    }

    /// Goes on with a copy of the entry `key` in `seq`, as far as the allowance goes, and notes it once it
    /// is whole.
    fn copy(
        &mut self,
        key: Key,
        seq: SeqId,
        allowance: &mut Allowance,
        others: Others,
    ) -> Departure {
        if allowance.is_used_up() {
            return Departure::Begun;
        }
        // What there is of another one goes: it has no room beside this one.
        let mut leaving = match self.leaving.take().filter(|leaving| leaving.key == key) {
            Some(leaving) => leaving,
            None => {
                let size = self.model.swap_size(seq);
                if !self.make_swap_room(size, others) {
                    return Departure::Impossible;
                }
                Leaving { key, size, copy: Copied::default() }
            }
        };
        let Some(n_tokens) = self.cache.look_at(key).map(|kept| kept.tokens.len()) else {
            return Departure::Impossible;
        };
        let piece = allowance.piece().saturating_mul(n_tokens) / leaving.size.max(1);
        while leaving.copy.n_tokens() < n_tokens {
            let ends = *allowance != Allowance::Whatever && self.is_anybody_gone();
            if ends || allowance.is_used_up() {
                self.leaving = Some(leaving);
                return Departure::Begun;
            }
            let from = leaving.copy.n_tokens();
            let to = n_tokens.min(from + piece.max(1));
            let Some(bytes) = self.model.swap_out(seq, from..to) else {
                return Departure::Impossible;
            };
            allowance.spend(bytes.len());
            leaving.copy.push(to, bytes);
        }
        if !self.make_swap_room(leaving.copy.bytes(), others) {
            return Departure::Impossible;
        }
        self.cache.hold_copy(key, leaving.copy);
        Departure::Done
    }

    /// Makes room for a copy of `size` bytes beside `others`; whether there can be any.
    fn make_swap_room(&mut self, size: usize, others: Others) -> bool {
        let is_possible = size > 0 && size <= self.cache.cache_ram_bytes();
        if let Others::GiveWay { spared } = others
            && is_possible
        {
            self.cache.make_swap_room(size, spared);
        }
        is_possible && self.cache.has_swap_room(size)
    }

    fn drop_kept(&mut self, key: Key, seq: SeqId) {
        self.cache.remove(key);
        self.model.truncate(seq, 0);
    }
}
