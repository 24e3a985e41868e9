//! Which matrices ggml repacks for the CPU, and how large the repacked copies are.
//!
//! ggml computes some matrix types faster from a copy in another memory layout: tiles for AMX, or
//! interleaved rows for AVX2. The rules below follow its sources.

use llama_cpp_sys_2 as sys;

use super::tensor::TensorRole;

/// The properties of a matrix that ggml's choice of a memory layout depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    /// The ggml type.
    pub(super) type_id: u32,
    /// What the matrix is for.
    pub(super) role: TensorRole,
    /// Weights in a row.
    pub(super) columns: u64,
    /// Number of rows, within one matrix of a stack.
    pub(super) rows: u64,
    /// Size in the file, in bytes.
    pub(super) bytes: u64,
    /// Whether the tensor has a third dimension, which makes it a stack of matrices.
    pub(super) is_stack: bool,
}

impl Matrix {
    /// Size in bytes of the copy that ggml computes from; `None` if ggml computes from the layout
    /// of the file. For embeddings this holds only if they also serve as the output matrix.
    pub(super) fn repacked_bytes(&self, has_amx: bool) -> Option<u64> {
        let amx_bytes = if has_amx { self.amx_bytes() } else { None };
        amx_bytes.or_else(|| self.is_interleaved().then_some(self.bytes))
    }

    /// Whether llama.cpp would choose AMX tiles for this matrix and then abort.
    ///
    /// When it loads a matrix, llama.cpp asks whether AMX can multiply it with a dense matrix. The
    /// heads of latent attention are multiplied with a view instead, which AMX cannot do
    /// (`supports_op`), so creating the context aborts.
    pub(super) fn forbids_repacking(&self, has_amx: bool) -> bool {
        let single = Self { is_stack: false, ..*self };
        has_amx && self.is_stack && single.amx_bytes().is_some()
    }

    /// Size in bytes as AMX tiles (`ggml-cpu/amx`: rules in `supports_op`, sizes in
    /// `get_row_size`); `None` if AMX does not take the matrix.
    fn amx_bytes(&self) -> Option<u64> {
        let is_multiplied = match self.role {
            TensorRole::Layer(_)
            | TensorRole::Embedding
            | TensorRole::Output
            | TensorRole::Other => true,
            TensorRole::Experts(_) | TensorRole::Input => false,
        };
        // Weights in a block, and bytes that a block grows by.
        let (width, growth) = match self.type_id {
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
            && self.columns.is_multiple_of(width);
        let blocks = (self.columns / width).saturating_mul(self.rows);
        fits.then(|| self.bytes.saturating_add(blocks.saturating_mul(growth)))
    }

    /// Whether ggml interleaves groups of eight rows for AVX2
    /// (`ggml_repack_get_optimal_repack_type` in `ggml-cpu/repack.cpp`).
    fn is_interleaved(&self) -> bool {
        cfg!(target_feature = "avx2")
            && (matches!(self.role, TensorRole::Experts(_))
                || matches!(self.role, TensorRole::Layer(_)) && !self.is_stack)
            && matches!(self.type_id, sys::GGML_TYPE_Q4_0 | sys::GGML_TYPE_Q4_K)
            && self.rows.is_multiple_of(8)
    }
}

/// Whether ggml was built for a CPU with AMX.
pub(super) fn has_amx() -> bool {
    // SAFETY: the function returns a compile-time constant and has no precondition.
    unsafe { sys::ggml_cpu_has_amx_int8() != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(type_id: u32, role: TensorRole, bytes: u64) -> Matrix {
        Matrix { type_id, role, columns: 512, rows: 64, bytes, is_stack: false }
    }

    #[test]
    fn some_types_grow_by_a_few_bytes_per_block_as_amx_tiles() {
        let growth = |type_id| {
            matrix(type_id, TensorRole::Output, 100_000).repacked_bytes(true).map(|n| n - 100_000)
        };
        assert_eq!(growth(sys::GGML_TYPE_Q8_0), Some(64 * 16 * 4));
        assert_eq!(growth(sys::GGML_TYPE_Q4_K), Some(64 * 2 * 4));
        assert_eq!(growth(sys::GGML_TYPE_IQ4_XS), Some(64 * 2 * 2));
        assert_eq!(growth(sys::GGML_TYPE_Q6_K), Some(0));
        assert_eq!(growth(sys::GGML_TYPE_F16), Some(0));
        assert_eq!(growth(sys::GGML_TYPE_F32), None);
    }

    #[test]
    fn amx_takes_only_multiplied_matrices_of_whole_tiles() {
        let is_repacked = |role, rows| {
            let matrix = Matrix { rows, ..matrix(sys::GGML_TYPE_Q6_K, role, 1000) };
            matrix.repacked_bytes(true).is_some()
        };
        assert!(is_repacked(TensorRole::Layer(3), 64) && is_repacked(TensorRole::Embedding, 64));
        assert!(!is_repacked(TensorRole::Layer(3), 48), "a tile has 32 rows");
        assert!(!is_repacked(TensorRole::Experts(3), 64), "AMX has no kernel for experts");
        assert!(!is_repacked(TensorRole::Input, 64), "lookup tables are not multiplied");
    }

    #[test]
    fn stack_of_matrices_in_a_layer_forbids_repacking() {
        let stack = |type_id, role| Matrix { is_stack: true, ..matrix(type_id, role, 1000) };
        let heads = stack(sys::GGML_TYPE_Q8_0, TensorRole::Layer(0));
        assert!(heads.forbids_repacking(true) && !heads.forbids_repacking(false));
        assert_eq!(heads.repacked_bytes(true), None);
        let f32_heads = stack(sys::GGML_TYPE_F32, TensorRole::Layer(0));
        assert!(!f32_heads.forbids_repacking(true), "AMX does not take this type");
        assert!(!stack(sys::GGML_TYPE_Q8_0, TensorRole::Experts(0)).forbids_repacking(true));
        let single = matrix(sys::GGML_TYPE_Q8_0, TensorRole::Layer(0), 1000);
        assert!(!single.forbids_repacking(true));
    }

    #[test]
    fn only_four_bit_layers_are_repacked_without_amx_and_keep_their_size() {
        let repacked = |type_id, role| matrix(type_id, role, 1000).repacked_bytes(false);
        let interleaved = cfg!(target_feature = "avx2").then_some(1000);
        assert_eq!(repacked(sys::GGML_TYPE_Q4_K, TensorRole::Layer(0)), interleaved);
        assert_eq!(repacked(sys::GGML_TYPE_Q4_K, TensorRole::Experts(0)), interleaved);
        assert_eq!(repacked(sys::GGML_TYPE_Q4_K, TensorRole::Embedding), None);
        assert_eq!(repacked(sys::GGML_TYPE_Q6_K, TensorRole::Layer(0)), None);
    }
}
