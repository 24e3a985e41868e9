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
mod chunk_rules;
mod constraint;
mod interrupt;
mod prompt_limit;
mod vocabulary;

pub use batch::{Batch, BatchToken, DecodeOutcome, DraftRequest, Sampled, SeqId};
pub use chunk_rules::{ChunkRules, PrefillRecord};
pub use constraint::{AllowedTokens, AnswerConstraint, TokenSet};
pub use interrupt::{CancelFlag, Interrupt, StopFlag};
pub use prompt_limit::PromptLimit;
pub use vocabulary::{ChatTokens, Piece, Visibility, Vocabulary};

use crate::domain::{Params, Token};

/// A language model with a KV cache, used on one thread only.
///
/// # Sequences
///
/// Every slot has a part of the KV cache of its own, which holds one sequence of at most
/// [`Limits::slot_tokens`] tokens. The [`SeqId`] of the sequence is the index of the slot. A
/// sequence is a run of positions from 0 on without gaps, and is empty at first. It stays where it
/// is when its request has finished, until the engine truncates it or imports another one. A
/// sequence gets to another slot only by [`Self::export`] and [`Self::import`].
///
/// # Steps
///
/// For every step the engine calls [`Self::decode`] once. If the outcome is
/// [`DecodeOutcome::Done`], it calls [`Self::sample`] for outputs of that step. Before the next
/// step it may call [`Self::truncate`], [`Self::export`], [`Self::import`] and [`Self::draft`].
///
/// A step with slots that are neighbours may be faster than one with slots that are far apart. The
/// engine prefers slots with at most [`MAX_SLOT_GAP`] others between them.
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
///     AllowedTokens, Batch, BatchToken, CancelFlag, DecodeOutcome, Interrupt, Limits, Model,
///     PromptLimit, StopFlag, Vocabulary,
/// };
/// use inference_core::scripted::{ScriptedModel, ScriptedVocabulary, StepControl};
///
/// let limits = Limits { n_ubatch: 8, n_slots: 1, slot_tokens: 64, n_draft: 0 };
/// let mut model = ScriptedModel::new(limits, StepControl::free_running());
///
/// let prompt = ScriptedVocabulary.tokenize("hello", &PromptLimit::none()).unwrap();
/// let mut sampler = model.sampler(&Params::default(), &prompt);
/// let last = prompt.len() - 1;
/// let batch_token = |(pos, &token)| BatchToken { token, pos, seq: 0, has_output: pos == last };
/// let batch = Batch { tokens: (0..).zip(&prompt).map(batch_token).collect() };
///
/// let (request, stop) = (CancelFlag::default(), StopFlag::default());
/// let interrupt = Interrupt { requests: &[request], stop: &stop };
/// assert_eq!(model.decode(&batch, &interrupt), DecodeOutcome::Done);
///
/// let sampled = model.sample(last, &mut sampler, AllowedTokens::Any)?;
/// assert_eq!(ScriptedVocabulary.piece(sampled.token).bytes, b"h");
/// # Ok::<(), String>(())
/// ```
pub trait Model {
    /// The sampling state of one request: its parameters, the tokens that penalties apply to, its
    /// random numbers.
    type Sampler;

    /// What the model can store and compute. Must not change.
    fn limits(&self) -> Limits;

    /// How prompts are to be divided into chunks, so that the same prompt always gives the same
    /// numbers. The default says that every division does.
    fn chunk_rules(&self) -> ChunkRules {
        ChunkRules::default()
    }

    /// Computes one step: adds the tokens of `batch` to their sequences, and computes the logits
    /// after every token that has [`BatchToken::has_output`] set.
    ///
    /// The engine guarantees that the batch has 1 to [`Limits::n_ubatch`] tokens, that each token
    /// continues its sequence at the next position, that the tokens of a slot are next to each
    /// other and fit into [`Limits::slot_tokens`], that slots are in ascending order, and that the
    /// outputs are at most one for each slot and [`Limits::n_draft`] more.
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

    /// Samples one of the `allowed` tokens, which are not [`AllowedTokens::Nothing`], to follow
    /// batch token `index` of the last step.
    ///
    /// That token had [`BatchToken::has_output`] set. The outputs of one sequence are sampled in
    /// order, each at most once, and `sampler` takes the returned token as part of the text.
    ///
    /// # Errors
    /// The reason, if no token can be chosen, for example because all logits are NaN. The engine
    /// then fails this request; others go on.
    fn sample(
        &mut self,
        index: usize,
        sampler: &mut Self::Sampler,
        allowed: AllowedTokens<'_>,
    ) -> Result<Sampled, String>;

    /// Number of the first `n` positions of `seq` that a request can go on from, after a truncation
    /// to that length: `n`, or fewer if the KV cache no longer holds what a continuation from there
    /// would need. A sliding window keeps only the end of a sequence, a recurrent state only the
    /// whole.
    fn resumable(&self, seq: SeqId, n: usize) -> usize;

    /// The same for a sequence of `len` positions that was exported and will be imported.
    fn resumable_copy(&self, len: usize, n: usize) -> usize;

    /// Drops the positions of `seq` from `n` on, also in the draft model; 0 empties the sequence.
    /// False if the model cannot cut the sequence there; it must then be emptied. With 0 it always
    /// can.
    fn truncate(&mut self, seq: SeqId, n: usize) -> bool;

    /// Size in bytes of the exported state of `seq`; 0 if the model cannot export it. The default
    /// is 0.
    fn export_size(&mut self, seq: SeqId) -> usize {
        let _ = seq;
        0
    }

    /// Writes the state of `seq` to `to`, which has [`Self::export_size`] bytes, as input for
    /// [`Self::import`]. The sequence stays as it is. False if that is not possible. The default
    /// returns false.
    fn export(&mut self, seq: SeqId, to: &mut [u8]) -> bool {
        let _ = (seq, to);
        false
    }

    /// Replaces the sequence `to`, which is empty, by one that [`Self::export`] of this model has
    /// written. Returns false if that is not possible; `to` is then empty. The default returns
    /// false.
    fn import(&mut self, to: SeqId, state: &[u8]) -> bool {
        let _ = (to, state);
        false
    }
}

/// What a model can store and compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of one step: llama.cpp's `n_ubatch` (`--ubatch`).
    pub n_ubatch: usize,
    /// Number of slots: the requests that can run at once.
    pub n_slots: usize,
    /// Tokens that the KV cache holds for each slot.
    pub slot_tokens: usize,
    /// Most draft tokens of a step: outputs beyond one for each slot, whose tokens the model can
    /// drop again. 0 if it cannot drop tokens.
    pub n_draft: usize,
}

/// Largest number of idle slots between two decoding ones that a backend computes together with
/// them: two tokens more take less time than another pass. (ADR-0029)
pub const MAX_SLOT_GAP: usize = 2;

/// Most tokens, of all texts together, that a draft model prefills in one call of
/// [`Model::draft`], so that catching up with a long prompt holds up no step for long (ADR-0009).
pub const DRAFT_PREFILL_TOKENS: usize = 16;
