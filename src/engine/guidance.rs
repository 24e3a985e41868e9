//! What a request needs beside its prompt before it is queued: what guides its answer, and what
//! counts its thinking.

use crate::answer::ReasoningCounter;
use crate::domain::{AnswerStart, AnswerStyle, Params, Prompt, Refusal, Request};

use super::guide::AnswerGuide;
use super::model::{PromptLimit, Vocabulary};

/// The guide for the answer to a request, whose prompt ends as `start` says. Tools that have to be
/// called take precedence over what the answer has to be otherwise.
pub(super) fn guide_for(
    request: &Request,
    start: AnswerStart,
    vocabulary: &dyn Vocabulary,
    limit: &PromptLimit,
) -> Result<Option<AnswerGuide>, Refusal> {
    let calls = match &request.prompt {
        Prompt::Chat(conversation) if conversation.requires_call() => {
            vocabulary.constrain_calls(conversation, limit)?
        }
        Prompt::Chat(_) | Prompt::Text(_) | Prompt::Tokens(_) => None,
    };
    let constraint = match (calls, &request.params.constraint) {
        (None, Some(constraint)) => {
            let compiled = vocabulary.constrain(constraint, limit);
            Some(compiled.map_err(|refusal| named(refusal, &request.params))?)
        }
        (calls, _) => calls,
    };
    let budget = request.params.reasoning_budget;
    if constraint.is_none() && budget.is_none() {
        return Ok(None);
    }
    let style = match request.prompt {
        Prompt::Chat(_) => vocabulary.answer_style(),
        // Who writes the prompt as a text reads the answer as one.
        Prompt::Text(_) | Prompt::Tokens(_) => AnswerStyle::default(),
    };
    AnswerGuide::new(constraint, budget, (&style, start), vocabulary, limit)
}

/// The counter of thinking for the answer to a conversation, which `start` says the beginning of.
pub(super) fn reasoning_counter(
    request: &Request,
    start: AnswerStart,
    vocabulary: &dyn Vocabulary,
) -> Option<ReasoningCounter> {
    match &request.prompt {
        Prompt::Chat(conversation) if request.params.special != Some(false) => {
            ReasoningCounter::new(&vocabulary.answer_style(), start, conversation)
        }
        Prompt::Chat(_) | Prompt::Text(_) | Prompt::Tokens(_) => None,
    }
}

/// The refusal of a constraint, with the field of the request that the constraint came from.
fn named(refusal: Refusal, params: &Params) -> Refusal {
    match (refusal, &params.constraint_field) {
        (Refusal::InvalidParams { reason, .. }, Some(field)) => {
            Refusal::InvalidParams { field: field.clone(), reason }
        }
        (refusal, _) => refusal,
    }
}
