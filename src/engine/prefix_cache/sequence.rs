//! A cached sequence, and where its KV data is.

use crate::domain::Token;
use crate::engine::model::SeqId;

use super::HostCopy;

/// Identifies a cached sequence for as long as it is cached.
pub(in crate::engine) type CacheKey = u64;

/// A finished sequence whose KV data is cached.
///
/// Where the data is follows from `seq` and `copy`:
///
/// | residency | `seq` | `copy` | `may_swap_out` |
/// |---|---|---|---|
/// | resident: in the KV cache only | `Some` | `None` | usually true |
/// | mirrored: in the KV cache, with a copy in host RAM | `Some` | `Some` | usually true |
/// | swapped out: in host RAM only | `None` | `Some` | false |
///
/// A sequence with neither is removed. A resident sequence becomes mirrored when its copy is
/// complete, and swapped out when a mirrored one is dropped from the KV cache. A mirrored sequence
/// that loses its copy is resident again. A swapped-out sequence never returns as such: the slot
/// that reuses it imports the copy, and the finished slot is cached as a new sequence. While the
/// scheduler is still copying a sequence, that sequence is resident.
#[derive(Debug)]
pub(in crate::engine) struct CachedSequence {
    /// Identifies the sequence in the cache.
    pub(super) key: CacheKey,
    /// All tokens whose KV data is cached.
    pub(in crate::engine) tokens: Vec<Token>,
    /// The sequence in the KV cache that holds the data, if any.
    pub(in crate::engine) seq: Option<SeqId>,
    /// The copy in host RAM, if any.
    pub(in crate::engine) copy: Option<HostCopy>,
    /// The cache's number of uses when the sequence was last used.
    pub(super) last_used: u64,
    /// Whether the sequence is in the KV cache and swapping it out may be tried. False without host
    /// RAM for copies, and after a failed attempt.
    pub(super) may_swap_out: bool,
}

impl CachedSequence {
    /// Number of tokens that have to be imported into the KV cache to use the first `n`: whole
    /// chunks of the copy, or 0 if the sequence is in the KV cache.
    pub(in crate::engine) fn n_to_import(&self, n: usize) -> usize {
        let copy = self.copy.as_ref().filter(|_| self.seq.is_none());
        copy.map_or(0, |copy| copy.tokens_in_chunks(n))
    }
}

/// Length of the common prefix of two token sequences.
pub(in crate::engine) fn common_prefix(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
