//! What the engine needs of a language model: the interface to implement for another backend.
//!
//! A backend implements two traits. [`Model`] computes: it owns the weights and the KV cache and
//! is only used on the engine thread. [`Vocabulary`] converts between text and tokens: all threads
//! share it, since prompts are tokenized on the threads that submit them.
//!
//! The engine decides everything that concerns requests: which tokens are in a step, which
//! sequence holds which prefix, when a sequence is dropped. A backend needs no knowledge of
//! requests, queues or clients. [`ScriptedModel`](crate::scripted::ScriptedModel) is the smallest
//! implementation and checks the engine's side of the contract.

mod batch;
mod interrupt;
mod vocabulary;

pub use batch::{Batch, BatchToken, DecodeOutcome, DraftRequest, Sampled, SeqId};
pub use interrupt::{CancelFlag, Interrupt};
pub use vocabulary::Vocabulary;

use std::ops::Range;

use crate::domain::{Params, Token};

/// A language model with a KV cache, used on one thread only.
///
/// # Sequences
///
/// The KV cache holds sequences of tokens, named by [`SeqId`]. Sequences `0..n_slots` belong to
/// running requests and can be decoded. Sequences `n_slots..n_slots + n_cache_seqs` are the prefix
/// cache: they only store what [`Self::share`] puts into them. A sequence is a run of positions
/// from 0 on without gaps, and is empty at first. The engine counts positions that several
/// sequences share once for each of them, so a backend is free to store them once or repeatedly.
///
/// # Steps
///
/// For every step the engine calls [`Self::decode`] once. If the outcome is
/// [`DecodeOutcome::Done`], it calls [`Self::sample`] for outputs of that step. Before the next
/// step it may call [`Self::truncate`], [`Self::share`], [`Self::swap_out`], [`Self::swap_in`] and
/// [`Self::draft`].
///
/// # Speculation
///
/// A batch may contain draft tokens: tokens that follow the last known token of a sequence and
/// that the model has not generated. Each has an output. The engine samples the output of every
/// token in order and stops at the first sample that differs from the draft, then removes the
/// rejected tokens with [`Self::truncate`].
///
/// # Optional parts
///
/// Methods with a default body are optional. The defaults describe a model without a draft model
/// that cannot export the state of a sequence.
///
/// # Examples
///
/// Prefill and the first generated token, as the engine does it:
///
/// ```
/// use inference_core::domain::Params;
/// use inference_core::engine::{
///     Batch, BatchToken, CancelFlag, DecodeOutcome, Interrupt, Limits, Model, Vocabulary,
/// };
/// use inference_core::scripted::{ScriptedModel, ScriptedVocabulary, StepControl};
///
/// let limits = Limits { n_ubatch: 8, n_slots: 1, n_cache_seqs: 0, kv_tokens: 64, n_draft: 0 };
/// let mut model = ScriptedModel::new(limits, StepControl::free_running());
///
/// let prompt = ScriptedVocabulary.tokenize("hello");
/// let mut sampler = model.sampler(&Params::default(), &prompt);
/// let last = prompt.len() - 1;
/// let batch_token = |(pos, &token)| BatchToken { token, pos, seq: 0, has_output: pos == last };
/// let batch = Batch { tokens: (0..).zip(&prompt).map(batch_token).collect() };
///
/// let (request, stop) = (CancelFlag::default(), CancelFlag::default());
/// let interrupt = Interrupt { requests: &[request], stop: &stop };
/// assert_eq!(model.decode(&batch, &interrupt), DecodeOutcome::Done);
///
/// let sampled = model.sample(last, &mut sampler)?;
/// assert_eq!(ScriptedVocabulary.piece(sampled.token), b"h");
/// # Ok::<(), String>(())
/// ```
pub trait Model {
    /// The sampling state of one request: its parameters, the tokens that penalties apply to, its
    /// random numbers.
    type Sampler;

    /// What the model can store and compute. Must not change.
    fn limits(&self) -> Limits;

    /// Most tokens of cached sequences that may stay in the KV cache while other requests run.
    ///
    /// Cached tokens save prefill, but where the attention kernels visit every cell of the cache,
    /// cells of other sequences slow down every step. A backend with such kernels returns a
    /// smaller number, down to 0; the engine then swaps cached sequences out to host RAM. The
    /// default is [`Limits::kv_tokens`].
    fn cacheable_tokens(&self) -> usize {
        self.limits().kv_tokens
    }

    /// Most sequences, running and cached together, that fit into the KV cache whatever their
    /// lengths; `None` if only the number of tokens counts.
    ///
    /// This is for sliding-window layers that have cells for a fixed number of windows, where a
    /// cell that two sequences share may not become free when both windows have moved past it.
    /// With a limit the engine therefore moves sequences instead of sharing them: after
    /// [`Self::share`] it empties the source before the next step. The default is `None`.
    fn max_sequences(&self) -> Option<usize> {
        None
    }

