//! A cached sequence.

use crate::domain::Token;
use crate::engine::model::PrefillRecord;

use super::residency::{HostCopy, Residency};

/// Identifies a cached sequence for as long as it is cached.
pub(in crate::engine) type CacheKey = u64;

/// The sequence of a finished request, which later requests may share a prefix with.
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
}

impl CachedSequence {
    /// Bytes of the copy in host RAM; 0 without one.
    pub(super) fn copy_bytes(&self) -> usize {
        self.residency.copy().map_or(0, HostCopy::len)
    }
}

/// Length of the common prefix of two token sequences.
pub(in crate::engine) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
