//! Divides a step into passes that llama.cpp computes one after another.
//!
//! llama.cpp computes several slots in one pass if they are neighbours and have equally many
//! tokens; otherwise it divides the batch by itself, token by token. So every chunk of a prompt
//! gets a pass of its own, and all decoding slots get one together, the last one. If it has gaps
//! of few idle slots, each of these gets a *filler*, a token that is dropped after the pass: that
//! costs less than another pass. (ADR-0029)

use crate::engine::{BatchToken, MAX_SLOT_GAP, SeqId};

/// The tokens that are computed in one pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// The tokens, with the slots in ascending order.
    pub(super) tokens: Vec<BatchToken>,
    /// The outputs: the index of a token in the step, and its index in `tokens`.
    pub(super) outputs: Vec<(usize, usize)>,
    /// The slots with a filler, and the positions of the fillers.
    pub(super) fillers: Vec<(SeqId, usize)>,
}

impl Pass {
    fn new() -> Self {
        Self { tokens: Vec::new(), outputs: Vec::new(), fillers: Vec::new() }
    }

    /// Adds the tokens of one slot, which begin at index `first` of the step.
    fn add(&mut self, first: usize, tokens: &[BatchToken]) {
        for (i, token) in tokens.iter().enumerate() {
            if token.has_output {
                self.outputs.push((first + i, self.tokens.len()));
            }
            self.tokens.push(*token);
        }
    }
}

/// The passes of a step with `tokens`, in which the tokens of each slot are next to each other.
/// `filler_position` says where a slot can take a filler, after the given number of tokens that the
/// step computes for it before.
pub(super) fn passes(
    tokens: &[BatchToken],
    filler_position: impl Fn(SeqId, usize) -> Option<usize>,
) -> Vec<Pass> {
    let mut passes = Vec::new();
    let mut decoding: Vec<(usize, &[BatchToken])> = Vec::new();
    let mut first = 0;
    for slot in tokens.chunk_by(|a, b| a.seq == b.seq) {
        if slot.iter().all(|token| token.has_output) {
            decoding.push((first, slot));
        } else {
            let mut pass = Pass::new();
            pass.add(first, slot);
            passes.push(pass);
        }
        first += slot.len();
    }
    decoding.sort_by_key(|(_, slot)| slot[0].seq);
    let may_fill = decoding.iter().all(|(_, slot)| slot.len() == 1);
    let filler = |slot: SeqId| {
        let n_before = tokens.iter().filter(|token| token.seq == slot).count();
        Some((slot, filler_position(slot, n_before)?))
    };
    let mut pass = Pass::new();
    for (first, slot) in decoding {
        if let Some(last) = pass.tokens.last().filter(|_| may_fill) {
            let gap = last.seq + 1..slot[0].seq;
            let fillers: Option<Vec<(SeqId, usize)>> = gap.clone().map(filler).collect();
            for (seq, pos) in fillers.filter(|_| gap.len() <= MAX_SLOT_GAP).unwrap_or_default() {
                pass.tokens.push(BatchToken { token: FILLER_TOKEN, pos, seq, has_output: false });
                pass.fillers.push((seq, pos));
            }
        }
        pass.add(first, slot);
    }
    if !pass.tokens.is_empty() {
        passes.push(pass);
    }
    passes
}

/// The token of a filler. Every vocabulary has it, and its results are not used.
const FILLER_TOKEN: i32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(seq: SeqId, pos: usize, has_output: bool) -> BatchToken {
        BatchToken { token: 7, pos, seq, has_output }
    }

    /// For each pass its slots, in the order of the tokens.
    fn slots(tokens: &[BatchToken]) -> Vec<Vec<SeqId>> {
        let passes = passes(tokens, |slot, _| (slot != 9).then_some(100));
        passes.iter().map(|pass| pass.tokens.iter().map(|token| token.seq).collect()).collect()
    }

    #[test]
    fn chunk_of_a_prompt_is_computed_before_the_decoding_slots() {
        let step = [token(0, 5, true), token(1, 0, false), token(1, 1, true), token(2, 8, true)];
        let found = passes(&step, |_, _| None);
        assert_eq!(found[0].tokens, step[1..3]);
        assert_eq!(found[0].outputs, [(2, 1)]);
        assert_eq!(found[1].tokens, [step[0], step[3]]);
        assert_eq!(found[1].outputs, [(0, 0), (3, 1)]);
        assert_eq!(found.len(), 2);
        let found = passes(&step, |_, n_before| Some(n_before));
        assert_eq!(found[1].fillers, [(1, 2)], "after the chunk");
    }

    #[test]
    fn idle_slots_in_small_gaps_get_fillers() {
        let decoding = |slots: &[SeqId]| -> Vec<BatchToken> {
            slots.iter().map(|&slot| token(slot, 5, true)).collect()
        };
        assert_eq!(slots(&decoding(&[0, 1])), [[0, 1]]);
        assert_eq!(slots(&decoding(&[0, 3])), [[0, 1, 2, 3]]);
        assert_eq!(slots(&decoding(&[0, 4])), [[0, 4]], "a gap of three slots");
        assert_eq!(slots(&decoding(&[8, 10])), [[8, 10]], "slot 9 takes no filler");
        assert_eq!(slots(&decoding(&[3, 1])), [[1, 2, 3]], "slots are put in order");
        let with_draft = [token(0, 5, true), token(0, 6, true), token(2, 5, true)];
        assert_eq!(slots(&with_draft), [[0, 0, 2]]);
        let found = passes(&decoding(&[0, 2]), |_, _| Some(100));
        assert_eq!(
            (&found[0].fillers[..], &found[0].outputs[..]),
            (&[(1, 100)][..], &[(0, 0), (1, 2)][..])
        );
    }
}
