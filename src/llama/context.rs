//! One llama.cpp context, owned: its KV cache, its batch, its logits.
//!
//! llama.cpp aborts the process on most wrong inputs, so every method checks what it hands over.
//! A [`Context`] is not `Send`: it is born on the engine thread and dies there.

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::{Batch, BatchToken, DecodeOutcome, Interrupt, SeqId};

use super::fit::KvType;

/// Sequence ids of the unified cache (`LLAMA_MAX_SEQ` in `llama-cparams.h`).
const MAX_SEQUENCES: u32 = 256;

/// Ids that only keep sequences beside `n_slots` that can be decoded; one is the stopover.
pub(super) fn n_cache_seqs(n_slots: u32) -> u32 {
    MAX_SEQUENCES.saturating_sub(n_slots + 1)
}

/// What a context is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContextOptions {
    /// Tokens of the KV cache.
    pub(super) kv_tokens: u32,
    /// Most tokens of one step.
    pub(super) n_ubatch: u32,
    /// Sequences that can be decoded.
    pub(super) n_slots: u32,
    /// Whether sequences can be swapped out, for which one more id is the stopover.
    pub(super) can_swap: bool,
    /// Most outputs of a step.
    pub(super) n_outputs: u32,
    pub(super) n_threads: i32,
    pub(super) kv_type: KvType,
    /// Whether layers lie on a card; if none does, nothing else shall either.
    pub(super) is_offloaded: bool,
    /// `None` leaves it to llama.cpp, which uses it where the backend can.
    pub(super) flash_attention: Option<bool>,
}

/// A context and its batch.
pub(super) struct Context {
    context: NonNull<sys::llama_context>,
    batch: NonNull<sys::llama_batch_ext>,
    /// What the abort callback asks; null between steps. On the heap, where the context keeps a
    /// pointer to it, and shared: a `Box` would promise that there is no such pointer.
    interrupt: Arc<AtomicPtr<c_void>>,
    options: ContextOptions,
    n_vocab: usize,
    /// Batch entries of the last step that have logits.
    outputs: Vec<usize>,
    /// Outlives the context, which points into it.
    _model: Arc<LlamaModel>,
}

