//! The engine's model on llama.cpp.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::domain::{Params, Token};
use crate::engine::{
    Batch, Decode, GuessWanted, Interrupt, Limits, Model, Sampled, SeqId, Vocabulary,
};

use super::context::{self, Context, MAX_SEQUENCES};
use super::draft::DraftModel;
use super::load::Options;
use super::sampling::Sampler;
use super::vocabulary::LlamaVocabulary;

/// A loaded model and its context.
pub struct LlamaCpp {
    context: Context,
    draft: Option<DraftModel>,
    vocabulary: Arc<LlamaVocabulary>,
    limits: Limits,
    /// Length of the sliding attention window; 0 where every layer sees everything.
    window: usize,
    kept_tokens: usize,
}

impl LlamaCpp {
    pub(super) fn new(
        model: &LlamaModel,
        context: Context,
        draft: Option<DraftModel>,
        vocabulary: Arc<LlamaVocabulary>,
        options: Options,
        has_slow_attention: bool,
    ) -> Self {
        let n_slots = options.parallel as usize;
        // A recurrent state is one lump that holds all or nothing, so it cannot be shared in part
        // or cut back; such sequences are never kept.
        let can_share = !model.is_recurrent() && !model.is_hybrid();
        // SAFETY: the model is loaded; the function only looks at it.
        let window = unsafe { sys::llama_model_n_swa(context::raw(model)) };
        // From 512 cells on, llama.cpp gives each thread a part of the cells, and where those of a
        // finished sequence are skipped by one thread, it waits for the other; without flash
        // attention, skipped cells are computed like others. That is nothing where attention is
        // fast, and half the speed of a small model where it is slow.
        Self {
            context,
            draft,
            vocabulary,
            limits: Limits {
                n_batch: options.ubatch as usize,
                n_slots,
                n_parked: if can_share { MAX_SEQUENCES - n_slots } else { 0 },
                kv_tokens: options.kv_tokens as usize,
                n_guesses: if can_share { options.guesses as usize } else { 0 },
            },
            window: usize::try_from(window).unwrap_or(0),
            kept_tokens: if has_slow_attention { 0 } else { options.kv_tokens as usize },
        }
    }
}

impl Model for LlamaCpp {
    type Sampler = Sampler;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn kept_tokens(&self) -> usize {
        self.kept_tokens
    }

    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> Decode {
        self.context.decode(batch, interrupt)
    }

    fn has_draft(&self) -> bool {
        self.draft.is_some()
    }

    fn guess(&mut self, wanted: &[GuessWanted<'_>]) -> Vec<Vec<Token>> {
        match &mut self.draft {
            Some(draft) => draft.guess(wanted),
            None => vec![Vec::new(); wanted.len()],
        }
    }

    fn sampler(&self, params: &Params, prompt: &[Token]) -> Sampler {
        Sampler::new(params, prompt, &*self.vocabulary, self.vocabulary.ends())
    }

    fn sample(&mut self, index: usize, sampler: &mut Sampler) -> Result<Sampled, String> {
        let logits = self.context.logits(index).ok_or("llama.cpp returned no logits")?;
        sampler.draw(logits, |token| self.vocabulary.piece(token))
    }

    fn shareable(&self, seq: SeqId, n: usize) -> usize {
        if self.limits.n_parked == 0 {
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
}
