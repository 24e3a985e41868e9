//! What the engine hands over for a request, piece by piece.

use serde::{Deserialize, Serialize};

use super::conversation::AnswerStart;
use super::outcome::Outcome;
use super::token::TokenLogprobs;

/// What has happened to a request since its last delivery. A field without a change is empty.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The latest queue position, counted from 1, if the request waits for a slot.
    pub queued: Option<usize>,
    /// Whether the request has got a slot since.
    pub is_started: bool,
    /// How the answer begins, with the first delivery of a request that has got a slot.
    pub answer_start: Option<AnswerStart>,
    /// Tokens of the prompt, and how many of them came from the prefix cache, with the first
    /// delivery of a request that has got a slot.
    pub prompt: Option<(usize, usize)>,
    /// The latest progress of prefill: tokens in the KV cache and tokens of the prompt.
    pub progress: Option<(usize, usize)>,
    /// Number of new tokens. Some of their text may be held back.
    pub n_tokens: usize,
    /// New text.
    pub text: String,
    /// The log probabilities of new tokens, if the request asked for them.
    pub logprobs: Vec<TokenLogprobs>,
    /// How the request ended, if this is its last delivery.
    pub outcome: Option<Outcome>,
}

impl Delivery {
    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.queued.is_none()
            && !self.is_started
            && self.answer_start.is_none()
            && self.prompt.is_none()
            && self.progress.is_none()
            && self.n_tokens == 0
            && self.text.is_empty()
            && self.logprobs.is_empty()
            && self.outcome.is_none()
    }

    /// Adds what has happened later.
    pub fn merge(&mut self, later: Self) {
        let Self {
            queued,
            is_started,
            answer_start,
            prompt,
            progress,
            n_tokens,
            text,
            logprobs,
            outcome,
        } = later;
        self.queued = queued.or(self.queued);
        self.is_started |= is_started;
        self.answer_start = self.answer_start.or(answer_start);
        self.prompt = self.prompt.or(prompt);
        self.progress = progress.or(self.progress);
        self.n_tokens += n_tokens;
        self.text.push_str(&text);
        self.logprobs.extend(logprobs);
        self.outcome = outcome.or_else(|| self.outcome.take());
    }

    /// Bytes of text, and of log probabilities as an estimate. Limits what waits for a client.
    pub fn cost(&self) -> usize {
        let n_logprobs: usize = self.logprobs.iter().map(|token| 1 + token.top.len()).sum();
        self.text.len() + n_logprobs * LOGPROB_BYTES
    }
}

/// About the size of one log probability with the bytes of its token.
const LOGPROB_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Failure;

    #[test]
    fn merged_delivery_has_all_text_and_the_latest_state() {
        let part = |queued, text: &str| Delivery {
            queued: Some(queued),
            n_tokens: 2,
            text: text.to_owned(),
            ..Delivery::default()
        };
        let mut delivery = part(3, "a");
        delivery.merge(Delivery { prompt: Some((7, 5)), ..part(1, "b") });
        let outcome = Some(Outcome::Failed(Failure::ShuttingDown));
        delivery.merge(Delivery { outcome: outcome.clone(), ..Delivery::default() });
        let expected = Delivery { prompt: Some((7, 5)), n_tokens: 4, outcome, ..part(1, "ab") };
        assert_eq!(delivery, expected);
    }
}