impl Context {
    /// Makes a context; `None` where llama.cpp cannot, having logged why.
    pub(super) fn new(model: Arc<LlamaModel>, options: ContextOptions) -> Option<Self> {
        let interrupt = Arc::new(AtomicPtr::new(ptr::null_mut()));
        // SAFETY: returns a struct by value, no precondition.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = options.kv_tokens;
        params.n_batch = options.n_ubatch;
        params.n_ubatch = options.n_ubatch;
        params.n_seq_max = options.n_slots + u32::from(options.can_swap);
        // Room for logits is kept for what a step can output, not for the whole batch: 300 MB at
        // a vocabulary of 150,000.
        // llama.cpp wants room for one of each sequence, however few tokens a step may have.
        params.n_outputs_max = options.n_outputs.min(options.n_ubatch).max(params.n_seq_max);
        params.n_outputs_max_per_seq = 1;
        params.n_threads = options.n_threads;
        // Different counts would make the thread pool be rebuilt between prompt and generation.
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
        params.abort_callback = Some(is_interrupted);
        params.abort_callback_data = Arc::as_ptr(&interrupt).cast_mut().cast();

        // SAFETY: the model is loaded and outlives the context (`_model`), the callback's data is
        // owned by the same struct and outlives it too.
        let context = unsafe { sys::llama_init_from_model(raw(&model), params) };
        let context = NonNull::new(context)?;
        // SAFETY: the context was just made.
        let batch = unsafe { sys::llama_batch_ext_init(context.as_ptr()) };
        let Some(batch) = NonNull::new(batch) else {
            // SAFETY: made above, used by nobody, and freed once.
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
        // SAFETY: the batch was made for this context and filled with checked entries; it has at
        // most `n_batch` tokens and `n_outputs_max` outputs, which llama.cpp asserts. The
        // interrupt lives until the pointer to it is taken back below.
        let code = unsafe {
            sys::llama_process(
                self.context.as_ptr(),
                sys::LLAMA_PROCESS_TYPE_DECODE,
                self.batch.as_ptr(),
            )
        };
        if code == 0 {
            // Cards compute on by themselves, and llama.cpp would wait for them with the first logits: what
            // a step takes, and that one hangs, has to be seen here.
            // SAFETY: the context is alive.
            unsafe { sys::llama_synchronize(self.context.as_ptr()) };
        } else {
            // What llama.cpp still holds is of an earlier step.
            self.outputs.clear();
        }
        self.interrupt.store(ptr::null_mut(), Ordering::Release);
        match code {
            0 => DecodeOutcome::Done,
            2 => DecodeOutcome::Cancelled,
            1 => DecodeOutcome::Failed("llama.cpp found no room in the KV cache".to_owned()),
            code => {
                DecodeOutcome::Failed(format!("llama.cpp could not compute the step (code {code})"))
            }
        }
    }

    /// Copies `batch` into llama.cpp's.
    fn fill(&mut self, batch: &Batch) -> Result<(), String> {
        let n_outputs = batch.tokens.iter().filter(|entry| entry.output).count();
        // llama.cpp's `n_batch` is no more than its cells.
        let n_batch = self.options.n_ubatch.min(self.options.kv_tokens);
        if batch.tokens.is_empty()
            || batch.tokens.len() > n_batch as usize
            || n_outputs > self.options.n_outputs as usize
        {
            return Err("a step of impossible size was planned".to_owned());
        }
        let raw = self.batch.as_ptr();
        // SAFETY: the batch is ours alone.
        unsafe { sys::llama_batch_ext_clear(raw) };
        for (i, &BatchToken { token, pos, seq, output }) in batch.tokens.iter().enumerate() {
            let is_token = usize::try_from(token).is_ok_and(|id| id < self.n_vocab);
            let pos = i32::try_from(pos).ok().filter(|_| is_token && seq < self.options.n_slots);
            let Some(pos) = pos else {
                return Err(format!("a step with an impossible entry was planned ({token})"));
            };
            // SAFETY: the batch is ours; token, sequence and index are within its bounds as
            // checked above, and `pos` lives for the call.
            let is_added = unsafe {
                let index = sys::llama_batch_ext_add_token(raw, seq as i32, token);
                index == i as i32
                    && sys::llama_batch_ext_set_pos(raw, index, &pos)
                    && sys::llama_batch_ext_set_output_logits(raw, index, output)
            };
            if !is_added {
                return Err("llama.cpp did not take the step's tokens".to_owned());
            }
            if output {
                self.outputs.push(i);
            }
        }
        Ok(())
    }

    /// The logits behind batch entry `index` of the last step, one for each token of the
    /// vocabulary. They may be changed in place: nobody else reads them.
    pub(super) fn logits(&mut self, index: usize) -> Option<&mut [f32]> {
        if !self.outputs.contains(&index) {
            return None;
        }
        let index = i32::try_from(index).ok()?;
        // SAFETY: the entry was flagged as an output and the step was computed.
        let row = unsafe { sys::llama_get_logits_ith(self.context.as_ptr(), index) };
        let row = NonNull::new(row)?;
        // SAFETY: llama.cpp's rows have `n_vocab` floats each and stay valid until the next step,
        // which needs `&mut self` as this borrow does.
        Some(unsafe { std::slice::from_raw_parts_mut(row.as_ptr(), self.n_vocab) })
    }

    /// Makes `to` hold the first `n` positions of `from`. In the unified cache this copies no
    /// data, and ids from `n_slots` on may hold sequences, though they cannot be decoded.
    pub(super) fn share(&mut self, from: SeqId, to: SeqId, n: usize) {
        if let (Some(from), Some(to), Ok(n)) = (self.id(from), self.id(to), i32::try_from(n)) {
            // SAFETY: the ids are below the cache's 256, which llama.cpp asserts.
            unsafe { sys::llama_memory_seq_cp(self.memory(), from, to, 0, n) };
        }
    }

    /// Drops the positions of `seq` from `n` on.
    pub(super) fn truncate(&mut self, seq: SeqId, n: usize) {
        if let (Some(seq), Ok(n)) = (self.id(seq), i32::try_from(n)) {
            self.remove(seq, n);
        }
    }

    fn remove(&mut self, id: i32, from: i32) {
        // SAFETY: the id is below the cache's 256. A partial removal that the memory cannot
        // do (recurrent models) is refused and changes nothing; the sequence is not used
        // again then, see `LlamaCpp::limits`.
        unsafe { sys::llama_memory_seq_rm(self.memory(), id, from, -1) };
    }

    /// The first position of `seq` that is still held; later than 0 where a sliding window has
    /// moved on. `None` for an empty sequence.
    pub(super) fn first_position(&self, seq: SeqId) -> Option<usize> {
        let seq = self.id(seq)?;
        // SAFETY: the id is below the cache's 256.
        let first = unsafe { sys::llama_memory_seq_pos_min(self.memory(), seq) };
        usize::try_from(first).ok()
    }

    /// Bytes of a copy of what `seq` holds; 0 where llama.cpp cannot give it out.
    pub(super) fn swap_size(&mut self, seq: SeqId) -> usize {
        // To llama.cpp a range without ends is all.
        self.at_stopover(seq, -1..-1, Self::size_of).unwrap_or(0)
    }

    /// A copy of what `seq` holds at `positions`; `None` where llama.cpp cannot give it out. It takes
    /// some time and memory for each row of each cell range on the way, which without flash attention
    /// is each number of a cell: 16 times the size of the values, so `positions` should be few.
    pub(super) fn swap_out(&mut self, seq: SeqId, positions: Range<usize>) -> Option<Vec<u8>> {
        let (from, to) = (i32::try_from(positions.start).ok()?, i32::try_from(positions.end).ok()?);
        self.at_stopover(seq, from..to, Self::copy_out).flatten()
    }

    /// Calls `look` with the id of a sequence that llama.cpp gives out and that holds what `seq`
    /// does at `positions`: it gives out only those that could be decoded, and those as a whole.
    fn at_stopover<T>(
        &mut self,
        seq: SeqId,
        positions: Range<i32>,
        look: impl FnOnce(&mut Self, i32) -> T,
    ) -> Option<T> {
        let stopover = self.stopover()?;
        let id = self.id(seq)?;
        // SAFETY: the context is alive; both ids are below the cache's 256, and the stopover, which
        // `id` never is, is empty: it is emptied below whatever happens.
        unsafe {
            sys::llama_memory_seq_cp(self.memory(), id, stopover, positions.start, positions.end);
        };
        let seen = look(self, stopover);
        self.remove(stopover, 0);
        Some(seen)
    }

    /// The id behind those that can be decoded, which llama.cpp gives out as well.
    fn stopover(&self) -> Option<i32> {
        i32::try_from(self.options.n_slots).ok().filter(|_| self.options.can_swap)
    }

    /// Bytes of the state of `id`, 0 where there is none.
    fn size_of(&mut self, id: i32) -> usize {
        // SAFETY: the context is alive and the id below its `n_seq_max`.
        unsafe { sys::llama_state_seq_get_size(self.context.as_ptr(), id) }
    }

    fn copy_out(&mut self, id: i32) -> Option<Vec<u8>> {
        let size = self.size_of(id);
        let mut bytes: Vec<u8> = Vec::new();
        bytes.try_reserve_exact(size).ok()?;
        let (context, to) = (self.context.as_ptr(), bytes.as_mut_ptr());
        // SAFETY: the context is alive and the id below its `n_seq_max`; the vector has room for
        // `size` bytes, and llama.cpp writes no more.
        let n = unsafe { sys::llama_state_seq_get_data(context, to, size, id) };
        if n == 0 || n != size {
            return None;
        }
        // SAFETY: llama.cpp has written these `n` bytes, and the vector has room for them.
        unsafe { bytes.set_len(n) };
        Some(bytes)
    }

    /// Makes `to`, one of those that can be decoded, hold what [`Self::swap_out`] gave out of a
    /// context made with the same options, beside what it holds already; false where there is no room.
    pub(super) fn swap_in(&mut self, to: SeqId, bytes: &[u8]) -> bool {
        let ids = self.id(to).filter(|_| to < self.options.n_slots).zip(self.stopover());
        let Some((to, stopover)) = ids else { return false };
        // SAFETY: the context is alive and the id below its `n_seq_max`. The bytes are what it gave
        // out itself and have not left the process since; llama.cpp reads no more than their length.
        let n = unsafe {
            let (bytes, size) = (bytes.as_ptr(), bytes.len());
            sys::llama_state_seq_set_data(self.context.as_ptr(), bytes, size, stopover)
        };
        if n > 0 {
            // SAFETY: the context is alive and both ids are below the cache's 256.
            unsafe { sys::llama_memory_seq_cp(self.memory(), stopover, to, -1, -1) };
        }
        self.remove(stopover, 0);
        n > 0
    }

    /// llama.cpp's id for `seq`: the stopover lies between those that can be decoded and the rest.
    fn id(&self, seq: SeqId) -> Option<i32> {
        let id = if seq < self.options.n_slots { seq } else { seq.checked_add(1)? };
        i32::try_from(id).ok().filter(|_| id < MAX_SEQUENCES)
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is alive; the memory lives as long as it does.
        unsafe { sys::llama_get_memory(self.context.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: both were made by `new` and are freed once, the batch before its context.
        unsafe {
            sys::llama_batch_ext_free(self.batch.as_ptr());
            sys::llama_free(self.context.as_ptr());
        }
    }
}

/// The pointer inside a model.
pub(super) fn raw(model: &LlamaModel) -> *mut sys::llama_model {
    const { assert!(size_of::<LlamaModel>() == size_of::<*mut sys::llama_model>()) };
    // SAFETY: `LlamaModel` is `repr(transparent)` over a non-null pointer to the model.
    unsafe { *ptr::from_ref(model).cast::<*mut sys::llama_model>() }
}

/// # Safety
/// `data` must point to the context's `interrupt`.
unsafe extern "C" fn is_interrupted(data: *mut c_void) -> bool {
    // SAFETY: llama.cpp passes the pointer given with the callback, to an atomic that outlives
    // the context.
    let interrupt = unsafe { &*data.cast::<AtomicPtr<c_void>>() }.load(Ordering::Acquire);
    // SAFETY: set by `decode` to an interrupt that lives for the call, null otherwise.
    unsafe { interrupt.cast::<Interrupt<'_>>().as_ref() }.is_some_and(Interrupt::is_due)
}

/// The version of the linked llama.cpp.
pub(super) fn llama_version() -> String {
    // SAFETY: returns a static C string.
    let version = unsafe { CStr::from_ptr(sys::llama_version()) };
    version.to_string_lossy().into_owned()
}
