//! Where a cached sequence is: in a slot, in host RAM, or in both.

use crate::engine::model::SeqId;

/// Where the KV data of a cached sequence is.
///
/// | from | event | to |
/// |---|---|---|
/// | in a slot | its copy is complete | mirrored |
/// | in a slot | another request takes the slot | removed |
/// | mirrored | another request takes the slot | in host RAM |
/// | mirrored | the copy is dropped | in a slot |
/// | in host RAM | the copy is dropped | removed |
///
/// A sequence in host RAM never returns as such: the slot that reuses it imports the copy, and what
/// the slot holds in the end is cached as a new sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Residency {
    /// In a slot only.
    Slot(SeqId),
    /// In a slot, with a copy in host RAM.
    Mirrored(SeqId, HostCopy),
    /// In host RAM only.
    Host(HostCopy),
}

/// A copy of a sequence in host RAM, as [`Model::export`](crate::engine::model::Model::export) has
/// written it.
pub(super) type HostCopy = Vec<u8>;

impl Residency {
    /// The slot that holds the sequence.
    pub(super) fn slot(&self) -> Option<SeqId> {
        match *self {
            Self::Slot(slot) | Self::Mirrored(slot, _) => Some(slot),
            Self::Host(_) => None,
        }
    }

    /// The copy in host RAM.
    pub(super) fn copy(&self) -> Option<&HostCopy> {
        match self {
            Self::Slot(_) => None,
            Self::Mirrored(_, copy) | Self::Host(copy) => Some(copy),
        }
    }

    /// After a copy is complete.
    pub(super) fn mirror(self, copy: HostCopy) -> Self {
        match self {
            Self::Slot(slot) | Self::Mirrored(slot, _) => Self::Mirrored(slot, copy),
            Self::Host(_) => Self::Host(copy),
        }
    }

    /// After another request has taken the slot; `None` if nothing is left.
    pub(super) fn leave_slot(self) -> Option<Self> {
        match self {
            Self::Slot(_) => None,
            Self::Mirrored(_, copy) | Self::Host(copy) => Some(Self::Host(copy)),
        }
    }

    /// After the copy was dropped; `None` if nothing is left.
    pub(super) fn drop_copy(self) -> Option<Self> {
        match self {
            Self::Slot(slot) | Self::Mirrored(slot, _) => Some(Self::Slot(slot)),
            Self::Host(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_leads_from_each_residency_to_the_one_in_the_table() {
        let slot = || Residency::Slot(3);
        let mirrored = || Residency::Mirrored(3, vec![1]);
        let host = || Residency::Host(vec![1]);
        for (from, mirror, leave_slot, drop_copy) in [
            (slot as fn() -> Residency, mirrored(), None, Some(slot())),
            (mirrored, mirrored(), Some(host()), Some(slot())),
            (host, host(), Some(host()), None),
        ] {
            assert_eq!(from().mirror(vec![1]), mirror);
            assert_eq!(from().leave_slot(), leave_slot);
            assert_eq!(from().drop_copy(), drop_copy);
        }
        assert_eq!((slot().slot(), mirrored().slot(), host().slot()), (Some(3), Some(3), None));
        assert_eq!((slot().copy(), mirrored().copy()), (None, Some(&vec![1])));
    }
}
