//! A cached sequence, and whose it is.

use crate::domain::Token;
use crate::engine::model::PrefillRecord;

use super::residency::{HostCopy, Residency};

/// Identifies a cached sequence for as long as it is cached.
pub(in crate::engine) type CacheKey = u64;

/// The sequence of a finished request, which later requests may share a prefix with, or of a
/// suspended one.
#[derive(Debug)]
pub(super) struct CachedSequence {
    /// Identifies the sequence.
    pub(super) key: CacheKey,
    /// All tokens whose KV data is cached.
    pub(super) tokens: Vec<Token>,
    /// How the tokens were computed.
    pub(super) record: PrefillRecord,
    /// Where the KV data is.
    pub(super) residency: Residency,
    /// The cache's number of uses when the sequence was last used.
    pub(super) last_used: u64,
    /// Whether a copy may be tried. False after an attempt that failed.
    pub(super) may_copy: bool,
    /// Whether a suspended request goes on from the sequence.
    pub(super) owner: Owner,
}

/// Whose a cached sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Its request has finished.
    Nobody,
    /// A suspended request, which lets others reuse the sequence.
    Sharing,
    /// A suspended request, which alone may use the sequence.
    Alone,
}

impl CachedSequence {
    /// Whether a suspended request goes on from the sequence.
    pub(super) fn is_kept(&self) -> bool {
        self.owner != Owner::Nobody
    }

    /// The tokens that other requests may reuse.
    pub(super) fn shared_tokens(&self) -> &[Token] {
        if self.owner == Owner::Alone { &[] } else { &self.tokens }
    }

    /// Bytes of the copy in host RAM; 0 without one.
    pub(super) fn copy_bytes(&self) -> usize {
        self.residency.copy().map_or(0, HostCopy::len)
    }
}

/// Length of the common prefix of two token sequences.
pub(in crate::engine) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
