//! The engine's model on llama.cpp.

use std::ops::Range;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::domain::{Params, Token};
use crate::engine::{
    Batch, DecodeOutcome, DraftRequest, Interrupt, Limits, Model, Sampled, SeqId, Vocabulary,
};

use super::context::{self, Context};
use super::draft::DraftModel;
use super::load::Options;
use super::pages::PageWork;
use super::sampling::Sampler;
use super::text::LlamaVocabulary;

/// A loaded model and its context.
pub struct LlamaCpp {
    context: Context,
    draft: Option<DraftModel>,
    vocabulary: Arc<LlamaVocabulary>,
    limits: Limits,
    /// Length of the sliding attention window; 0 where every layer sees everything.
    window: usize,
    cacheable_tokens: usize,
    max_sequences: Option<usize>,
    /// Moves it all into huge pages while it is used already.
    _enlarging: PageWork,
}

/// What can become of finished sequences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    /// Whether they can be kept, and shared in part.
    is_shared: bool,
    /// Length of the sliding attention window; 0 where every layer sees everything.
    window: usize,
    /// Whether layers with a window have cells for those of the slots only.
    has_few_cells: bool,
    /// Whether the processor computes attention.
    is_on_cpu: bool,
}

impl Retention {
    pub(super) fn of(model: &LlamaModel, has_few_cells: bool, is_offloaded: bool) -> Self {
        // SAFETY: the model is loaded; the function only looks at it.
        let window = unsafe { sys::llama_model_n_swa(context::raw(model)) };
        Self {
            // A recurrent state is one lump that holds all or nothing, so it cannot be shared in
            // part or cut back; such sequences are never kept.
            is_shared: !model.is_recurrent() && !model.is_hybrid(),
            window: usize::try_from(window).unwrap_or(0),
            has_few_cells,
            is_on_cpu: !is_offloaded,
        }
    }

    /// llama.cpp gives out no more of a windowed layer than its window, and a request that branches
    /// off a few tokens before its end, as the next turn of a chat may, could use none of it.
    pub(super) fn can_swap(self) -> bool {
        self.is_shared && self.window == 0
    }

    /// How many of the cache's tokens may stay while others run. A processor looks at every cell of
    /// the cache for every token, also at those of others, which it only skips: behind 15,000 kept
    /// tokens it reads a prompt of 4,096 in twice the time. From 512 cells on it gives each thread a
    /// part of the cells besides, and one that has little but skipped ones waits for the others.
    fn tokens_beside_others(self, kv_tokens: usize) -> usize {
        if self.is_on_cpu && self.can_swap() { 0 } else { kv_tokens }
    }
}

impl LlamaCpp {
    pub(super) fn new(
        context: Context,
        draft: Option<DraftModel>,
        vocabulary: Arc<LlamaVocabulary>,
        options: Options,
        retention: Retention,
    ) -> Self {
        let Retention { is_shared, window, .. } = retention;
        let kv_tokens = options.kv_tokens as usize;
        Self {
            context,
            draft,
            vocabulary,
            limits: Limits {
                n_batch: options.ubatch as usize,
                n_slots: options.parallel as usize,
                n_cache_seqs: if is_shared {
                    context::n_cache_seqs(options.parallel) as usize
                } else {
                    0
                },
                kv_tokens,
                n_draft: if is_shared { options.guesses as usize } else { 0 },
            },
            window,
            cacheable_tokens: retention.tokens_beside_others(kv_tokens),
            max_sequences: retention.has_few_cells.then_some(options.parallel as usize),
            _enlarging: PageWork::enlarge(),
        }
    }
}

impl Model for LlamaCpp {
    type Sampler = Sampler;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn cacheable_tokens(&self) -> usize {
        self.cacheable_tokens
    }

    fn max_sequences(&self) -> Option<usize> {
        self.max_sequences
    }

    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        self.context.decode(batch, interrupt)
    }

    fn draft_tokens(&self) -> Option<usize> {
        self.draft.as_ref().and_then(DraftModel::n_shared)
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
        // A layer with a window needs the last `window` positions before the next one.
        let needed = n.saturating_sub(self.window);
        match self.context.first_position(seq) {
            Some(first) if self.window == 0 || first <= needed => n,
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
