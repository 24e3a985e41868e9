//! What the scheduler and the speculator exchange about a text and a step.

use std::time::Duration;

use crate::domain::{Speculation, Token};
use crate::engine::model::{CancelFlag, SeqId};

/// The speculation state of one request.
#[derive(Debug)]
pub(in crate::engine) struct TextSpeculation {
    /// The modes whose drafters may draft for the text; see [`drafters`].
    pub(super) modes: &'static [Speculation],
    /// Whether the drafters have seen the text.
    pub(super) is_begun: bool,
    /// Number of tokens drafted so far.
    pub(in crate::engine) n_drafted: usize,
    /// Number of drafted tokens accepted so far.
    pub(in crate::engine) n_accepted: usize,
}

impl TextSpeculation {
    /// The state of a new request, for which drafters of these `modes` may draft.
    pub(in crate::engine) fn new(modes: &'static [Speculation]) -> Self {
        Self { modes, is_begun: false, n_drafted: 0, n_accepted: 0 }
    }

    /// Begins again, because the text goes on in another slot.
    pub(in crate::engine) fn restart(&mut self) {
        self.is_begun = false;
    }
}

/// The modes whose drafters may draft for a request: the one it asks for, or else the server's
/// default, and those that this mode includes.
pub(in crate::engine) fn drafters(
    requested: Option<Speculation>,
    default: Speculation,
) -> &'static [Speculation] {
    match requested.unwrap_or(default) {
        Speculation::Off => &[],
        Speculation::Ngram => &[Speculation::Ngram],
        Speculation::Auto => &[Speculation::Ngram, Speculation::Auto],
    }
}

/// The text of a decoding slot, which gets one token in the step.
#[derive(Debug)]
pub(in crate::engine) struct DecodingText<'a> {
    /// The sequence of the text.
    pub(in crate::engine) seq: SeqId,
    /// The whole text, up to the last generated token.
    pub(in crate::engine) tokens: &'a [Token],
    /// The tokens that have to follow, as far as there is no choice.
    pub(in crate::engine) forced: &'a [Token],
    /// Number of `tokens` that are the prompt.
    pub(in crate::engine) n_prompt: usize,
    /// Number of tokens that the text may grow to.
    pub(in crate::engine) max_tokens: usize,
    /// The cancel flag of the request.
    pub(in crate::engine) cancel: &'a CancelFlag,
    /// The speculation state of the request.
    pub(in crate::engine) speculation: &'a mut TextSpeculation,
}

/// The draft of one text in a step.
#[derive(Debug, Default)]
pub(in crate::engine) struct Draft {
    /// The tokens that are drafted to follow the text; may be empty.
    pub(in crate::engine) tokens: Vec<Token>,
    /// Index of the drafter that was asked, if any. It may have returned no tokens. No drafter is
    /// asked for tokens that have to follow.
    pub(super) drafter: Option<usize>,
}

/// What drafting for a step cost, and which costs the step measures.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct DraftingCost {
    /// How long a model took to draft, even if it returned no tokens; zero if none was asked.
    pub(in crate::engine) time: Duration,
    /// Index of the drafter whose costs the step measures: the last one that was asked, or the
    /// first of all if nothing was drafted.
    pub(super) drafter: usize,
    /// Whether the model also prefilled, so that `time` says nothing about later steps.
    pub(super) has_prefill: bool,
}
