//! A llama.cpp context: its KV cache, its batch and its logits (ADR-0029).
//!
//! llama.cpp aborts the process on most invalid arguments, so every method checks what it passes
//! on. A [`Context`] is not `Send`: it is created, used and dropped on the engine thread.
//!
//! llama.cpp gives the sequence of every slot a part of the KV cache of its own, a *stream*. How it
//! computes a step over several streams is in [`super::passes`].

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::{Batch, BatchToken, DecodeOutcome, Interrupt, SeqId};
use crate::llama::fit::KvType;
use crate::llama::model_ptr::model_ptr;

use super::passes::{Pass, passes};

/// How to create a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct ContextOptions {
    /// Size of the KV cache in tokens, for each slot.
    pub(in crate::llama) slot_tokens: u32,
    /// Maximum number of tokens in a step.
    pub(in crate::llama) n_ubatch: u32,
    /// Number of sequences.
    pub(in crate::llama) n_slots: u32,
    /// Whether a token that was computed for any sequence can be dropped again.
    pub(in crate::llama) can_drop_tokens: bool,
    /// Maximum number of outputs in a step.
    pub(in crate::llama) n_outputs: u32,
    /// Number of threads that compute on the CPU at first.
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
    /// The logits of the last step.
    outputs: Vec<Output>,
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

    /// Size of the KV cache in tokens, for each slot.
    pub(super) fn slot_tokens(&self) -> usize {
        self.options.slot_tokens as usize
    }

    /// The number of compute threads with which the context was created.
    pub(super) fn first_threads(&self) -> u32 {
        self.options.n_threads.unsigned_abs()
    }

    /// Computes one step, in one or more passes.
    pub(super) fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        self.outputs.clear();
        let n_outputs = batch.tokens.iter().filter(|token| token.has_output).count();
        if batch.tokens.is_empty()
            || batch.tokens.len() > self.options.n_ubatch as usize
            || n_outputs > self.options.n_outputs as usize
        {
            let reason = "the step has an invalid number of tokens or outputs";
            return DecodeOutcome::Failed(reason.to_owned());
        }
        for pass in passes(&batch.tokens, |slot, n_before| self.filler_position(slot, n_before)) {
            // The pass overwrites the logits of the pass before it.
            self.keep_logits();
            if let Err(outcome) = self.compute(&pass, interrupt) {
                self.outputs.clear();
                return outcome;
            }
            let row = |(index, row)| Output { index, logits: Logits::InContext(row) };
            self.outputs.extend(pass.outputs.into_iter().map(row));
        }
        DecodeOutcome::Done
    }

    /// Computes one pass.
    fn compute(&mut self, pass: &Pass, interrupt: &Interrupt<'_>) -> Result<(), DecodeOutcome> {
        if interrupt.is_due() {
            return Err(DecodeOutcome::Cancelled);
        }
        self.fill(&pass.tokens).map_err(DecodeOutcome::Failed)?;
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
        }
        self.interrupt.store(ptr::null_mut(), Ordering::Release);
        for &(slot, pos) in &pass.fillers {
            self.truncate(slot, pos);
        }
        let failed = |reason| Err(DecodeOutcome::Failed(reason));
        match code {
            0 => Ok(()),
            2 => Err(DecodeOutcome::Cancelled),
            1 => failed("the step does not fit into the KV cache".to_owned()),
            code => failed(format!("llama.cpp could not compute the step (code {code})")),
        }
    }

    /// Changes the number of compute threads of the next steps, which is at least 1.
    pub(super) fn set_threads(&mut self, n_threads: u32) {
        let n_threads = i32::try_from(n_threads).unwrap_or(i32::MAX).max(1);
        // SAFETY: the context has not been freed, and llama.cpp computes nothing now. It reads the
        // number at the start of a pass.
        unsafe { sys::llama_set_n_threads(self.context.as_ptr(), n_threads, n_threads) };
    }

    /// Copies `tokens` into llama.cpp's batch.
    ///
    /// # Errors
    /// If there are too many, or one has an id, position or slot that is out of range.
    fn fill(&mut self, tokens: &[BatchToken]) -> Result<(), String> {
        if tokens.len() > self.options.n_ubatch as usize {
            return Err("the step has too many tokens".to_owned());
        }
        let raw = self.batch.as_ptr();
        // SAFETY: the batch is owned by `self` and has not been freed.
        unsafe { sys::llama_batch_ext_clear(raw) };
        for (i, &BatchToken { token, pos, seq, has_output }) in tokens.iter().enumerate() {
            let is_token = usize::try_from(token).is_ok_and(|id| id < self.n_vocab);
            let pos = i32::try_from(pos).ok().filter(|_| is_token);
            let Some((pos, seq)) = pos.zip(self.id(seq)) else {
                return Err(format!(
                    "the step has a token, position or slot out of range ({token})"
                ));
            };
            // SAFETY: the batch is owned by `self` and has not been freed. Token and sequence were
            // checked above, the index is the one that the first call returned, and `pos` outlives
            // the call that reads it.
            let is_added = unsafe {
                let index = sys::llama_batch_ext_add_token(raw, seq, token);
                index == i as i32
                    && sys::llama_batch_ext_set_pos(raw, index, &pos)
                    && sys::llama_batch_ext_set_output_logits(raw, index, has_output)
            };
            if !is_added {
                return Err("llama.cpp did not accept the tokens of the step".to_owned());
            }
        }
        Ok(())
    }

    /// The position at which a slot can take a filler: the end of its sequence, once `n_before`
    /// more tokens are computed. `None` if the slot is full, or if the token could not be dropped
    /// again.
    fn filler_position(&self, slot: SeqId, n_before: usize) -> Option<usize> {
        let next = self.n_positions(slot) + n_before;
        (self.options.can_drop_tokens && next < self.options.slot_tokens as usize).then_some(next)
    }

    /// Copies the logits that are still in the context, so that another pass can be computed.
    fn keep_logits(&mut self) {
        for i in 0..self.outputs.len() {
            if let Logits::InContext(row) = self.outputs[i].logits {
                let kept = self.row(row).map(|row| row.to_vec()).unwrap_or_default();
                self.outputs[i].logits = Logits::Kept(kept);
            }
        }
    }

    /// The logits for the token that follows batch token `index` of the last step, one per token of
    /// the vocabulary. `None` if the step did not output them. The caller may change them, since
    /// nothing else reads them.
    pub(super) fn logits(&mut self, index: usize) -> Option<&mut [f32]> {
        let i = self.outputs.iter().position(|output| output.index == index)?;
        match self.outputs[i].logits {
            Logits::InContext(row) => self.row(row),
            Logits::Kept(_) => match &mut self.outputs[i].logits {
                Logits::Kept(logits) => (!logits.is_empty()).then_some(logits),
                Logits::InContext(_) => None,
            },
        }
    }

    /// The logits after token `row` of the last pass.
    fn row(&mut self, row: usize) -> Option<&mut [f32]> {
        let row = i32::try_from(row).ok()?;
        // SAFETY: the context has not been freed, its last pass was computed, and the token was
        // marked as an output of it.
        let row = unsafe { sys::llama_get_logits_ith(self.context.as_ptr(), row) };
        let row = NonNull::new(row)?;
        // SAFETY: the pointer is to `n_vocab` floats, which stay valid and in place until the next
        // pass. That needs `&mut self`, which the returned slice borrows.
        Some(unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), self.n_vocab) })
    }

    /// Removes the positions of `seq` from `n` on. False if llama.cpp refused, as it does for a
    /// part of a recurrent state; nothing has changed then.
    pub(super) fn truncate(&mut self, seq: SeqId, n: usize) -> bool {
        let Some((id, from)) = self.id(seq).zip(i32::try_from(n).ok()) else { return false };
        // SAFETY: the context has not been freed, and the id is valid (see `id`).
        unsafe { sys::llama_memory_seq_rm(self.memory(), id, from, -1) }
    }

    /// The first position of `seq` in the cache, which is greater than 0 if a sliding window has
    /// moved past the start. `None` if the sequence is empty.
    pub(super) fn first_position(&self, seq: SeqId) -> Option<usize> {
        let seq = self.id(seq)?;
        // SAFETY: the context has not been freed, and the id is valid (see `id`).
        let first = unsafe { sys::llama_memory_seq_pos_min(self.memory(), seq) };
        usize::try_from(first).ok()
    }

    /// Number of positions of `seq`.
    pub(super) fn n_positions(&self, seq: SeqId) -> usize {
        let Some(seq) = self.id(seq) else { return 0 };
        // SAFETY: the context has not been freed, and the id is valid (see `id`).
        let last = unsafe { sys::llama_memory_seq_pos_max(self.memory(), seq) };
        usize::try_from(last + 1).unwrap_or(0)
    }

    /// Bytes that [`Self::export`] writes for `seq`; 0 if it cannot be exported.
    pub(super) fn export_size(&mut self, seq: SeqId) -> usize {
        let Some(seq) = self.id(seq) else { return 0 };
        // SAFETY: the context has not been freed, and the id is valid (see `id`).
        unsafe { sys::llama_state_seq_get_size(self.context.as_ptr(), seq) }
    }

    /// Writes the state of `seq` to `to`. False if llama.cpp does not fill it exactly.
    pub(super) fn export(&mut self, seq: SeqId, to: &mut [u8]) -> bool {
        let Some(seq) = self.id(seq) else { return false };
        let (context, size, bytes) = (self.context.as_ptr(), to.len(), to.as_mut_ptr());
        // SAFETY: the context has not been freed, the id is valid (see `id`), and llama.cpp writes
        // no more than `size` bytes.
        size > 0 && unsafe { sys::llama_state_seq_get_data(context, bytes, size, seq) } == size
    }

    /// Replaces the sequence `to` by one that [`Self::export`] of a context with the same options
    /// has written. False if that failed; `to` is then empty.
    pub(super) fn import(&mut self, to: SeqId, state: &[u8]) -> bool {
        let Some(id) = self.id(to) else { return false };
        let (context, size, bytes) = (self.context.as_ptr(), state.len(), state.as_ptr());
        // SAFETY: the context has not been freed, and the id is valid (see `id`). The bytes are an
        // unchanged export of a context with the same options, so their format is valid, and
        // llama.cpp reads no more than their length.
        let is_imported =
            unsafe { sys::llama_state_seq_set_data(context, bytes, size, id) } == size;
        if !is_imported {
            self.truncate(to, 0);
        }
        is_imported
    }

    /// llama.cpp's id of a sequence. It is below the context's `n_seq_max`, which llama.cpp
    /// asserts.
    fn id(&self, seq: SeqId) -> Option<i32> {
        i32::try_from(seq).ok().filter(|_| seq < self.options.n_slots)
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

/// One output of a step.
struct Output {
    /// The index of its token in the step.
    index: usize,
    logits: Logits,
}

/// Where the logits of an output are.
enum Logits {
    /// In the context, after the token with this index in the last pass.
    InContext(usize),
    /// A copy; empty if llama.cpp had none.
    Kept(Vec<f32>),
}

/// llama.cpp's parameters for a context, without the abort callback.
fn context_params(options: &ContextOptions) -> sys::llama_context_params {
    // SAFETY: the function has no precondition and returns a struct by value.
    let mut params = unsafe { sys::llama_context_default_params() };
    params.n_ctx = options.slot_tokens.saturating_mul(options.n_slots);
    params.n_batch = options.n_ubatch;
    params.n_ubatch = options.n_ubatch;
    params.n_seq_max = options.n_slots;
    // Limits the buffer for logits to the outputs of a step instead of the whole batch (ADR-0029).
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
    params.kv_unified = false;
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
