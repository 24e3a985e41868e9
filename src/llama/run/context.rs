//! A llama.cpp context: its KV cache, its batch and its logits (ADR-0002).
//!
//! llama.cpp aborts the process on most invalid arguments, so every method checks what it passes
//! on. A [`Context`] is not `Send`: it is created, used and dropped on the engine thread.
//!
//! Sequence ids of the engine and of llama.cpp differ. llama.cpp exports and imports only sequences
//! that can be decoded, so the first id after the slots is the *staging sequence*: a sequence to
//! export is copied there first, and an imported one arrives there. The ids of cached sequences
//! follow. The staging sequence is empty between calls.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::{Batch, BatchToken, DecodeOutcome, Interrupt, SeqId};
use crate::llama::fit::KvType;
use crate::llama::model_ptr::model_ptr;

/// How to create a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct ContextOptions {
    /// Size of the KV cache in tokens.
    pub(in crate::llama) kv_tokens: u32,
    /// Maximum number of tokens in a step.
    pub(in crate::llama) n_ubatch: u32,
    /// Number of sequences that can be decoded.
    pub(in crate::llama) n_slots: u32,
    /// Whether sequences can be swapped out, which needs a staging sequence.
    pub(in crate::llama) can_swap: bool,
    /// Maximum number of outputs in a step.
    pub(in crate::llama) n_outputs: u32,
    /// Number of threads that compute on the CPU.
    pub(in crate::llama) n_threads: i32,
    /// The data type of the KV cache.
    pub(in crate::llama) kv_type: KvType,
    /// Whether layers are on a GPU. If not, neither the KV cache nor any operation is.
    pub(in crate::llama) is_offloaded: bool,
    /// Whether to use flash attention; `None` leaves the choice to llama.cpp, which uses it if the
    /// backend supports it.
    pub(in crate::llama) flash_attention: Option<bool>,
}

/// A context and its batch.
pub(in crate::llama) struct Context {
    context: NonNull<sys::llama_context>,
    batch: NonNull<sys::llama_batch_ext>,
    /// The [`Interrupt`] that the abort callback checks; null between steps. The context stores a
    /// pointer to this atomic, which must not move. An `Arc` allows such an alias, a `Box` does
    /// not.
    interrupt: Arc<AtomicPtr<c_void>>,
    options: ContextOptions,
    n_vocab: usize,
    /// Indices of the tokens of the last step that have logits.
    outputs: Vec<usize>,
    /// Must outlive the context, which points into it.
    _model: Arc<LlamaModel>,
}

impl Context {
    /// Creates a context; `None` if llama.cpp failed, which logged why.
    pub(in crate::llama) fn new(model: Arc<LlamaModel>, options: ContextOptions) -> Option<Self> {
        let interrupt = Arc::new(AtomicPtr::new(ptr::null_mut()));
        let mut params = context_params(&options);
        params.abort_callback = Some(is_interrupted);
        params.abort_callback_data = Arc::as_ptr(&interrupt).cast_mut().cast();

        // SAFETY: the model is loaded. It and the atomic that the callback reads are owned by the
        // returned value, whose `Drop` frees the context before they are dropped.
        let context = unsafe { sys::llama_init_from_model(model_ptr(&model), params) };
        let context = NonNull::new(context)?;
        // SAFETY: the context has just been created and not been freed.
        let batch = unsafe { sys::llama_batch_ext_init(context.as_ptr()) };
        let Some(batch) = NonNull::new(batch) else {
            // SAFETY: created above, unused, and not freed elsewhere, since this returns.
            unsafe { sys::llama_free(context.as_ptr()) };
            return None;
        };
        let n_vocab = usize::try_from(model.n_vocab()).ok()?;
        let outputs = Vec::new();
        Some(Self { context, batch, interrupt, options, n_vocab, outputs, _model: model })
    }

