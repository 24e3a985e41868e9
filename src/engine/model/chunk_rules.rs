//! How the size of a chunk changes the numbers that a model computes.
//!
//! Kernels for many tokens sum in another order than kernels for few, and the sums differ in their
//! last bits. At temperature 0 that can change a text. A prompt that is asked again therefore gets
//! the same answer only if each of its tokens is computed by the same kernels again, whichever part
//! of it is in the KV cache already. [`ChunkRules`] divides a prompt accordingly. (ADR-0027)

/// How a model's prompts are to be divided into chunks, so that the same prompt always gives the
/// same numbers.
///
/// With tiles, a prompt has two parts. The *body* is computed in chunks of at least
/// [`tile_tokens`](Self::tile_tokens), the *tail* after it in smaller ones. The default has one
/// token as its unit: any division gives the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRules {
    /// Chunks begin at multiples of this many tokens.
    pub align: usize,
    /// The last chunk of a prompt has at least this many tokens, unless the prompt is shorter.
    pub min_tokens: usize,
    /// Chunks of this many tokens or more give other numbers than smaller chunks; `None` if the
    /// size does not matter. A multiple of `min_tokens`, which is a multiple of `align`.
    pub tile_tokens: Option<usize>,
}

impl Default for ChunkRules {
    fn default() -> Self {
        Self { align: 1, min_tokens: 1, tile_tokens: None }
    }
}

impl ChunkRules {
    /// Number of first tokens of a prompt of `n_prompt` tokens that are computed in tiles. A prompt
    /// shorter than a tile has no body, and one that is hardly longer has no tail.
    pub fn body(self, n_prompt: usize) -> usize {
        match self.tile_tokens {
            Some(tile) if n_prompt >= tile + self.min_tokens => {
                round_down(n_prompt - self.min_tokens, self.min_tokens)
            }
            Some(tile) if n_prompt >= tile => n_prompt,
            Some(_) | None => 0,
        }
    }

    /// Whether a chunk of `n` tokens is computed in tiles.
    pub fn is_tiled(self, n: usize) -> bool {
        self.tile_tokens.is_some_and(|tile| n >= tile)
    }

    /// Number of tokens of the next chunk of a prompt of `n_prompt` tokens, of which the first
    /// `n_computed` are computed: about `wanted` tokens, at most `limit`, and at least one.
    pub fn chunk(self, n_computed: usize, n_prompt: usize, wanted: usize, limit: usize) -> usize {
        let left = n_prompt.saturating_sub(n_computed);
        let wanted = wanted.min(limit);
        let Some(tile) = self.tile_tokens else { return self.cut(left, wanted) };
        let body_left = self.body(n_prompt).saturating_sub(n_computed);
        if body_left < tile || limit < 2 * tile {
            return self.cut(left, wanted.min(tile - 1));
        }
        // What is left of the body afterwards is either nothing or enough for another tile.
        if body_left < 2 * tile {
            return body_left;
        }
        round_down(wanted, self.align).clamp(tile, body_left - tile)
    }

    /// Number of first tokens that a prompt of `n_prompt` tokens reuses of a sequence that shares
    /// `n_shared` tokens with it and was computed as `record` says.
    ///
    /// The rest of the prompt is then computed as it is without reuse. There are two exceptions: a
    /// conversation that goes on reuses its answers, which were computed token by token, and a
    /// prompt that was computed in other chunks, beside other requests, is reused as it is.
    pub fn reusable(self, n_shared: usize, n_prompt: usize, record: PrefillRecord) -> usize {
        let most = round_down(n_shared.min(n_prompt.saturating_sub(self.min_tokens)), self.align);
        let Some(tile) = self.tile_tokens else { return most };
        let PrefillRecord { n_tiled, n_prompt: n_source_prompt } = record;
        let goes_on = most > n_source_prompt;
        let is_regular = n_tiled == self.body(n_source_prompt);
        let body = self.body(n_prompt);
        if body == 0 {
            return if n_tiled == 0 { most } else { 0 };
        }
        if goes_on || !is_regular {
            return most;
        }
        let reused = most.min(body).min(n_tiled);
        let is_tile_left = body - reused >= tile || body == reused;
        if is_tile_left { reused } else { round_down(body - tile, self.align) }
    }

    /// Largest number of first tokens that a prompt of `n_prompt` tokens reuses of a sequence that
    /// shares `n_shared` tokens with it, if the numbers need not be the same: all but the last
    /// token, whose logits give the first token of the answer.
    pub fn longest(self, n_shared: usize, n_prompt: usize) -> usize {
        n_shared.min(n_prompt.saturating_sub(1))
    }

