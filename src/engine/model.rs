//! Everything the engine needs of a model, and nothing else.
//!
//! [`Model`] is what computes: it lives on the engine thread and never leaves it. [`Vocabulary`]
//! is what turns text into tokens and back: it is shared with the threads that prepare requests.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::{Message, Params, Refusal, Token, TokenLogprobs};

/// Names a sequence in the KV cache.
pub type SeqId = u32;

/// Tokens of all texts together that a draft model reads at a call: what a long prompt has it catch
/// up with shall hold up no step for long. A small model on a CPU reads so many in less time than a
/// step of the large one takes.
pub const DRAFT_PREFILL_TOKENS: usize = 16;

/// What a model can hold and compute at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of one step.
    pub n_batch: usize,
    /// Sequences that may be decoded: ids `0..n_slots`.
    pub n_slots: usize,
    /// Further ids, `n_slots..n_slots + n_cache_seqs`, which only keep finished sequences for reuse.
    /// 0 where the model's memory cannot be shared.
    pub n_cache_seqs: usize,
    /// Tokens the KV cache holds in all.
    pub kv_tokens: usize,
    /// Most outputs of a step beyond one for each slot: guessed tokens that the model computes
    /// and can take back. 0 where it cannot.
    pub n_draft: usize,
}

/// One token of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchToken {
    /// The token.
    pub token: Token,
    /// Its position in the sequence.
    pub pos: usize,
    /// The sequence.
    pub seq: SeqId,
    /// Whether the model shall say what could follow it.
    pub output: bool,
}

/// The tokens of one step, at most [`Limits::n_batch`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The tokens, each sequence's in ascending position.
    pub tokens: Vec<BatchToken>,
}

/// Set once, when nobody wants the result of a request any more.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Says that the result is not wanted.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was said.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// When a step is no longer wanted. Asked from inside the computation, so it only reads flags.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt<'a> {
    /// The requests the step is for.
    pub requests: &'a [CancelFlag],
    /// Set when the engine shall stop.
    pub stop: &'a CancelFlag,
}

impl Interrupt<'_> {
    /// Whether nobody wants the result of the step any more.
    pub fn is_due(&self) -> bool {
        self.stop.is_set() || self.requests.iter().all(CancelFlag::is_set)
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeOutcome {
    /// Computed.
    Done,
    /// Given up because the interrupt was due. Parts of the batch may be in the KV cache.
    Cancelled,
    /// Not computed. The sequences of the batch must not be used again.
    Failed(String),
}

/// A text whose next tokens another, smaller model shall guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DraftRequest<'a> {
    /// Its sequence.
    pub seq: SeqId,
    /// The whole text, the last token included, which is not computed yet.
    pub tokens: &'a [Token],
    /// How many tokens are wanted.
    pub n: usize,
}

/// One sampled token.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: Token,
    /// Its probability and its rivals', where the request asked for them.
    pub logprobs: Option<TokenLogprobs>,
}

/// A model that computes steps. It is used from one thread only.
pub trait Model {
    /// The state of one request's sampling: its parameters, its penalties' window, its randomness.
    type Sampler;

    /// What the model can hold; constant for its life.
    fn limits(&self) -> Limits;

    /// Tokens of finished sequences that may stay in the KV cache while a new request runs. Keeping
    /// them there saves the reading of prompts and can slow every step.
    fn cacheable_tokens(&self) -> usize {
        self.limits().kv_tokens
    }

    /// Sequences, running and kept ones together, that the KV cache has room for whatever their
    /// lengths; `None` where room is a matter of tokens alone. Layers that see a window have cells
    /// for so many windows, and one that two sequences hold is not given back when both have moved
    /// on, so where there is a limit none is to be shared for longer than it takes to hand it over.
    fn max_sequences(&self) -> Option<usize> {
        None
    }

    /// Computes one step. May end early once `interrupt` is due.
    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome;

    /// Tokens that the draft model, which guesses, has as well: those below this one. `None` where there is
    /// no draft model.
    fn draft_tokens(&self) -> Option<usize> {
        None
    }

    /// Asks the draft model, which has all tokens of these texts, how each goes on: as many tokens as
    /// wanted, or fewer where it does not know yet. It reads at most [`DRAFT_PREFILL_TOKENS`] tokens at a call and guesses when it is
    /// through. May end early, with fewer, once `interrupt` is due.
    fn draft(&mut self, wanted: &[DraftRequest<'_>], interrupt: &Interrupt<'_>) -> Vec<Vec<Token>> {
        let _ = interrupt;
        vec![Vec::new(); wanted.len()]
    }

    /// Starts the sampling of a request whose prompt is `prompt`.
    fn sampler(&self, params: &Params, prompt: &[Token]) -> Self::Sampler;

    /// Draws the token that follows the batch entry `index` of the last step, whose `output` must
    /// have been set. Of one sequence's entries, in order.
    ///
    /// # Errors
    /// The reason in words, where the model's numbers allow no choice (all are NaN).
    fn sample(&mut self, index: usize, sampler: &mut Self::Sampler) -> Result<Sampled, String>;

    /// How many of the first `n` positions of `seq` another sequence may share: `n`, or less
    /// where the model's memory has already forgotten what it would need.
    fn shareable(&self, seq: SeqId, n: usize) -> usize;

    /// Makes `to` hold the first `n` positions of `from`. `to` must be empty.
    fn share(&mut self, from: SeqId, to: SeqId, n: usize);

    /// Drops the positions of `seq` from `n` on; 0 empties it.
    fn truncate(&mut self, seq: SeqId, n: usize);

    /// Bytes of what [`Self::swap_out`] would give out of all of `seq`, about; 0 where it gives nothing.
    fn swap_size(&mut self, seq: SeqId) -> usize {
        let _ = seq;
        0
    }

    /// A copy of what `seq` holds at `positions`, for [`Self::swap_in`]; `None` where the model cannot.
    fn swap_out(&mut self, seq: SeqId, positions: Range<usize>) -> Option<Vec<u8>> {
        let _ = (seq, positions);
        None
    }

    /// Makes `to`, which must be one that can be decoded, hold what was swapped out behind what it
    /// holds already. False where there is no room; `to` is as it was then.
    fn swap_in(&mut self, to: SeqId, bytes: &[u8]) -> bool {
        let _ = (to, bytes);
        false
    }
}

/// Text to tokens and back. Shared by all threads.
pub trait Vocabulary: Send + Sync {
    /// The tokens of a prompt that is completed as it stands, begin-of-text included where the
    /// model wants one.
    fn tokenize(&self, text: &str) -> Vec<Token>;

    /// The tokens of a conversation, rendered with the model's own chat template and ready for the
    /// assistant's answer.
    ///
    /// # Errors
    /// [`Refusal::InvalidParams`] where the model has no template or the template refuses.
    fn tokenize_chat(&self, messages: &[Message]) -> Result<Vec<Token>, Refusal>;

    /// The bytes that `token` adds to the text; empty for control tokens.
    fn piece(&self, token: Token) -> &[u8];

    /// Whether `token` ends a generation.
    fn is_end(&self, token: Token) -> bool;

    /// Number of tokens; every valid id is below.
    fn n_tokens(&self) -> usize;

    /// Length in bytes of the longest piece: no text has fewer tokens than its length over this.
    fn longest_piece(&self) -> usize;
}
