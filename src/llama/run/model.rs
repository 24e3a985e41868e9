//! The engine's model, implemented with llama.cpp.
//!
//! [`LlamaCpp`] passes each call of the engine to the context, the draft model or the sampler, and
//! adds what depends on the architecture: which parts of a sequence can be used again.

use std::sync::Arc;
use std::time::Instant;

use crate::domain::{Params, Token};
use crate::engine::{
    AllowedTokens, Batch, ChunkRules, DecodeOutcome, DraftRequest, Interrupt, Limits, Model,
    Sampled, SeqId, Vocabulary,
};
use crate::llama::load::PageWorker;
use crate::llama::text::LlamaVocabulary;

use super::context::Context;
use super::draft::DraftModel;
use super::reuse::SequenceReuse;
use super::sampling::Sampler;
use super::threads::AdaptiveThreads;

/// A loaded model with its context, its vocabulary, and its draft model if it has one.
pub struct LlamaCpp {
    context: Context,
    draft: Option<DraftModel>,
    vocabulary: Arc<LlamaVocabulary>,
    limits: Limits,
    reuse: SequenceReuse,
    /// `None` if the number of compute threads is fixed.
    threads: Option<AdaptiveThreads>,
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
        threads: Option<AdaptiveThreads>,
    ) -> Self {
        let _collapsing = PageWorker::collapse();
        Self { context, draft, vocabulary, limits, reuse, threads, _collapsing }
    }

    /// Chooses the number of threads of the step that begins now.
    fn choose_threads(&mut self) {
        let threads = self.threads.as_mut();
        if let Some(n_threads) = threads.and_then(|threads| threads.before_step(Instant::now())) {
            self.context.set_threads(n_threads);
            if let Some(draft) = &mut self.draft {
                draft.set_threads(n_threads);
            }
        }
    }
}

impl Model for LlamaCpp {
    type Sampler = Sampler;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn chunk_rules(&self) -> ChunkRules {
        self.reuse.chunk_rules()
    }

    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        #[cfg(debug_assertions)]
        if let Some(reason) = super::fault::due_in_step() {
            return DecodeOutcome::Failed(reason);
        }
        self.choose_threads();
        let outcome = self.context.decode(batch, interrupt);
        if let Some(threads) = &mut self.threads {
            threads.after_step(Instant::now());
        }
        outcome
    }

    fn draft_tokens(&self) -> Option<usize> {
        self.draft.as_ref().and_then(DraftModel::draft_tokens)
    }

    fn draft(&mut self, wanted: &[DraftRequest<'_>], interrupt: &Interrupt<'_>) -> Vec<Vec<Token>> {
        self.choose_threads();
        match &mut self.draft {
            Some(draft) => draft.draft(wanted, interrupt),
            None => vec![Vec::new(); wanted.len()],
        }
    }

    fn sampler(&self, params: &Params, prompt: &[Token]) -> Sampler {
        let forbidden = self.vocabulary.forbidden(params.ignore_eos);
        Sampler::new(params, prompt, &*self.vocabulary, forbidden)
    }

    fn sample(
        &mut self,
        index: usize,
        sampler: &mut Sampler,
        allowed: AllowedTokens<'_>,
    ) -> Result<Sampled, String> {
        let logits = self.context.logits(index).ok_or("llama.cpp returned no logits")?;
        sampler.draw(logits, allowed, |token| self.vocabulary.piece(token).bytes)
    }

    fn resumable(&self, seq: SeqId, n: usize) -> usize {
        let first = self.context.first_position(seq).unwrap_or(0);
        let len = self.context.n_positions(seq);
        if self.reuse.can_resume(first, len, n) { n } else { 0 }
    }

    fn resumable_copy(&self, len: usize, n: usize) -> usize {
        let first = self.reuse.first_exported(len);
        if self.reuse.can_resume(first, len, n) { n } else { 0 }
    }

    fn truncate(&mut self, seq: SeqId, n: usize) -> bool {
        if let Some(draft) = &mut self.draft {
            draft.truncate(seq, n);
        }
        self.context.truncate(seq, n)
    }

    fn export_size(&mut self, seq: SeqId) -> usize {
        self.context.export_size(seq)
    }

    fn export(&mut self, seq: SeqId, to: &mut [u8]) -> bool {
        self.context.export(seq, to)
    }

    fn import(&mut self, to: SeqId, state: &[u8]) -> bool {
        self.context.import(to, state)
    }
}