    /// Computes one step: adds the tokens of `batch` to their sequences, and computes the logits
    /// after every token that has [`BatchToken::has_output`] set.
    ///
    /// The engine guarantees that the batch has 1 to [`Limits::n_ubatch`] tokens, that each token
    /// continues its sequence at the next position, that only sequences below [`Limits::n_slots`]
    /// occur, that the outputs are at most one for each slot and [`Limits::n_draft`] more, and that
    /// the tokens fit into [`Limits::kv_tokens`].
    ///
    /// The call blocks until the step is computed, on a GPU too: the engine measures steps by the
    /// duration of this call. A long step should poll `interrupt` and return
    /// [`DecodeOutcome::Cancelled`] soon after it becomes due.
    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome;

    /// Number of leading token ids that the draft model shares with this model; it must not be
    /// given any other token. `None` if there is no draft model. The default is `None`.
    fn draft_tokens(&self) -> Option<usize> {
        None
    }

    /// Asks the draft model how each text in `wanted` continues. Returns one list of draft tokens
    /// for each text, in the same order, with up to [`DraftRequest::n`] tokens.
    ///
    /// Every token of the texts is below [`Self::draft_tokens`]. The draft model keeps the state
    /// of each sequence itself and prefills what it does not have yet, but no more than
    /// [`DRAFT_PREFILL_TOKENS`] tokens in one call. A text that needs more gets no draft and goes
    /// on in later calls. May return fewer tokens once `interrupt` is due.
    ///
    /// The default returns empty lists.
    fn draft(&mut self, wanted: &[DraftRequest<'_>], interrupt: &Interrupt<'_>) -> Vec<Vec<Token>> {
        let _ = interrupt;
        vec![Vec::new(); wanted.len()]
    }

    /// Creates the sampler of a request with the given prompt. Called once for each request.
    fn sampler(&self, params: &Params, prompt: &[Token]) -> Self::Sampler;

    /// Samples the token that follows batch token `index` of the last step.
    ///
    /// That token had [`BatchToken::has_output`] set. The outputs of one sequence are sampled in
    /// order, each at most once, and `sampler` takes the returned token as part of the text.
    ///
    /// # Errors
    /// The reason, if no token can be chosen, for example because all logits are NaN. The engine
    /// then fails this request; others go on.
    fn sample(&mut self, index: usize, sampler: &mut Self::Sampler) -> Result<Sampled, String>;

    /// Number of the first `n` positions of `seq` that another sequence may share: `n`, or fewer
    /// if the KV cache no longer holds the cells that a continuation from there would need, as
    /// happens with a sliding window.
    fn shareable(&self, seq: SeqId, n: usize) -> usize;

    /// Makes the empty sequence `to` hold the first `n` positions of `from`, for an `n` that
    /// [`Self::shareable`] allows. Either may be a cached sequence. Should copy no data.
    fn share(&mut self, from: SeqId, to: SeqId, n: usize);

    /// Drops the positions of `seq` from `n` on, also in the draft model; 0 empties the sequence.
    fn truncate(&mut self, seq: SeqId, n: usize);

    /// Approximate size in bytes of the exported state of all of `seq`; 0 if the model cannot
    /// export it. The default is 0.
    fn swap_size(&mut self, seq: SeqId) -> usize {
        let _ = seq;
        0
    }

    /// Exports the state of `seq` at `positions`, as input for [`Self::swap_in`]; `None` if the
    /// model cannot. The sequence stays as it is. The default is `None`.
    ///
    /// The engine exports a sequence in chunks of adjacent positions, because no step can run
    /// during the call.
    fn swap_out(&mut self, seq: SeqId, positions: Range<usize>) -> Option<Vec<u8>> {
        let _ = (seq, positions);
        None
    }

    /// Imports a chunk of state and appends it to `to`, a sequence that can be decoded. `bytes`
    /// come unchanged from [`Self::swap_out`] of this model, and their positions follow those
    /// that `to` holds. Returns false if they do not fit into the KV cache; `to` must then be
    /// unchanged. The default returns false.
    fn swap_in(&mut self, to: SeqId, bytes: &[u8]) -> bool {
        let _ = (to, bytes);
        false
    }
}

/// What a model can store and compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of one step: llama.cpp's `n_ubatch` (`--ubatch`).
    pub n_ubatch: usize,
    /// Number of sequences that can be decoded, with ids `0..n_slots`: the requests that can run
    /// at once.
    pub n_slots: usize,
    /// Number of further sequences, with ids `n_slots..n_slots + n_cache_seqs`, that only cache
    /// finished requests. 0 if sequences cannot be shared or cut, as with a recurrent state.
    pub n_cache_seqs: usize,
    /// Tokens that the KV cache holds in all sequences together.
    pub kv_tokens: usize,
    /// Most draft tokens of a step: outputs beyond one for each slot, whose tokens the model can
    /// drop again. 0 if it cannot drop tokens.
    pub n_draft: usize,
}

/// Most tokens, of all texts together, that a draft model prefills in one call of
/// [`Model::draft`], so that catching up with a long prompt holds up no step for long (ADR-0009).
pub const DRAFT_PREFILL_TOKENS: usize = 16;