    /// Computes one step.
    pub(super) fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        self.outputs.clear();
        if let Err(reason) = self.fill(batch) {
            return DecodeOutcome::Failed(reason);
        }
        self.interrupt.store(ptr::from_ref(interrupt).cast_mut().cast(), Ordering::Release);
        // SAFETY: the batch was created for this context, and `fill` has checked its tokens. It has
        // at most `n_batch` tokens and `n_outputs_max` outputs, which llama.cpp asserts. The
        // interrupt outlives the call, and the pointer to it is reset below.
        let code = unsafe {
            sys::llama_process(
                self.context.as_ptr(),
                sys::LLAMA_PROCESS_TYPE_DECODE,
                self.batch.as_ptr(),
            )
        };
        if code == 0 {
            // GPUs compute asynchronously, and llama.cpp would wait for them only when the first
            // logits are read. Waiting here makes the time of the step, or a hanging GPU, visible.
            // SAFETY: the context has not been freed.
            unsafe { sys::llama_synchronize(self.context.as_ptr()) };
        } else {
            // llama.cpp still has the logits of an earlier step.
            self.outputs.clear();
        }
        self.interrupt.store(ptr::null_mut(), Ordering::Release);
        match code {
            0 => DecodeOutcome::Done,
            2 => DecodeOutcome::Cancelled,
            1 => DecodeOutcome::Failed("the step does not fit into the KV cache".to_owned()),
            code => {
                DecodeOutcome::Failed(format!("llama.cpp could not compute the step (code {code})"))
            }
        }
    }

    /// Copies `batch` into llama.cpp's batch.
    ///
    /// # Errors
    /// If the batch exceeds the limits of the context, or contains a token, position or sequence
    /// that is out of range.
    fn fill(&mut self, batch: &Batch) -> Result<(), String> {
        let n_outputs = batch.tokens.iter().filter(|token| token.has_output).count();
        // llama.cpp limits its `n_batch` to the number of cells.
        let n_batch = self.options.n_ubatch.min(self.options.kv_tokens);
        if batch.tokens.is_empty()
            || batch.tokens.len() > n_batch as usize
            || n_outputs > self.options.n_outputs as usize
        {
            return Err("the step has an invalid number of tokens or outputs".to_owned());
        }
        let raw = self.batch.as_ptr();
        // SAFETY: the batch is owned by `self` and has not been freed.
        unsafe { sys::llama_batch_ext_clear(raw) };
        for (i, &BatchToken { token, pos, seq, has_output }) in batch.tokens.iter().enumerate() {
            let is_token = usize::try_from(token).is_ok_and(|id| id < self.n_vocab);
            let pos = i32::try_from(pos).ok().filter(|_| is_token && seq < self.options.n_slots);
            let Some(pos) = pos else {
                return Err(format!(
                    "the step has a token, position or slot out of range ({token})"
                ));
            };
            // SAFETY: the batch is owned by `self` and has not been freed. Token and sequence were
            // checked above, the index is the one that the first call returned, and `pos` outlives
            // the call that reads it.
            let is_added = unsafe {
                let index = sys::llama_batch_ext_add_token(raw, seq as i32, token);
                index == i as i32
                    && sys::llama_batch_ext_set_pos(raw, index, &pos)
                    && sys::llama_batch_ext_set_output_logits(raw, index, has_output)
            };
            if !is_added {
                return Err("llama.cpp did not accept the tokens of the step".to_owned());
            }
            if has_output {
                self.outputs.push(i);
            }
        }
        Ok(())
    }

    /// The logits for the token that follows batch token `index` of the last step, one per token of
    /// the vocabulary. `None` if the step did not output them. The caller may change them, since
    /// nothing else reads them.
    pub(super) fn logits(&mut self, index: usize) -> Option<&mut [f32]> {
        if !self.outputs.contains(&index) {
            return None;
        }
        let index = i32::try_from(index).ok()?;
        // SAFETY: the context has not been freed, its last step was computed, and the batch token
        // was marked as an output of it.
        let row = unsafe { sys::llama_get_logits_ith(self.context.as_ptr(), index) };
        let row = NonNull::new(row)?;
        // SAFETY: the pointer is to `n_vocab` floats, which stay valid and in place until the next
        // step. That needs `&mut self`, which the returned slice borrows.
        Some(unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), self.n_vocab) })
    }

    /// Adds the first `n` positions of `from` to `to`. The unified cache copies no data for this.
    /// Either may be a cached sequence, although a cached sequence cannot be decoded.
    pub(super) fn share(&mut self, from: SeqId, to: SeqId, n: usize) {
        if let (Some(from), Some(to), Ok(n)) = (self.id(from), self.id(to), i32::try_from(n)) {
            // SAFETY: the context has not been freed, and both ids are valid (see `id`).
            unsafe { sys::llama_memory_seq_cp(self.memory(), from, to, 0, n) };
        }
    }

    /// Removes the positions of `seq` from `n` on.
    pub(super) fn truncate(&mut self, seq: SeqId, n: usize) {
        if let (Some(seq), Ok(n)) = (self.id(seq), i32::try_from(n)) {
            self.remove(seq, n);
        }
    }

    /// Removes the positions of llama.cpp's sequence `id` from `from` on.
    fn remove(&mut self, id: i32, from: i32) {
        // SAFETY: the context has not been freed, and the id is valid (see `id`). Recurrent models
        // refuse a partial removal, which changes nothing; their sequences are not used again then
        // (see `SequenceReuse::can_share`).
        unsafe { sys::llama_memory_seq_rm(self.memory(), id, from, -1) };
    }

    /// The first position of `seq` in the cache, which is greater than 0 if a sliding window has
    /// moved past the start. `None` if the sequence is empty.
    pub(super) fn first_position(&self, seq: SeqId) -> Option<usize> {
        let seq = self.id(seq)?;
        // SAFETY: the context has not been freed, and the id is valid (see `id`).
        let first = unsafe { sys::llama_memory_seq_pos_min(self.memory(), seq) };
        usize::try_from(first).ok()
    }

    /// Bytes that [`Self::swap_out`] would return for all of `seq`; 0 if it cannot be exported.
    pub(super) fn swap_size(&mut self, seq: SeqId) -> usize {
        self.with_staged(seq, ALL_POSITIONS, Self::export_size).unwrap_or(0)
    }

    /// Exports the state of `seq` at `positions`; `None` if llama.cpp cannot export it.
    ///
    /// llama.cpp copies each row of each cell range separately. Without flash attention the values
    /// are transposed, so a row is a single number, and its overhead is 16 times its size: export
    /// few positions at a time.
    pub(super) fn swap_out(&mut self, seq: SeqId, positions: Range<usize>) -> Option<Vec<u8>> {
        let (from, to) = (i32::try_from(positions.start).ok()?, i32::try_from(positions.end).ok()?);
        self.with_staged(seq, from..to, Self::export).flatten()
    }

    /// Calls `export` with the id of the staging sequence while that shares `positions` of `seq`.
    /// `None` if there is no staging sequence, or no such `seq`.
    fn with_staged<T>(
        &mut self,
        seq: SeqId,
        positions: Range<i32>,
        export: impl FnOnce(&mut Self, i32) -> T,
    ) -> Option<T> {
        let staging = self.staging()?;
        let id = self.id(seq)?;
        // SAFETY: the context has not been freed, and both ids are valid (see `id`). They differ,
        // and the staging sequence is empty: it is emptied below and in `swap_in`.
        unsafe {
            sys::llama_memory_seq_cp(self.memory(), id, staging, positions.start, positions.end);
        };
        let exported = export(self, staging);
        self.remove(staging, 0);
        Some(exported)
    }

    /// llama.cpp's id of the staging sequence: the one after the slots.
    fn staging(&self) -> Option<i32> {
        i32::try_from(self.options.n_slots).ok().filter(|_| self.options.can_swap)
    }

    /// Bytes of the exported state of `id`; 0 if it cannot be exported.
    fn export_size(&mut self, id: i32) -> usize {
        // SAFETY: the context has not been freed, and the id is below its `n_seq_max`.
        unsafe { sys::llama_state_seq_get_size(self.context.as_ptr(), id) }
    }

    /// Exports the state of `id`; `None` if it cannot be exported or memory runs out.
    fn export(&mut self, id: i32) -> Option<Vec<u8>> {
        let size = self.export_size(id);
        let mut bytes: Vec<u8> = Vec::new();
        bytes.try_reserve_exact(size).ok()?;
        let (context, to) = (self.context.as_ptr(), bytes.as_mut_ptr());
        // SAFETY: the context has not been freed, and the id is below its `n_seq_max`. The vector
        // has a capacity of `size` bytes, and llama.cpp writes no more than that.
        let n = unsafe { sys::llama_state_seq_get_data(context, to, size, id) };
        if n == 0 || n != size {
            return None;
        }
        // SAFETY: llama.cpp has initialized the first `n` bytes, and `n` is the reserved capacity.
        unsafe { bytes.set_len(n) };
        Some(bytes)
    }

    /// Imports `bytes` into `to`, which must be the sequence of a slot. [`Self::swap_out`] must
    /// have exported them from a context with the same options. Positions that `to` already has
    /// stay. Returns false if the state does not fit into the KV cache.
    pub(super) fn swap_in(&mut self, to: SeqId, bytes: &[u8]) -> bool {
        let ids = self.id(to).filter(|_| to < self.options.n_slots).zip(self.staging());
        let Some((to, staging)) = ids else { return false };
        // SAFETY: the context has not been freed, and the id is below its `n_seq_max`. The bytes
        // are an unchanged export of a context with the same options, so their format is valid,
        // and llama.cpp reads no more than their length.
        let n = unsafe {
            let (bytes, size) = (bytes.as_ptr(), bytes.len());
            sys::llama_state_seq_set_data(self.context.as_ptr(), bytes, size, staging)
        };
        if n > 0 {
            let Range { start, end } = ALL_POSITIONS;
            // SAFETY: the context has not been freed, and both ids are valid (see `id`).
            unsafe { sys::llama_memory_seq_cp(self.memory(), staging, to, start, end) };
        }
        self.remove(staging, 0);
        n > 0
    }

    /// llama.cpp's id of a sequence: the staging sequence is between the slots and the cached
    /// sequences. The id is valid, that is below [`MAX_SEQUENCES`], which llama.cpp asserts.
    fn id(&self, seq: SeqId) -> Option<i32> {
        let id = if seq < self.options.n_slots { seq } else { seq.checked_add(1)? };
        i32::try_from(id).ok().filter(|_| id < MAX_SEQUENCES)
    }

    /// llama.cpp's KV cache of this context.
    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context has not been freed; the memory lives as long as it.
        unsafe { sys::llama_get_memory(self.context.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: `new` created both, only this frees them, and the batch is freed before the
        // context that it was created for.
        unsafe {
            sys::llama_batch_ext_free(self.batch.as_ptr());
            sys::llama_free(self.context.as_ptr());
        }
    }
}