    /// A chunk of `left` tokens, or of at most `max` so that the last one is not too short.
    fn cut(self, left: usize, max: usize) -> usize {
        if left <= max {
            return left;
        }
        let most = max.min(left.saturating_sub(self.min_tokens)).max(1);
        if most < self.align { most } else { round_down(most, self.align) }
    }
}

/// How the tokens of a sequence were computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefillRecord {
    /// Number of first tokens that were computed in tiles.
    pub n_tiled: usize,
    /// Number of first tokens that were a prompt. The others were generated.
    pub n_prompt: usize,
}

impl PrefillRecord {
    /// The record of the first `n` tokens.
    pub fn first(self, n: usize) -> Self {
        Self { n_tiled: self.n_tiled.min(n), n_prompt: self.n_prompt.min(n) }
    }
}

/// The largest multiple of `unit` that is at most `n`.
fn round_down(n: usize, unit: usize) -> usize {
    n / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILED: ChunkRules = ChunkRules { align: 4, min_tokens: 16, tile_tokens: Some(64) };
    const FLAT: ChunkRules = ChunkRules { tile_tokens: None, ..TILED };

    /// The chunks of a prompt whose first `start` tokens are computed, about `wanted` at once.
    fn chunks(rules: ChunkRules, start: usize, n_prompt: usize, wanted: usize) -> Vec<usize> {
        let mut n_computed = start;
        let next = || {
            let n = rules.chunk(n_computed, n_prompt, wanted, 512);
            n_computed += n;
            (n > 0).then_some(n)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn prompt_is_divided_into_a_body_in_tiles_and_a_short_tail() {
        for (start, n_prompt, wanted, expected) in [
            (0, 1, 512, vec![1]),
            (0, 63, 512, vec![63]),
            (0, 64, 512, vec![64]),
            (0, 79, 20, vec![79]),
            (0, 80, 512, vec![64, 16]),
            (0, 100, 512, vec![80, 20]),
            (0, 600, 512, vec![512, 64, 24]),
            (0, 570, 512, vec![480, 64, 26]),
            (0, 200, 70, vec![68, 108, 24]),
            (0, 200, 20, vec![64, 112, 8, 16]),
            (80, 100, 512, vec![20]),
            (64, 150, 512, vec![64, 22]),
        ] {
            let chunks = chunks(TILED, start, n_prompt, wanted);
            assert_eq!(chunks, expected, "{start} {n_prompt} {wanted}");
        }
        assert_eq!(chunks(FLAT, 0, 600, 512), [512, 88]);
        assert_eq!(chunks(FLAT, 0, 520, 512), [504, 16]);
        assert_eq!(chunks(ChunkRules::default(), 0, 520, 512), [512, 8]);
    }

    #[test]
    fn reuse_leaves_the_rest_of_a_prompt_to_the_same_kernels() {
        for (n_shared, n_prompt, n_tiled, n_source_prompt, expected) in [
            // The same prompt again: the tail is computed again.
            (100, 100, 80, 100, 80),
            (60, 60, 0, 60, 44),
            // A longer prompt: only what lies in the body is reused.
            (100, 300, 80, 100, 80),
            (90, 150, 64, 90, 64),
            (90, 170, 64, 90, 64),
            (100, 150, 80, 100, 64),
            (70, 70, 70, 70, 4),
            // A short prompt has no body.
            (40, 60, 80, 100, 0),
            (40, 60, 0, 50, 40),
            // A prompt with a body shares little with a short one.
            (40, 100, 0, 50, 0),
            // A conversation goes on: its answers are reused, and the same prompt again as well.
            (180, 220, 80, 100, 180),
            (50, 100, 0, 30, 48),
            (220, 220, 80, 220, 204),
            // Beside other requests a prompt was computed in small chunks.
            (300, 300, 0, 300, 284),
        ] {
            let record = PrefillRecord { n_tiled, n_prompt: n_source_prompt };
            let reused = TILED.reusable(n_shared, n_prompt, record);
            assert_eq!(reused, expected, "{n_shared} {n_prompt} {n_tiled} {n_source_prompt}");
        }
        assert_eq!(FLAT.reusable(100, 100, PrefillRecord::default()), 84);
        assert_eq!(FLAT.reusable(50, 100, PrefillRecord::default()), 48);
        assert_eq!(ChunkRules::default().reusable(99, 100, PrefillRecord::default()), 99);
    }
}
