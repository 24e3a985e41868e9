//! The engine's model, implemented with llama.cpp.
//!
//! [`LlamaCpp`] passes each call of the engine to the context, the draft model or the sampler, and
//! adds what depends on the architecture: which sequences can be shared and cached.

use std::ops::Range;
use std::sync::Arc;

use crate::domain::{Params, Token};
use crate::engine::{
    Batch, DecodeOutcome, DraftRequest, Interrupt, Limits, Model, Sampled, SeqId, Vocabulary,
};
use crate::llama::load::PageWorker;
use crate::llama::text::LlamaVocabulary;

use super::context::Context;
use super::draft::DraftModel;
use super::reuse::SequenceReuse;
use super::sampling::Sampler;

/// A loaded model with its context, its vocabulary, and its draft model if it has one.
pub struct LlamaCpp {
    context: Context,
    draft: Option<DraftModel>,
    vocabulary: Arc<LlamaVocabulary>,
    limits: Limits,
    reuse: SequenceReuse,
    /// Collapses the memory of the model into huge pages while the model is already in use.
    _collapsing: PageWorker,
}

impl LlamaCpp {
    pub(in crate::llama) fn new(
        context: Context,
        draft: Option<DraftModel>,
        vocabulary: Arc<LlamaVocabulary>,
        limits: Limits,
        reuse: SequenceReuse,
    ) -> Self {
        Self { context, draft, vocabulary, limits, reuse, _collapsing: PageWorker::collapse() }
    }
}

impl Model for LlamaCpp {
    type Sampler = Sampler;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn cacheable_tokens(&self) -> usize {
        self.reuse.cacheable_tokens(self.limits.kv_tokens)
    }

    fn max_sequences(&self) -> Option<usize> {
        self.reuse.max_sequences(self.limits.n_slots)
    }

    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        self.context.decode(batch, interrupt)
    }

    fn draft_tokens(&self) -> Option<usize> {
        self.draft.as_ref().and_then(DraftModel::draft_tokens)
    }

    fn draft(&mut self, wanted: &[DraftRequest<'_>], interrupt: &Interrupt<'_>) -> Vec<Vec<Token>> {
        match &mut self.draft {
            Some(draft) => draft.draft(wanted, interrupt),
            None => vec![Vec::new(); wanted.len()],
        }
    }

    fn sampler(&self, params: &Params, prompt: &[Token]) -> Sampler {
        let forbidden = self.vocabulary.forbidden(params.ignore_eos);
        Sampler::new(params, prompt, &*self.vocabulary, forbidden)
    }

    fn sample(&mut self, index: usize, sampler: &mut Sampler) -> Result<Sampled, String> {
        let logits = self.context.logits(index).ok_or("llama.cpp returned no logits")?;
        sampler.draw(logits, |token| self.vocabulary.piece(token))
    }

    fn shareable(&self, seq: SeqId, n: usize) -> usize {
        if self.limits.n_cache_seqs == 0 {
            return 0;
        }
        let window = self.reuse.window();
        // The token at position `n` attends to the last `window` positions before it.
        let first_needed = n.saturating_sub(window);
        match self.context.first_position(seq) {
            Some(first) if window == 0 || first <= first_needed => n,
            _ => 0,
        }
    }

    fn share(&mut self, from: SeqId, to: SeqId, n: usize) {
        self.context.share(from, to, n);
    }

    fn truncate(&mut self, seq: SeqId, n: usize) {
        if let Some(draft) = &mut self.draft {
            draft.truncate(seq, n);
        }
        self.context.truncate(seq, n);
    }

    fn swap_size(&mut self, seq: SeqId) -> usize {
        self.context.swap_size(seq)
    }

    fn swap_out(&mut self, seq: SeqId, positions: Range<usize>) -> Option<Vec<u8>> {
        self.context.swap_out(seq, positions)
    }

    fn swap_in(&mut self, to: SeqId, bytes: &[u8]) -> bool {
        self.context.swap_in(to, bytes)
    }
}