/// To llama.cpp this range means all positions.
const ALL_POSITIONS: Range<i32> = -1..-1;

/// Number of sequence ids in the unified cache (`LLAMA_MAX_SEQ` in `llama-cparams.h`).
const MAX_SEQUENCES: u32 = 256;

/// Number of ids for cached sequences: the ids that `n_slots` slots and the staging sequence leave.
pub(in crate::llama) fn n_cache_seqs(n_slots: u32) -> u32 {
    MAX_SEQUENCES.saturating_sub(n_slots + 1)
}

/// llama.cpp's parameters for a context, without the abort callback.
fn context_params(options: &ContextOptions) -> sys::llama_context_params {
    // SAFETY: the function has no precondition and returns a struct by value.
    let mut params = unsafe { sys::llama_context_default_params() };
    params.n_ctx = options.kv_tokens;
    params.n_batch = options.n_ubatch;
    params.n_ubatch = options.n_ubatch;
    params.n_seq_max = options.n_slots + u32::from(options.can_swap);
    // Limits the buffer for logits to the outputs of a step instead of the whole batch (ADR-0002).
    // llama.cpp requires one output per sequence, even if a step has fewer tokens.
    params.n_outputs_max = options.n_outputs.min(options.n_ubatch).max(params.n_seq_max);
    params.n_outputs_max_per_seq = 1;
    params.n_threads = options.n_threads;
    // If the numbers differed, the thread pool would be rebuilt between prefill and decode.
    params.n_threads_batch = options.n_threads;
    params.flash_attn_type = match options.flash_attention {
        None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
        Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
    };
    let kv_type = match options.kv_type {
        KvType::F16 => sys::GGML_TYPE_F16,
        KvType::Q8 => sys::GGML_TYPE_Q8_0,
        KvType::Q4 => sys::GGML_TYPE_Q4_0,
    };
    params.type_k = kv_type;
    params.type_v = kv_type;
    params.op_offload = options.is_offloaded;
    params.offload_kqv = options.is_offloaded;
    params.kv_unified = true;
    params.swa_full = false;
    params.no_perf = true;
    params
}

/// The abort callback.
///
/// # Safety
/// `data` must point to the [`Context`]'s `interrupt`.
unsafe extern "C" fn is_interrupted(data: *mut c_void) -> bool {
    // SAFETY: by the caller's contract `data` points to the atomic, which the `Context` keeps alive
    // until it has freed the llama.cpp context that calls this.
    let interrupt = unsafe { &*data.cast::<AtomicPtr<c_void>>() }.load(Ordering::Acquire);
    // SAFETY: the pointer is null between steps. During a step it is to the interrupt that `decode`
    // borrows for the whole step.
    unsafe { interrupt.cast::<Interrupt<'_>>().as_ref() }.is_some_and(Interrupt::is_due)
}
