//! A copy of a sequence's KV data in host RAM, in chunks of positions.
//!
//! The model exports the chunks and imports them. Their content is opaque here; only their sizes
//! and positions are known.

/// The KV data of a sequence, as exported by the model: consecutive chunks of positions.
///
/// Chunks bound how long a single export or import delays a step, and a request that shares a
/// prefix imports only the chunks that contain it.
#[derive(Debug, Default)]
pub(in crate::engine) struct HostCopy {
    /// For each chunk the position after its last position, and its data.
    chunks: Vec<(usize, Vec<u8>)>,
    /// Sum of the sizes of all chunks.
    bytes: usize,
}

impl HostCopy {
    /// Appends a chunk whose last position is `end - 1`.
    pub(in crate::engine) fn push(&mut self, end: usize, chunk: Vec<u8>) {
        self.bytes += chunk.len();
        self.chunks.push((end, chunk));
    }

    /// Number of positions in all chunks.
    pub(in crate::engine) fn n_tokens(&self) -> usize {
        self.chunks.last().map_or(0, |&(end, _)| end)
    }

    /// Bytes of all chunks.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The chunks that contain the first `n` positions.
    pub(in crate::engine) fn chunks(&self, n: usize) -> impl Iterator<Item = &[u8]> {
        let whole = self.chunks.partition_point(|&(end, _)| end < n);
        self.chunks.iter().take(whole + 1).map(|(_, chunk)| chunk.as_slice())
    }

    /// Number of positions in the chunks that contain the first `n`.
    pub(super) fn tokens_in_chunks(&self, n: usize) -> usize {
        let last = self.chunks.iter().map(|&(end, _)| end).find(|&end| end >= n);
        last.unwrap_or_else(|| self.n_tokens())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_up_to_a_position_are_returned_whole() {
        let mut copy = HostCopy::default();
        for (end, chunk) in [(4, vec![1; 4]), (8, vec![2; 4]), (10, vec![3; 2])] {
            copy.push(end, chunk);
        }
        assert_eq!((copy.n_tokens(), copy.bytes()), (10, 10));
        for (n, n_chunks, n_tokens) in [(1, 1, 4), (4, 1, 4), (5, 2, 8), (9, 3, 10), (10, 3, 10)] {
            let found = (copy.chunks(n).count(), copy.tokens_in_chunks(n));
            assert_eq!(found, (n_chunks, n_tokens), "{n}");
        }
    }
}
