//! Which matrices ggml keeps for the processor in another order than the file's, and how large they
//! are then.

use llama_cpp_sys_2 as sys;

use super::header::Part;

/// A matrix, as far as its order depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    /// Id of its type in ggml.
    pub(super) kind: u32,
    pub(super) part: Part,
    /// Weights in a row.
    pub(super) row: u64,
    /// Rows, of one where it is a stack.
    pub(super) rows: u64,
    /// Bytes in the file.
    pub(super) bytes: u64,
    /// Whether it is one of several behind each other.
    pub(super) is_stack: bool,
}

impl Matrix {
    /// Bytes of the copy that is computed from; `None` where it is the file's own order. Embeddings
    /// have one where they are also the output matrix.
    pub(super) fn copy(&self, has_amx: bool) -> Option<u64> {
        let for_tiles = if has_amx { self.for_tiles() } else { None };
        for_tiles.or_else(|| self.is_interleaved().then_some(self.bytes))
    }

    /// For AMX (`ggml-cpu/amx`: the rules are in `supports_op`, the sizes in `get_row_size`).
    fn for_tiles(&self) -> Option<u64> {
        let is_multiplied = match self.part {
            Part::Layer(_) | Part::Embedding | Part::Output | Part::Other => true,
            Part::Experts(_) | Part::Input => false,
        };
        // Weights that are taken at once, and bytes that are added to each so many.
        let (width, more) = match self.kind {
            sys::GGML_TYPE_Q4_0 | sys::GGML_TYPE_Q4_1 => (32, 0),
            sys::GGML_TYPE_Q8_0 => (32, 4),
            sys::GGML_TYPE_Q4_K | sys::GGML_TYPE_Q5_K => (256, 4),
            sys::GGML_TYPE_Q6_K => (256, 0),
            sys::GGML_TYPE_IQ4_XS => (256, 2),
            sys::GGML_TYPE_F16 => (16, 0),
            _ => return None,
        };
        let fits = is_multiplied
            && !self.is_stack
            && self.rows.is_multiple_of(32)
            && self.row.is_multiple_of(width);
        let blocks = (self.row / width).saturating_mul(self.rows);
        fits.then(|| self.bytes.saturating_add(blocks.saturating_mul(more)))
    }

    /// Whether llama.cpp would keep it for tiles and then find nobody who computes it: it asks whether
    /// the product with a dense matrix can be computed, but the heads of a latent attention are
    /// multiplied with a view (`supports_op` again), and making the context aborts.
    pub(super) fn breaks_tiles(&self, has_amx: bool) -> bool {
        let one = Self { is_stack: false, ..*self };
        has_amx && self.is_stack && one.for_tiles().is_some()
    }

    /// For AVX2: rows of eight interleaved (`ggml_repack_get_optimal_repack_type` in
    /// `ggml-cpu/repack.cpp`).
    fn is_interleaved(&self) -> bool {
        cfg!(target_feature = "avx2")
            && (matches!(self.part, Part::Experts(_))
                || matches!(self.part, Part::Layer(_)) && !self.is_stack)
            && matches!(self.kind, sys::GGML_TYPE_Q4_0 | sys::GGML_TYPE_Q4_K)
            && self.rows.is_multiple_of(8)
    }
}

/// Whether ggml was built for a processor with AMX.
pub(super) fn has_amx() -> bool {
    // SAFETY: tells what it was compiled with; no precondition.
    unsafe { sys::ggml_cpu_has_amx_int8() != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(kind: u32, part: Part, bytes: u64) -> Matrix {
        Matrix { kind, part, row: 512, rows: 64, bytes, is_stack: false }
    }

    #[test]
    fn for_tiles_some_types_grow_by_a_few_bytes_a_block() {
        let grown = |kind| matrix(kind, Part::Output, 100_000).copy(true).map(|n| n - 100_000);
        assert_eq!(grown(sys::GGML_TYPE_Q8_0), Some(64 * 16 * 4));
        assert_eq!(grown(sys::GGML_TYPE_Q4_K), Some(64 * 2 * 4));
        assert_eq!(grown(sys::GGML_TYPE_IQ4_XS), Some(64 * 2 * 2));
        assert_eq!(grown(sys::GGML_TYPE_Q6_K), Some(0));
        assert_eq!(grown(sys::GGML_TYPE_F16), Some(0));
        assert_eq!(grown(sys::GGML_TYPE_F32), None);
    }

    #[test]
    fn tiles_are_for_what_is_multiplied_and_fills_them() {
        let of = |part, rows| {
            Matrix { rows, ..matrix(sys::GGML_TYPE_Q6_K, part, 1000) }.copy(true).is_some()
        };
        assert!(of(Part::Layer(3), 64) && of(Part::Embedding, 64));
        assert!(!of(Part::Layer(3), 48), "rows are taken by 32");
        assert!(!of(Part::Experts(3), 64) && !of(Part::Input, 64), "others do not use them");
    }

    #[test]
    fn stacks_of_layers_break_tiles() {
        let stack = |kind, part| Matrix { is_stack: true, ..matrix(kind, part, 1000) };
        let heads = stack(sys::GGML_TYPE_Q8_0, Part::Layer(0));
        assert!(heads.breaks_tiles(true) && !heads.breaks_tiles(false));
        assert_eq!(heads.copy(true), None);
        assert!(!stack(sys::GGML_TYPE_F32, Part::Layer(0)).breaks_tiles(true), "never in tiles");
        assert!(!stack(sys::GGML_TYPE_Q8_0, Part::Experts(0)).breaks_tiles(true));
        assert!(!matrix(sys::GGML_TYPE_Q8_0, Part::Layer(0), 1000).breaks_tiles(true));
    }

    #[test]
    fn without_amx_only_layers_of_four_bits_are_copied_and_do_not_grow() {
        let copy = |kind, part| matrix(kind, part, 1000).copy(false);
        let interleaved = cfg!(target_feature = "avx2").then_some(1000);
        assert_eq!(copy(sys::GGML_TYPE_Q4_K, Part::Layer(0)), interleaved);
        assert_eq!(copy(sys::GGML_TYPE_Q4_K, Part::Experts(0)), interleaved);
        assert_eq!(copy(sys::GGML_TYPE_Q4_K, Part::Embedding), None);
        assert_eq!(copy(sys::GGML_TYPE_Q6_K, Part::Layer(0)), None);
    }
}
