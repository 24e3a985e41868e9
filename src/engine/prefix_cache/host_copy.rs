//! The copy of a sequence in ordinary memory, in pieces.

/// A copy of a sequence in ordinary memory: pieces that follow each other, each as the model gave it
/// out. So none of them holds up a step for long, and only those come back that are needed.
#[derive(Debug, Default)]
pub(in crate::engine) struct Copied {
    /// The position behind each piece, and the piece.
    pieces: Vec<(usize, Vec<u8>)>,
    bytes: usize,
}

impl Copied {
    /// Adds a piece that reaches to `end`.
    pub(in crate::engine) fn push(&mut self, end: usize, piece: Vec<u8>) {
        self.bytes += piece.len();
        self.pieces.push((end, piece));
    }

    /// How many positions it has.
    pub(in crate::engine) fn n_tokens(&self) -> usize {
        self.pieces.last().map_or(0, |&(end, _)| end)
    }

    /// Bytes of all pieces.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pieces that hold the first `n` positions.
    pub(in crate::engine) fn pieces(&self, n: usize) -> impl Iterator<Item = &[u8]> {
        let ahead = self.pieces.partition_point(|&(end, _)| end < n);
        self.pieces.iter().take(ahead + 1).map(|(_, piece)| piece.as_slice())
    }

    /// How many positions these hold.
    pub(super) fn reach(&self, n: usize) -> usize {
        let last = self.pieces.iter().map(|&(end, _)| end).find(|&end| end >= n);
        last.unwrap_or_else(|| self.n_tokens())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_copy_the_pieces_come_back_that_are_needed() {
        let mut copy = Copied::default();
        for (end, piece) in [(4, vec![1; 4]), (8, vec![2; 4]), (10, vec![3; 2])] {
            copy.push(end, piece);
        }
        assert_eq!((copy.n_tokens(), copy.bytes()), (10, 10));
        for (n, pieces, reach) in [(1, 1, 4), (4, 1, 4), (5, 2, 8), (9, 3, 10), (10, 3, 10)] {
            assert_eq!((copy.pieces(n).count(), copy.reach(n)), (pieces, reach), "{n}");
        }
    }
}
