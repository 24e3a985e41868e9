//! Copies a sequence from one slot to others, without keeping the copy.

use crate::engine::model::{Model, SeqId};

/// The exported state of a slot's sequence.
#[derive(Debug)]
pub(in crate::engine) struct Export {
    /// The slot that the state is from.
    pub(super) from: SeqId,
    state: Vec<u8>,
}

impl Export {
    /// Exports the sequence in the slot `from`; `None` if the model or the memory does not allow
    /// it.
    pub(super) fn of<M: Model>(model: &mut M, from: SeqId) -> Option<Self> {
        let size = model.export_size(from);
        let mut state = Vec::new();
        state.try_reserve_exact(size).ok()?;
        state.resize(size, 0);
        (size > 0 && model.export(from, &mut state)).then_some(Self { from, state })
    }

    /// Imports the sequence into the slot `to`, which is empty. False if that is not possible.
    pub(super) fn import<M: Model>(&self, model: &mut M, to: SeqId) -> bool {
        model.import(to, &self.state)
    }
}

/// Truncates the sequence in `slot` to `n` tokens, or empties it if the model cannot do that.
/// Returns the number of tokens that are left.
pub(super) fn cut<M: Model>(model: &mut M, slot: SeqId, n: usize) -> usize {
    if model.truncate(slot, n) {
        return n;
    }
    model.truncate(slot, 0);
    0
}
